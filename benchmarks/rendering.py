"""How long a whole environment takes to render, from text to text, for 10, 100 and 1,000 models.

`python -m benchmarks.rendering`; with `kustomize` on PATH the same objects go through `kustomize build` too.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from infra.declarations.release import Candidate, Release, ReleasedVersion, dump_release, release_path
from infra.declarations.repository import load
from infra.manifests import quoting, yaml
from infra.render import render, write

T = TypeVar("T")
SIZES = (10, 100, 1000)
BUDGET_SECONDS = 5.0  # for 1,000 models
PATIENCE = 60.0  # seconds for kustomize; inf in the table means more
STACK = "config:\n  mainline:cluster: existing\n  mainline:store: s3://models\n  mainline:registry: https://mlflow.example.com\n"
PROJECT = "name: mainline\nconfig:\n  repository: {default: https://git.example.com/ml.git}\n"
MODEL = """\
name: {name}
owner: team
description: A model of the benchmark.
job: {name}
gates:
  - {{metric: accuracy, at_least: 0.9, tolerance: 0.01}}
resources: {{cpu: 500m, memory: 512Mi}}
replicas: {{min: 2, max: 8}}
objective: {{latency_p95_ms: 20, availability: 0.999}}
"""
JOB = """\
name: {name}
owner: team
model: {name}
data:
  - {{name: data.csv, sha256: {digest}, url: https://data.example.com/data.csv}}
"""


def repository(models: int) -> dict[str, str]:
    """Texts of a repository in which every model has a job and a canary."""
    files = {"Pulumi.yaml": PROJECT, "Pulumi.bench.yaml": STACK}
    for number in range(models):
        name = f"model-{number}"
        files[f"model-servers/{name}/model.yaml"] = MODEL.format(name=name)
        files[f"training-jobs/{name}/job.yaml"] = JOB.format(name=name, digest=f"{number:064x}")
        files[release_path(name, "bench")] = dump_release(_release(number))
    return files


def _release(number: int) -> Release:
    def version(offset: int) -> dict[str, object]:
        digest = f"sha256:{number * 2 + offset:08x}" + "0" * 56
        data = {"data.csv": f"sha256:{number:064x}"}
        return {
            "version": 1 + offset,
            "digest": digest,
            "run": f"{number:032x}",
            "code": f"{number:040x}",
            "data": data,
            "evidence": {"accuracy": 0.95},
        }

    stable = ReleasedVersion.model_validate(version(0))
    return Release(
        stable=stable, candidate=Candidate.model_validate({**version(1), "mode": "canary", "traffic": 10})
    )


def timed(work: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def row(models: int, folder: Path) -> list[float]:
    """Seconds for load, render, first write, second write, kustomize (nan without it), and the number of files."""
    for cache in (quoting.style, yaml.in_order):
        cache.cache_clear()
    files = repository(models)
    loading, declared = timed(lambda: load(files))
    rendering, rendered = timed(lambda: render(declared, "bench"))
    writing, _ = timed(lambda: write(folder, "bench", rendered))
    again, differences = timed(lambda: write(folder, "bench", rendered))
    assert differences == []
    return [loading, rendering, writing, again, kustomized(folder), float(len(rendered))]


def kustomized(folder: Path) -> float:
    """Seconds of `kustomize build` over the same files, which it only reads and concatenates."""
    binary = shutil.which("kustomize")
    if binary is None:
        return float("nan")
    environment = folder / "clusters" / "bench"
    files = sorted(file.relative_to(environment).as_posix() for file in environment.rglob("*.yaml"))
    (environment / "kustomization.yaml").write_text("resources:\n" + "".join(f"- {file}\n" for file in files))
    command = [binary, "build", str(environment)]
    try:
        seconds, _ = timed(lambda: subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE))
    except subprocess.TimeoutExpired:
        seconds = float("inf")
    (environment / "kustomization.yaml").unlink()
    return seconds


def main() -> int:
    print(f"python {sys.version.split()[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print(
        "| models | files | load s | render s | write s | write again s | load + render, ms a model | kustomize s |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|---:|")
    total = 0.0
    for models in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            loading, rendering, writing, again, other, files = row(models, Path(folder))
        total = loading + rendering
        cells = [
            f"{models}",
            f"{files:.0f}",
            *(f"{cell:.2f}" for cell in (loading, rendering, writing, again)),
        ]
        print(f"| {' | '.join(cells)} | {total / models * 1000:.2f} | {other:.2f} |", flush=True)
    print(f"\nbudget: load + render of {SIZES[-1]} models in {BUDGET_SECONDS:.0f} s; took {total:.2f} s")
    return int(total > BUDGET_SECONDS)


if __name__ == "__main__":
    raise SystemExit(main())
