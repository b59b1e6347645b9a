"""Metrics, access log, traces and drift statistics: what a server tells about itself."""

from v2serve.observe.observer import Observer, Watched

__all__ = ["Observer", "Watched"]
