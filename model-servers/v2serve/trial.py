"""What was fetched, loaded and asked its golden requests: in an init container a bad model is told in seconds."""

from pathlib import Path

from v2serve.code import MODEL_CODE
from v2serve.contract import RequestCheck
from v2serve.model import Runtime
from v2serve.pipeline import load_pipeline
from v2serve.warmup import check_covered, golden_answer, load_golden, warm_up

_ROOT = Path("/")
_MEMORY = ("memory.max", "memory/memory.limit_in_bytes")  # of control groups, version 2 and 1
_BASE = 96 << 20  # bytes: the interpreter, the runtime and a small graph take 70 MiB
_COPIES = 3  # of a graph while it is parsed: its bytes, what they say, what is run


def try_out(folder: Path, root: Path = _ROOT) -> str | None:
    """None once the model has given its reviewed answers, or why it was not asked; ArtifactError if it is no good."""
    if (folder / MODEL_CODE).exists():
        return f"{MODEL_CODE} runs only in the server, which has no keys of the store"
    if (limit := _limit(root)) is not None and _needed(folder) > limit:
        return f"{_needed(folder) >> 20} MiB may be needed, and the limit is {limit >> 20} MiB"
    pipeline = load_pipeline(folder, folder.name, Runtime())
    goldens = load_golden(folder)
    warm_up(golden_answer(RequestCheck(pipeline.contract), pipeline.run), goldens)
    check_covered(pipeline.contract, goldens)
    return None


def _needed(folder: Path) -> int:
    """Bytes; of all files, since weights may lie beside the graph."""
    return _BASE + _COPIES * sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _limit(root: Path) -> int | None:
    """The memory of this container in bytes; None where nothing limits it."""
    for name in _MEMORY:
        try:
            text = (root / "sys/fs/cgroup" / name).read_text().strip()
        except OSError:  # no such control group: no such limit
            continue
        return int(text) if text.isdigit() else None
    return None
