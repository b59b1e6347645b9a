"""Reading a live cluster: what Argo CD synced, what KServe runs, and where the gateway sends calls."""
