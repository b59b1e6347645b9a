"""Benchmarks: ratios, side by side, in one run; each is a program of its own with --help and --json."""
