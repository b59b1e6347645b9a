"""Bytes of a wire to calls of a model and back: REST with JSON and binary data, gRPC, and compressed bodies."""
