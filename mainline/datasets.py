"""What a job needs that this machine may lack: data files of a mirror, and packages. `python -m mainline.datasets`."""

import ast
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from infra.declarations.declaration import parse
from infra.declarations.document import read_document
from infra.declarations.job import Data, TrainingJob
from mainline.errors import Refusal
from mainline.places import Places, find_places

MIRROR = "MAINLINE_DATASETS"
_ELSEWHERE = {"objective.py"}  # of sweeps, which no pipeline runs


def jobs(places: Places) -> list[str]:
    return sorted(path.parent.name for path in (places.root / "training-jobs").glob("*/job.yaml"))


def declared_job(places: Places, job: str) -> TrainingJob:
    """The declaration in the working tree; Refusal for an unknown job."""
    path = f"training-jobs/{job}/job.yaml"
    if job not in jobs(places):
        raise Refusal(f"unknown job {job!r}: no {path}; there are {', '.join(jobs(places))}")
    document = read_document(path, (places.root / path).read_text("utf-8"))
    return parse(TrainingJob, document.value, document)


def comes_with_packages(job: TrainingJob) -> bool:
    """Is all of its data in installed packages, so that it trains without a download or a mirror?"""
    return all(data.package for data in job.data)


def mirror() -> str | None:
    """The folder (absolute) or the URL that MAINLINE_DATASETS names."""
    told = os.environ.get(MIRROR)
    return told if not told or "://" in told else str(Path(told).resolve())


def refuse_without_data(places: Places, wanted: Sequence[str]) -> None:
    """Derived files are in a mirror and nowhere else: Refusal that lists them where no mirror is named."""
    where = mirror()
    needed = {job: declared_job(places, job).data for job in wanted}
    if where is None and any(data.source for of in needed.values() for data in of):
        files = [line for job, of in sorted(needed.items()) for data in of for line in _told(job, data)]
        raise Refusal(
            "\n".join(
                [f"{MIRROR} is not set; it names a folder with the data, as job.yaml has it:", *files, _HOW]
            )
        )
    if where and "://" not in where and not Path(where).is_dir():
        raise Refusal(f"{MIRROR} is {where}, which is not a folder; {_HOW}")


_HOW = f"export {MIRROR}=/folder/with/the/files; docs/fleet.md says how they are made"


def _told(job: str, data: Data) -> Iterator[str]:
    """One line a file that is not in a package; one with an address is downloaded where the mirror has it not."""
    if data.package is None:
        origin = f"derived from {data.source}" if data.source else f"or downloaded from {data.url}"
        yield f"  {job}: {data.mirror or data.name}, {origin}, licence: {data.licence or 'see job.yaml'}"


def refuse_without_packages(places: Places, job: str) -> None:
    """Refusal that names the modules which the job's stages import and this Python does not have."""
    folder = places.root / "training-jobs" / job
    files = [path for path in sorted(folder.glob("*.py")) if path.name not in _ELSEWHERE]
    own = (
        {path.stem for path in files}
        | {path.name for path in folder.iterdir() if path.is_dir()}
        | {"trainkit"}
    )
    roots = {root for path in files for root in _imported(path)} - own
    missing = sorted(root for root in roots if importlib.util.find_spec(root) is None)
    if missing:
        raise Refusal(
            f"job {job} needs packages that are not installed ({', '.join(missing)}); make .venv/fleet.stamp"
        )


def _imported(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_text("utf-8"))
    except SyntaxError as error:
        raise Refusal(f"{path.parent.name}/{path.name}:{error.lineno}: {error.msg}") from error
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def main() -> int:
    """`make fleet` asks before it installs gigabytes; exit code 1 with the list of what is missing."""
    try:
        places = find_places(Path())
        refuse_without_data(places, jobs(places))
    except Refusal as refusal:
        sys.stderr.write("".join(f"mainline: {line}\n" for line in str(refusal).splitlines()))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
