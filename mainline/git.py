"""Commits without a working tree: read a commit's files, write one commit, move one reference."""

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mainline.errors import Refusal

Changes = Mapping[str, str | None]
"""Path -> new text, or None where the file goes."""

# A fresh machine has no user.name; commits of the embedded environment then speak for the tool.
_FALLBACK_IDENTITY = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Mainline"), ("EMAIL", "mainline@localhost"))
}
_OF_A_HOOK = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_QUARANTINE_PATH"}


@dataclass(frozen=True, slots=True)
class Git:
    """One repository (bare or not), spoken to through the git program."""

    folder: Path

    def run(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        check: bool = True,
        extra: Mapping[str, str] | None = None,
    ) -> str:
        done = subprocess.run(
            ["git", "-C", str(self.folder), *arguments],
            input=stdin, capture_output=True, check=False, env={**_environment(), **(extra or {})},
        )  # fmt: skip
        if check and done.returncode:
            raise Refusal(f"git {arguments[0]} in {self.folder.name}: {_cause(done.stderr)}")
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""

    def resolve(self, revision: str) -> str | None:
        """The commit that a revision names, or None."""
        return self.run("rev-parse", "--verify", "-q", f"{revision}^{{commit}}", check=False).strip() or None

    def is_ancestor(self, older: str, newer: str) -> bool:
        command = ["git", "-C", str(self.folder), "merge-base", "--is-ancestor", older, newer]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def files(self, commit: str, wanted: Callable[[str], bool]) -> dict[str, str]:
        """Path -> text of the files of a commit that are wanted, one `cat-file --batch` for all."""
        listing = self.run("ls-tree", "-r", "-z", "--full-tree", commit)
        entries = [entry.split("\t", 1) for entry in listing.split("\0") if entry]
        chosen = {
            path: meta.split()[2] for meta, path in entries if meta.split()[1] == "blob" and wanted(path)
        }
        return dict(zip(chosen, self._blobs(list(chosen.values())), strict=True))

    def _blobs(self, names: list[str]) -> Iterator[str]:
        command = ["git", "-C", str(self.folder), "cat-file", "--batch"]
        done = subprocess.run(
            command, input="".join(f"{n}\n" for n in names).encode(), capture_output=True, check=True
        )
        data, at = done.stdout, 0
        for _ in names:
            end = data.index(b"\n", at)
            size = int(data[at:end].split()[2])
            yield data[end + 1 : end + 1 + size].decode("utf-8", "replace")
            at = end + 2 + size

    def text_at(self, commit: str, path: str) -> str | None:
        return self.files(commit, lambda name: name == path).get(path)

    def commit(self, parents: tuple[str, ...], changes: Changes, message: str) -> str:
        """Write one commit on top of the first parent; no reference moves, no working tree is touched."""
        return self.commit_tree(self.tree(parents[0], changes), parents, message)

    def commit_tree(self, tree: str, parents: tuple[str, ...], message: str) -> str:
        signing = (
            ["-S"]
            if self.run("config", "--type=bool", "commit.gpgsign", check=False).strip() == "true"
            else []
        )
        flags = [flag for parent in parents for flag in ("-p", parent)]
        arguments = ("commit-tree", *signing, tree, *flags)
        return self.run(*arguments, stdin=message.encode(), extra=self._identity()).strip()

    def _identity(self) -> dict[str, str]:
        """Nothing where git knows who commits, and the tool's name on a fresh machine, where it does not."""
        known = self.run("config", "user.email", check=False) or os.environ.get("GIT_COMMITTER_EMAIL")
        return {} if known else dict(_FALLBACK_IDENTITY)

    def tree(self, base: str, changes: Changes) -> str:
        """The tree of a commit with some files changed."""
        # fast-import writes blobs and trees of any number of files in one process.
        reference = f"refs/mainline/{uuid.uuid4().hex}"
        stream = b"".join(_fast_import(reference, base, changes))
        try:
            self.run("fast-import", "--quiet", "--date-format=now", stdin=stream)
            return self.run("rev-parse", f"{reference}^{{tree}}").strip()
        finally:
            self.run("update-ref", "-d", reference, check=False)

    def move(self, reference: str, new: str, old: str) -> bool:
        """Move a reference if it still is where it was; False when somebody was faster."""
        command = ["git", "-C", str(self.folder), "update-ref", reference, new, old]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode and b"but expected" not in done.stderr and b"lock" not in done.stderr:
            raise Refusal(f"git update-ref {reference}: {_cause(done.stderr)}")
        return done.returncode == 0

    def changed_paths(self, *under: str) -> list[str]:
        """Paths below `under` whose content no commit has: changed, staged or untracked."""
        status = self.run(
            "status", "--porcelain", "-z", "--untracked-files=all", "--no-renames", "--", *under
        )
        return [entry[3:] for entry in status.split("\0") if entry]


def _environment() -> dict[str, str]:
    # Inside a hook git names the repository of the hook; each call here names its own.
    known = {key: value for key, value in os.environ.items() if key not in _OF_A_HOOK}
    return {**known, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"}


def _fast_import(reference: str, base: str, changes: Changes) -> Iterator[bytes]:
    yield f"commit {reference}\ncommitter mainline <> now\ndata 0\nfrom {base}\n".encode()
    for path, text in sorted(changes.items()):
        if text is None:
            yield f"D {path}\n".encode()
        else:
            body = text.encode()
            yield f"M 100644 inline {path}\ndata {len(body)}\n".encode() + body + b"\n"


def _cause(stderr: bytes) -> str:
    lines = [line for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith(("fatal:", "error:", "! ", " ! "))]
    return (causes or lines[-1:] or ["failed without a word"])[0].strip()
