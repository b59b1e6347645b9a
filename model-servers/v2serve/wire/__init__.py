"""HTTP/1.1 and HTTP/2 on one port: bytes of a socket to requests, answers to bytes; knows nothing of V2."""
