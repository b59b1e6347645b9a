"""mainline up: the whole chain on this machine, each step a verb; what is done is not done again."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from mainline.errors import Refusal
from mainline.history import entries
from mainline.live import Answer, Unanswered, infer, p95
from mainline.local.environment import Embedded
from mainline.places import EMBEDDED, Places
from mainline.promote import promote
from mainline.publish import publish
from mainline.restore import lost, restore
from mainline.train import Trained, jobs, refuse_unknown_job, train
from mainline.truth import Truth, truth
from mainline.verify import verify

_SYNC_SECONDS = 60.0
_CALLS = 100


class Progress(Protocol):
    """Where the steps are shown."""

    def step(self, name: str, detail: str) -> None: ...
    def done(self, name: str, detail: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Served:
    """One line of the closing table."""

    model: str
    version: int
    digest: str
    commit: str
    address: str
    answer: str
    p95_ms: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def up(places: Places, wanted: Sequence[str], port: int | None, progress: Progress) -> list[Served]:
    """Publish HEAD, start the environment, train, promote, wait for the sync, ask, verify."""
    chosen = _chosen(places, wanted)
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
) -> list[Served]:
    trained = _train_all(places, chosen, progress)
    _restore(places, where, embedded, progress)
    for made in trained:
        _promote(places, where, made, progress)
    head = where.head()
    progress.step("sync", head[:8])
    embedded.wait_synced(head, _SYNC_SECONDS)
    progress.done("sync", f"{head[:8]} is live")
    return _ask_all(places, where, embedded, [made.model for made in trained], progress)


def _chosen(places: Places, wanted: Sequence[str]) -> list[str]:
    for job in wanted:
        refuse_unknown_job(places, job)
    return list(wanted) or jobs(places)


def _train_all(places: Places, chosen: Sequence[str], progress: Progress) -> list[Trained]:
    # Two at a time: a pipeline is mostly the start-up of its stages.
    with ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(lambda job: _train(places, job, progress), chosen))


def _train(places: Places, job: str, progress: Progress) -> Trained:
    made = train(places, job, lambda line: progress.step(f"train {job}", line))
    known = "" if made.new else ", known already"
    progress.done(f"train {job}", f"version {made.version}, {made.digest[7:19]}{known}")
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


def _ask_all(
    places: Places, where: Truth, embedded: Embedded, models: Sequence[str], progress: Progress
) -> list[Served]:
    differing = [verdict for verdict in verify(places, EMBEDDED, None) if not verdict.agrees]
    if differing:
        raise Refusal(f"{differing[0].model} does not agree; `mainline verify` says where")
    progress.done("verify", "Git, store and live digests agree")
    return [_ask(places, where, embedded, model) for model in models]


def _ask(places: Places, where: Truth, embedded: Embedded, model: str) -> Served:
    release = where.declared(where.head()).releases[model, EMBEDDED].stable
    golden = json.loads((_stored(places, model, release.digest) / "golden.json").read_text("utf-8"))
    address = embedded.address or ""
    try:
        answer = infer(address, model, golden["request"])
        slow = p95(address, model, golden["request"], _CALLS)
    except Unanswered as error:
        raise Refusal(f"{model} at {address} does not answer: {error}") from error
    since = next(e for e in entries(where.git, where.head(), model, EMBEDDED) if e.digest == answer.digest)
    link = f"{address}/v2/models/{model}"
    return Served(
        model, release.version, answer.digest, since.commit, link, _shown(answer), round(1000 * slow, 2)
    )


def _stored(places: Places, model: str, digest: str) -> Path:
    return places.store / model / digest[7:]


def _shown(answer: Answer) -> str:
    """The first element of each output: `label setosa, probabilities 0.98`."""
    outputs: Sequence[Mapping[str, Any]] = answer.body["outputs"]
    return ", ".join(f"{output['name']} {_first(output['data'])}" for output in outputs)


def _first(data: Any) -> str:
    while isinstance(data, list):
        data = data[0]
    return f"{data:.4g}" if isinstance(data, float) else str(data)
