"""mainline up: the whole chain on this machine, each step a verb; what is done is not done again."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from mainline.asked import Served, ask
from mainline.datasets import comes_with_packages, declared_job, jobs, refuse_without_data
from mainline.errors import Refusal
from mainline.local.environment import Embedded
from mainline.places import EMBEDDED, Places
from mainline.promote import promote
from mainline.publish import publish
from mainline.restore import lost, restore
from mainline.train import Trained, end_running, train
from mainline.truth import Truth, truth
from mainline.verify import verify

_SYNC_SECONDS = 60.0
_START_SECONDS = 15.0  # more for each model: its server loads, and answers its golden requests
_AT_ONCE = 2  # pipelines: they are mostly the start-up of their stages, or one thread that learns


class Progress(Protocol):
    """Where the steps are shown; `note` is a line that stays in a log, where nobody watches."""

    def step(self, name: str, detail: str) -> None: ...
    def note(self, name: str, detail: str) -> None: ...
    def done(self, name: str, detail: str) -> None: ...


@dataclass(slots=True)
class Outcome:
    """What serves, and why something does not: reasons by the job or model, which did not hide the others."""

    served: list[Served] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)


def up(
    places: Places, wanted: Sequence[str], everything: bool, port: int | None, progress: Progress
) -> Outcome:
    """Publish HEAD, start the environment, train, promote, wait for the sync, ask, verify.

    Without names it trains what needs neither download nor mirror; `everything` is all jobs.
    A job that fails does not hide the others; Refusal where nothing can be served at all.
    """
    chosen = _chosen(places, wanted, everything, progress)
    publish(places)
    where = truth(places, EMBEDDED)
    progress.done("git", f"main of {where.git.folder.name} is {where.head()[:8]}")
    embedded = Embedded(places.root, EMBEDDED)
    ran_before = embedded.address is not None
    try:
        _start(embedded, where.environment.port, port, progress)
        return _serve(places, where, embedded, chosen, progress)
    except KeyboardInterrupt:
        # Ctrl-C leaves nothing behind that was not there.
        if not ran_before:
            embedded.stop()
        raise


def _start(embedded: Embedded, declared: int, port: int | None, progress: Progress) -> None:
    # Without a wish a gateway that listens elsewhere already is as good.
    elsewhere = port is None and embedded.address is not None
    wanted = 0 if elsewhere else declared if port is None else port
    # In a thread, because Ctrl-C reaches the main thread only: what is half started could not be stopped.
    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(embedded.start, wanted).result()
    progress.done("environment", f"gateway at {embedded.address}")


def _serve(
    places: Places, where: Truth, embedded: Embedded, chosen: Sequence[str], progress: Progress
) -> Outcome:
    outcome = Outcome()
    trained = _train_all(places, chosen, progress, outcome)
    if not trained:
        raise Refusal(reasons(outcome))
    _restore(places, where, embedded, progress)
    for made in trained:
        with _noted(outcome, made.model):
            _promote(places, where, made, progress)
    _sync(where, embedded, progress, outcome)
    _ask_all(places, where, embedded, [declared_job(places, job).model for job in chosen], progress, outcome)
    return outcome


def reasons(outcome: Outcome) -> str:
    """Each reason once, a line each."""
    return "\n".join(dict.fromkeys(outcome.failures.values()))


@contextmanager
def _noted(outcome: Outcome, name: str) -> Iterator[None]:
    """A refusal in here is the reason of `name`, and the others go on."""
    try:
        yield
    except Refusal as refusal:
        outcome.failures.setdefault(name, str(refusal))


def _chosen(places: Places, wanted: Sequence[str], everything: bool, progress: Progress) -> list[str]:
    known = jobs(places)
    if wanted or everything:
        chosen = list(dict.fromkeys(wanted)) or known
        refuse_without_data(places, chosen)
        return chosen
    chosen = [job for job in known if comes_with_packages(declared_job(places, job))]
    if not chosen:
        raise Refusal("no job has all of its data in installed packages; name the jobs, or mainline up --all")
    left = [job for job in known if job not in chosen]
    if left:
        progress.done("jobs", f"{', '.join(chosen)}; by name or with --all: {', '.join(left)}")
    return chosen


def _train_all(places: Places, chosen: Sequence[str], progress: Progress, outcome: Outcome) -> list[Trained]:
    """Those that could be trained, as chosen; what may take longest begins first."""
    longest = sorted(chosen, key=lambda job: -declared_job(places, job).deadline)
    made: dict[str, Trained] = {}
    with ThreadPoolExecutor(max_workers=min(_AT_ONCE, os.cpu_count() or 1)) as pool:
        running = {pool.submit(_train, places, job, progress): job for job in longest}
        try:
            for future in as_completed(running):
                job = running[future]
                with _noted(outcome, job):
                    made[job] = future.result()
                if job in outcome.failures:
                    progress.done(f"train {job}", f"FAILED: {outcome.failures[job].splitlines()[0]}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            end_running()
            raise
    return [made[job] for job in chosen if job in made]


def _train(places: Places, job: str, progress: Progress) -> Trained:
    name = f"train {job}"

    def heard(line: str) -> None:
        progress.step(name, line)
        if line.startswith(f"{job} "):
            progress.note(name, line)

    progress.step(name, "begins")
    made = train(places, job, heard)
    known = "" if made.new else ", known already"
    progress.done(name, f"version {made.version}, {made.digest[7:19]}{known}")
    return made


def _restore(places: Places, where: Truth, embedded: Embedded, progress: Progress) -> None:
    missing = lost(places, where)
    if not missing:
        return
    progress.step("store", f"{len(missing)} released artifacts are not what Git names")
    restore(places, where, missing)
    applications = (embedded.status() or {}).get("applications", {}).values()
    if any(application["health"] != "Healthy" for application in applications):
        # The agent has tried in vain and waits longer each time; a new one tries at once.
        port = int((embedded.address or ":0").rpartition(":")[2])
        embedded.stop()
        embedded.start(port)
    progress.done("store", f"{', '.join(f'{model} {shown.short}' for model, shown in missing)} put back")


def _promote(places: Places, where: Truth, made: Trained, progress: Progress) -> None:
    """Only what has no release yet: which version replaces another is somebody's decision, with or without a canary."""
    name = f"promote {made.model}"
    release = where.declared(where.head()).releases.get((made.model, EMBEDDED))
    if release is None:
        promotion = promote(
            places, made.model, EMBEDDED, made.version, None, lambda word: progress.step(name, word)
        )
        commit = promotion.delivered.commit[:8] if promotion.delivered else "no commit needed"
        progress.done(name, f"version {made.version} in {commit}")
    elif made.digest in {shown.digest for shown in release.versions.values()}:
        progress.done(name, f"version {release.stable.version} serves")
    else:
        offer = f"mainline promote {made.model} --to {EMBEDDED}"
        progress.done(
            name, f"version {release.stable.version} serves; version {made.version} waits for: {offer}"
        )


def _sync(where: Truth, embedded: Embedded, progress: Progress, outcome: Outcome) -> None:
    head = where.head()
    models = len(where.declared(head).releases)
    progress.step("sync", head[:8])
    with _noted(outcome, "sync"):
        embedded.wait_synced(head, _SYNC_SECONDS + _START_SECONDS * models)
        progress.done("sync", f"{head[:8]} is live")


def _ask_all(
    places: Places,
    where: Truth,
    embedded: Embedded,
    models: Sequence[str],
    progress: Progress,
    outcome: Outcome,
) -> None:
    """Of what a release names: the others have their reason already."""
    released = {model for model, env in where.declared(where.head()).releases if env == EMBEDDED}
    # What did not come up is told by the sync; its neighbours may still be on their way.
    patience = _START_SECONDS if "sync" in outcome.failures else 0.0
    for model in (model for model in models if model in released):
        with _noted(outcome, f"{model} at the gateway"):
            progress.step("ask", model)
            outcome.served.append(ask(places, where, embedded.address or "", model, patience))
    differing = [verdict.model for verdict in verify(places, EMBEDDED, None) if not verdict.agrees]
    for model in dict.fromkeys(differing):
        outcome.failures.setdefault(
            f"{model} verified", f"{model} does not agree; `mainline verify` says where"
        )
    if not differing:
        progress.done("verify", "Git, store and live digests agree")
