"""Run every benchmark, one after the other."""

import runpy
import sys

NAMES = ("rendering", "serving")

if __name__ == "__main__":
    for name in NAMES:
        print(f"\n== {name}")
        sys.argv = [f"benchmarks.{name}"]
        runpy.run_module(f"benchmarks.{name}", run_name="__main__", alter_sys=True)
