"""Run every benchmark, one after the other."""

import runpy
import sys

BENCHMARKS = {"rendering": [], "serving": ["--plot", ".mainline/serving.svg"]}

if __name__ == "__main__":
    for name, arguments in BENCHMARKS.items():
        print(f"\n== {name}", flush=True)
        sys.argv = [f"benchmarks.{name}", *arguments]
        runpy.run_module(f"benchmarks.{name}", run_name="__main__", alter_sys=True)
