"""What a server of the Open Inference Protocol (V2) does, rule by rule; needs nothing of this repository."""
