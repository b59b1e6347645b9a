"""Metrics, access log, traces and drift statistics: what a server tells about itself."""
