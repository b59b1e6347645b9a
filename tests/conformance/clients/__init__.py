"""Clients that other people wrote, each in a process of its own: their messages share one name in protobuf's pool."""
