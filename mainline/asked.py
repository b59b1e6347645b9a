"""A model that serves, asked: its golden request at the gateway, how fast, and what was measured of it."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from infra.declarations.model import Gate
from mainline.errors import Refusal
from mainline.history import entries
from mainline.live import Answer, Unanswered, infer, p95
from mainline.places import EMBEDDED, Places
from mainline.truth import Truth

_CALLS = 100
_PAUSE = 0.25


@dataclass(frozen=True, slots=True)
class Bar:
    """A gate and the release's metric; exactly one of the bounds is set."""

    metric: str
    value: float | None
    at_least: float | None
    at_most: float | None

    def __str__(self) -> str:
        value = "not measured" if self.value is None else f"{self.value:.4g}"
        sign, bound = (">=", self.at_least) if self.at_least is not None else ("<=", self.at_most)
        return f"{self.metric} {value} {sign} {bound:g}"


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
    bars: tuple[Bar, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def ask(places: Places, where: Truth, address: str, model: str, patience: float) -> Served:
    """Ask what Git says serves; `patience`: seconds that it may take to come up. Refusal if it does not answer."""
    declared = where.declared(where.head())
    release = declared.releases[model, EMBEDDED].stable
    request = golden_request(places, model, release.digest)
    try:
        answer = _answer(address, model, request, time.monotonic() + patience)
        slow = p95(address, model, request, _CALLS)
    except Unanswered as error:
        raise Refusal(f"{model} at {address} does not answer: {error}") from error
    if answer.digest != release.digest:
        raise Refusal(f"{model} at {address} answers with {answer.digest}, Git says {release.digest}")
    since = next(e for e in entries(where.git, where.head(), model, EMBEDDED) if e.digest == answer.digest)
    return Served(
        model,
        release.version,
        answer.digest,
        since.commit,
        f"{address}/v2/models/{model}",
        shown(answer.body["outputs"]),
        round(1000 * slow, 2),
        bars(declared.models[model].gates, release.evidence),
    )


def golden_request(places: Places, model: str, digest: str) -> Mapping[str, Any]:
    """The first golden request of a stored artifact; golden.json is one with its answer, or a list of them."""
    golden = json.loads((places.store / model / digest[7:] / "golden.json").read_text("utf-8"))
    found: Mapping[str, Any] = (golden[0] if isinstance(golden, list) else golden)["request"]
    return found


def bars(gates: Sequence[Gate], evidence: Mapping[str, float]) -> tuple[Bar, ...]:
    return tuple(Bar(gate.metric, evidence.get(gate.metric), gate.at_least, gate.at_most) for gate in gates)


def shown(outputs: Sequence[Mapping[str, Any]]) -> str:
    """The first element of each output: `label setosa, probabilities 0.98`."""
    return ", ".join(f"{output['name']} {_first(output['data'])}" for output in outputs)


def _answer(address: str, model: str, request: Mapping[str, Any], until: float) -> Answer:
    while True:
        try:
            return infer(address, model, request)
        except Unanswered:
            if time.monotonic() >= until:
                raise
            time.sleep(_PAUSE)


def _first(data: Any) -> str:
    while isinstance(data, list):
        if not data:
            return "nothing"
        data = data[0]
    return f"{data:.4g}" if isinstance(data, float) else str(data)
