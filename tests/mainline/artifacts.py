"""Artifacts for tests: a folder with sums, as trainkit exports it."""

from pathlib import Path

from v2serve.artifact import write_sums


def artifact(folder: Path, **files: bytes) -> str:
    """Write files and their sums; returns the digest."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, body in (files or {"model": b"weights" * 1000, "contract": b"{}"}).items():
        (folder / f"{name}.bin").write_bytes(body)
    return write_sums(folder)
