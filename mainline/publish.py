"""The embedded Git host: a bare repository whose main is this clone's HEAD and the promotions on top of it."""

import shlex
import subprocess

from infra.declarations.repository import load
from infra.declarations.tree import is_declaration
from mainline.delivery import rerendered
from mainline.errors import Refusal
from mainline.git import Changes, Git
from mainline.places import EMBEDDED, Places
from mainline.truth import MAIN

_ATTEMPTS = 20


def publish(places: Places) -> str:
    """Bring HEAD into main of the embedded remote, which is made when it is missing; the commit that main then is.

    Main moves forward only: to HEAD where that is ahead, and by a merge commit where promotions were made meanwhile.
    What both sides rendered is rendered again; a conflict anywhere else is for a person.
    """
    clone, remote = Git(places.root), Git(places.remote)
    head = clone.resolve("HEAD")
    if head is None:
        raise Refusal(
            f"{places.root} has no commit, and only commits are served; git init, git add -A, git commit"
        )
    load(clone.files(head, is_declaration))  # what does not parse is said here, before anything serves it
    _ensure(remote)
    remote.run("fetch", "-q", str(places.root), f"+HEAD:refs/mainline/published/{head}")
    remote.run("update-ref", "-d", f"refs/mainline/published/{head}")
    for _ in range(_ATTEMPTS):
        main = remote.resolve(MAIN)
        if main and remote.is_ancestor(head, main):
            return main
        new = head if main is None or remote.is_ancestor(main, head) else _merged(remote, main, head)
        if remote.move(MAIN, new, main or "0" * 40):
            return new
    raise Refusal(
        f"main of {remote.folder.name} moved {_ATTEMPTS} times meanwhile; nothing was changed, repeat the command"
    )


def _ensure(remote: Git) -> None:
    if (remote.folder / "HEAD").is_file():
        return
    remote.folder.mkdir(parents=True, exist_ok=True)
    remote.run("init", "-q", "--bare", "--initial-branch=main")
    remote.run("config", "receive.denyNonFastForwards", "true")
    remote.run("config", "receive.denyDeletes", "true")
    remote.run("config", "core.logAllRefUpdates", "true")


def _merged(remote: Git, main: str, head: str) -> str:
    tree, conflicts = _merge_tree(remote, main, head)
    foreign = [path for path in conflicts if not path.startswith("clusters/")]
    if foreign:
        raise Refusal(
            f"HEAD and main of {remote.folder.name} both changed {', '.join(foreign)}; "
            f"git pull --no-rebase {shlex.quote(str(remote.folder))} main, solve it, commit, and repeat the command"
        )
    merge = remote.commit_tree(tree, (main, head), "Merge the work of this clone\n")
    changes = _render_again(remote, merge, conflicts)
    if not changes:
        return merge
    return remote.commit_tree(remote.tree(merge, changes), (main, head), "Merge the work of this clone\n")


def _render_again(remote: Git, merge: str, conflicts: list[str]) -> Changes:
    prefix = f"clusters/{EMBEDDED}/"
    existing = remote.files(merge, lambda path: path.startswith(prefix) and path not in conflicts)
    declarations = remote.files(merge, is_declaration)
    return {**dict.fromkeys(conflicts), **rerendered(declarations, EMBEDDED, existing)}


def _merge_tree(remote: Git, main: str, head: str) -> tuple[str, list[str]]:
    command = [
        "git",
        "-C",
        str(remote.folder),
        "merge-tree",
        "--write-tree",
        "--name-only",
        "-z",
        "--no-messages",
        main,
        head,
    ]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode not in (0, 1):
        raise Refusal(
            f"git merge-tree: {done.stderr.decode('utf-8', 'replace').strip() or 'git 2.38 or newer is needed'}"
        )
    tree, *conflicts = [part for part in done.stdout.decode().split("\0") if part]
    return tree, sorted(set(conflicts))
