"""From a decision to one commit: change one release, render, write; then move main or push a branch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from infra.declarations.errors import DeclarationError
from infra.declarations.release import Release, dump_release, release_path
from infra.declarations.repository import Repository, load
from infra.render import compare, render
from mainline.errors import Refusal
from mainline.git import Changes, Git
from mainline.places import Places
from mainline.truth import MAIN, Truth, fresh_truth

_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Decision:
    """The release that a verb wants, and the words of its commit."""

    release: Release
    action: str  # promote, canary, shadow, header, advance, rollback
    subject: str

    def message(self, model: str, env: str) -> str:
        """Subject and trailers; `mainline log` reads history back from them."""
        shown = self.release.candidate or self.release.stable
        trailers = {
            "Model": model,
            "Version": str(shown.version),
            "Digest": shown.digest,
            "Run": shown.run,
            "Environment": env,
            "Action": self.action,
        }
        return f"{self.subject}\n\n" + "".join(f"{key}: {value}\n" for key, value in trailers.items())


@dataclass(frozen=True, slots=True)
class Delivered:
    """One commit, and where it went: main of the embedded remote, or a branch of origin."""

    commit: str
    branch: str
    subject: str


Decide = Callable[[Repository], Decision | None]
"""Everything declared at the newest commit -> what to change, or None when nothing has to."""


def ready(places: Places, model: str, env: str) -> Truth:
    """Where a commit about this model goes; raises Refusal for unknown names and for work that no commit has."""
    where = fresh_truth(places, env)
    refuse_unknown(places, model)
    _refuse_unpublished(places, where, model)
    return where


def deliver(where: Truth, model: str, decide: Decide) -> Delivered | None:
    """Make the one commit of a decision; None when nothing has to change.

    Of two deliveries at once the second loses the race for the reference, decides again on the commit of the first,
    and lands on top of it: history stays linear, and nothing is half-written.
    """
    for _ in range(_ATTEMPTS):
        base = where.head()
        tree = where.declarations(base)
        decision = decide(_loaded(where, base, tree))
        if decision is None:
            return None
        commit = where.git.commit(
            (base,),
            _changes(where, base, tree, model, decision),
            decision.message(model, where.environment.name),
        )
        if not where.embedded:
            return _propose(where, commit, model, decision)
        if where.git.move(MAIN, commit, base):
            return Delivered(commit, "main", decision.subject)
    raise Refusal(
        f"main of {where.git.folder.name} moved {_ATTEMPTS} times meanwhile; nothing was changed, repeat the command"
    )


def _loaded(where: Truth, base: str, tree: dict[str, str]) -> Repository:
    try:
        return load(tree)
    except DeclarationError as error:
        broken = f"{where.reference.rpartition('/')[2]} of {where.git.folder.name} ({base[:8]})"
        raise Refusal(
            f"{broken} does not parse, so nothing can be committed on it: {error.problems[0]}; "
            f"in a clone of it: git revert {base[:8]} && git push"
        ) from error


def refuse_unknown(places: Places, model: str) -> None:
    folder = places.root / "model-servers"
    known = sorted(path.parent.name for path in folder.glob("*/model.yaml"))
    if model not in known:
        raise Refusal(
            f"unknown model {model!r}: no model-servers/{model}/model.yaml; there are {', '.join(known)}"
        )


def _refuse_unpublished(places: Places, where: Truth, model: str) -> None:
    """A commit is made from commits: what only the working tree or HEAD knows would silently be left out."""
    env = where.environment.name
    clone = Git(places.root)
    paths = (f"model-servers/{model}", "infra", "Pulumi.yaml", f"Pulumi.{env}.yaml", f"clusters/{env}")
    dirty = clone.changed_paths(*paths)
    if dirty:
        more = f" and {len(dirty) - 1} more" if len(dirty) > 1 else ""
        raise Refusal(
            f"{dirty[0]}{more} has uncommitted changes, and only commits are promoted; commit or stash them first"
        )
    if not where.embedded:
        return
    head = clone.resolve("HEAD")
    if head and not where.git.is_ancestor(head, where.head()):
        raise Refusal(
            f"HEAD ({head[:8]}) and main of {where.git.folder.name} ({where.head()[:8]}) have diverged; "
            "`mainline publish` merges HEAD into it"
        )


def _changes(where: Truth, base: str, tree: dict[str, str], model: str, decision: Decision) -> Changes:
    env = where.environment.name
    path, text = release_path(model, env), dump_release(decision.release)
    return {path: text, **rerendered({**tree, path: text}, env, where.rendered(base))}


def rerendered(tree: dict[str, str], env: str, existing: Mapping[str, str]) -> Changes:
    """What rendering a tree of declarations changes in the tree that is committed for one environment."""
    wanted = render(load(tree), env)
    return {difference.path: wanted.get(difference.path) for difference in compare(wanted, existing)}


def _propose(where: Truth, commit: str, model: str, decision: Decision) -> Delivered:
    shown = decision.release.candidate or decision.release.stable
    branch = f"{decision.action}/{model}-v{shown.version}-{where.environment.name}"
    known = where.git.run("ls-remote", "origin", f"refs/heads/{branch}").split()
    if known and _same_proposal(where.git, known[0], commit, branch):
        return Delivered(known[0], branch, decision.subject)
    lease = f"--force-with-lease=refs/heads/{branch}:{known[0] if known else ''}"
    where.git.run("push", "-q", lease, "origin", f"{commit}:refs/heads/{branch}")
    return Delivered(commit, branch, decision.subject)


def _same_proposal(git: Git, known: str, commit: str, branch: str) -> bool:
    git.run("fetch", "-q", "origin", f"refs/heads/{branch}")
    ours, theirs = (git.run("rev-parse", f"{name}^{{tree}}", f"{name}^") for name in (commit, known))
    return ours == theirs
