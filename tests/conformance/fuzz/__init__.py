"""Requests that nobody would write, many a second; each can be made again from its seed and number."""
