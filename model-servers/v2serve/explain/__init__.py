"""Why a model answered as it did: by asking it again about changed inputs. What `explain.json` of an artifact says."""
