"""A fresh clone of this working tree with a Git of its own, and the program run in it as a user runs it."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.repository.tracked import ROOT, tracked


@dataclass(frozen=True)
class Clone:
    """A checkout; every call is a process of its own, as on a command line."""

    root: Path

    def mainline(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "mainline", *arguments],
            cwd=self.root, env=self.environment(), capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip

    def json(self, *arguments: str):
        done = self.mainline(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def git(self, *arguments: str, folder: Path | None = None) -> str:
        command = ["git", "-C", str(folder or self.root), *arguments]
        return subprocess.run(
            command, env=self.environment(), capture_output=True, text=True, check=True
        ).stdout.strip()

    @property
    def remote(self) -> Path:
        return self.root / ".mainline" / "gitops.git"

    def head(self) -> str:
        return self.git("rev-parse", "main", folder=self.remote)

    def environment(self) -> dict[str, str]:
        # The clone's own code, not the installed working tree's.
        path = os.pathsep.join(str(self.root / part) for part in ("", "model-servers", "training-jobs"))
        identity = {
            f"GIT_{who}_{what}": "tester@localhost"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        return {**os.environ, **identity, "PYTHONPATH": path, "GIT_CONFIG_GLOBAL": os.devnull}

    def processes(self) -> list[str]:
        """Command lines of live processes that name this clone."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_bytes().decode("utf-8", "replace").replace("\0", " ")
                environment = (entry / "environ").read_bytes().decode("utf-8", "replace")
            except (OSError, ValueError):
                continue
            if (
                entry.name.isdigit()
                and entry.name != str(os.getpid())
                and str(self.root) in words + environment
            ):
                found.append(words)
        return found


def make_clone(root: Path) -> Clone:
    for path in tracked():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes((ROOT / path).read_bytes())
    clone = Clone(root)
    clone.git("init", "-q", "--initial-branch=main")
    clone.git("add", "-A")
    clone.git("commit", "-q", "-m", "a fork")
    return clone


@pytest.fixture
def clone(tmp_path):
    made = make_clone(tmp_path / "fork")
    yield made
    made.mainline("down")


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A clone in which `mainline up` has come to its end once; (clone, what it printed as JSON)."""
    made = make_clone(tmp_path_factory.mktemp("up") / "fork")
    try:
        done = made.mainline("up", "--port", "0", "--json", timeout=180)
        assert done.returncode == 0, done.stderr
        yield made, json.loads(done.stdout)
    finally:
        made.mainline("down")
