"""History, read from Git alone: promotions by their trailers, and the earlier releases of a model."""

from dataclasses import asdict, dataclass
from typing import Any

from infra.declarations.declaration import parse
from infra.declarations.document import read_document
from infra.declarations.errors import DeclarationError
from infra.declarations.release import Release, ReleasedVersion, release_path
from mainline.git import Git

_FIELD, _RECORD = "\x1f", "\x1e"
_TRAILERS = ("Model", "Version", "Digest", "Run", "Environment", "Action")
_FORMAT = _FIELD.join(
    [
        "%H",
        "%cI",
        "%an",
        "%s",
        *(f"%(trailers:key={key},valueonly,separator=%x2C)" for key in _TRAILERS),
        "%b",
    ]
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One commit that changed what serves."""

    commit: str
    at: str
    author: str
    subject: str
    model: str
    version: str
    digest: str
    run: str
    environment: str
    action: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def entries(git: Git, head: str, model: str | None = None, env: str | None = None) -> list[Entry]:
    """Newest first: commits with our trailers, and reverts of such commits."""
    raw = git.run("log", f"--format={_FORMAT}{_RECORD}", head)
    records = [record.strip("\n").split(_FIELD) for record in raw.split(_RECORD) if record.strip()]
    known = {record[0]: _entry(record) for record in records if record[4]}
    found = [known.get(record[0]) or _revert(record, known) for record in records]
    return [entry for entry in found if entry and _wanted(entry, model, env)]


def released_versions(git: Git, head: str, model: str, env: str) -> list[ReleasedVersion]:
    """The stable versions of a model, newest first, each change once."""
    path = release_path(model, env)
    commits = git.run("log", "--format=%H", head, "--", path).split()
    found: list[ReleasedVersion] = []
    for commit in commits:
        text = git.text_at(commit, path)
        if text is None:
            continue
        stable = _stable(path, text)
        if stable and (not found or found[-1].digest != stable.digest):
            found.append(stable)
    return found


def _stable(path: str, text: str) -> ReleasedVersion | None:
    try:
        document = read_document(path, text)
        return parse(Release, document.value, document).stable
    except DeclarationError:
        # A commit that did not parse was never served, so there is nothing in it to go back to.
        return None


def since(git: Git, head: str, model: str, env: str, digest: str) -> tuple[str, str] | None:
    """(commit, ISO time) from which on the release names this digest without a break; None when it does not."""
    path, found = release_path(model, env), None
    for line in git.run("log", "--format=%H %cI", head, "--", path).splitlines():
        commit, _, at = line.partition(" ")
        if digest not in (git.text_at(commit, path) or ""):
            break
        found = (commit, at)
    return found


def _entry(record: list[str]) -> Entry:
    commit, at, author, subject, model, version, digest, run, env, action, _ = record
    return Entry(commit, at, author, subject, model, version, digest, run, env, action or "promote")


def _revert(record: list[str], known: dict[str, Entry]) -> Entry | None:
    # What `git revert` writes: "This reverts commit <sha>."
    words = record[10].split("This reverts commit ")
    undone = known.get(words[1][:40]) if len(words) > 1 else None
    if undone is None:
        return None
    return Entry(record[0], record[1], record[2], record[3], undone.model, undone.version, undone.digest, undone.run,
                 undone.environment, "revert")  # fmt: skip


def _wanted(entry: Entry, model: str | None, env: str | None) -> bool:
    return (model is None or entry.model == model) and (env is None or entry.environment == env)
