"""The one writer of artifacts: a job hands over a Release, and v2serve, which will serve it, gives the golden answers.

The only module of trainkit that imports v2serve (docs/adr/0007-answers-by-the-code-that-serves.md).
"""

import logging
import re
import shutil
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainkit.artifact import SUMS, emptied, write_sums
from trainkit.card import model_card, tensor_table
from trainkit.documents import read_json, rounded, write_json
from trainkit.errors import TrainError
from trainkit.golden import Asked, Tensor, document, is_binary, request
from trainkit.job import Job, read_job
from trainkit.params import all_params
from trainkit.parity import Parity
from trainkit.reference import predictions
from trainkit.stage import ARTIFACT, METRICS

if TYPE_CHECKING:
    from v2serve.pipeline import Pipeline
    from v2serve.warmup import Golden

__all__ = ["Asked", "Parity", "Release", "Tensor", "write_release"]

PLATFORM = "onnxruntime_onnx"
CODE = "model.py"
OURS = {
    "model.onnx",
    "contract.json",
    "golden.json",
    "reference.json",
    "evidence.json",
    "model-card.md",
    CODE,
    SUMS,
}
PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")


@dataclass(frozen=True)
class Release:
    """What a job hands over. `parameters` go into contract.json: labels, units, limits.

    `golden` are inputs only (or Asked, with V2 parameters). `answers` are those of the graph on reference rows (test
    rows, mostly), by output: what serving's answers are compared with where inputs cannot be. `evidence` is added to
    evidence.json, `takes` is the model card's section on the input, and `not_reproducible` says why another run gives
    other bytes.
    """

    graph: bytes
    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    parameters: Mapping[str, Any]
    golden: Sequence[Mapping[str, NDArray[Any]] | Asked]
    golden_tolerance: float
    reference: Mapping[str, Any]
    about: Mapping[str, str]
    method: str
    parity: Parity
    answers: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)
    takes: str = ""
    not_reproducible: str = ""


def write_release(release: Release) -> str:
    """Write `artifact/` in the job's folder, the current one, whole or not at all; a line with its digest."""
    job = read_job(Path())
    _check(release)
    evidence = _evidence(job, release)
    try:
        digest = _written(job, release, evidence)
    except BaseException:
        shutil.rmtree(ARTIFACT, ignore_errors=True)
        raise
    found, allowed = release.parity.largest_difference, release.parity.tolerance
    return f"{digest}, largest difference from the source {found:.1e} of {allowed:g} allowed"


def _check(release: Release) -> None:
    found, allowed = release.parity.largest_difference, release.parity.tolerance
    if not found <= allowed:
        raise TrainError(
            f"model.onnx disagrees with its source by {found:.3g}, {allowed:g} are allowed: the conversion is wrong, "
            "or the tolerance too small for float32"
        )
    if not release.golden:
        raise TrainError("the release has no golden request; give inputs of at least one")
    for name in release.files:
        if name in OURS or not PATH.fullmatch(name):
            raise TrainError(
                f"the artifact's file {name!r} must be a relative path of A-Z a-z 0-9 . _ - and none of {sorted(OURS)}"
            )


def _evidence(job: Job, release: Release) -> dict[str, Any]:
    parity = {
        "largest_difference": rounded(release.parity.largest_difference, 9),
        "tolerance": release.parity.tolerance,
        "rows": release.parity.rows,
    }
    found: dict[str, Any] = {
        "job": job.name,
        "method": release.method,
        "metrics": read_json(METRICS, "run the stage evaluate first (dvc repro)"),
        "data": job.digests(),
        "params": all_params(Path()),
        "parity": parity,
        "reproducible": release.not_reproducible or "same commit, data and machine: same bytes",
    }
    if taken := sorted(found.keys() & release.evidence.keys()):
        raise TrainError(f"evidence: {', '.join(taken)} is written by trainkit; name yours otherwise")
    return found | dict(release.evidence)


def _written(job: Job, release: Release, evidence: dict[str, Any]) -> str:
    folder = emptied(ARTIFACT)
    (folder / "model.onnx").write_bytes(release.graph)
    if job.code.is_file():
        shutil.copyfile(job.code, folder / CODE)
    for name, content in sorted(release.files.items()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    write_json(folder / "contract.json", contract(job.model, release))
    write_json(folder / "reference.json", _reference(release))
    write_json(folder / "evidence.json", evidence)
    takes = release.takes or tensor_table(release.inputs)
    (folder / "model-card.md").write_text(model_card(release.about, takes, evidence), encoding="utf-8")
    _write_golden(folder, job.model, release)
    return write_sums(folder)


def _reference(release: Release) -> dict[str, Any]:
    if not release.answers:
        return dict(release.reference)
    found = predictions(release.answers, release.outputs, release.parameters.get("labels", ()))
    return {**release.reference, "predictions": found}


def contract(model: str, release: Release) -> dict[str, Any]:
    """V2 model metadata; v2serve compares it with the graph where no model.py stands between them."""
    return {
        "name": model,
        "platform": PLATFORM,
        "inputs": [_metadata(tensor) for tensor in release.inputs],
        "outputs": [_metadata(tensor) for tensor in release.outputs],
        "parameters": dict(release.parameters),
    }


def _metadata(tensor: Tensor) -> dict[str, Any]:
    found = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
    return found | ({"optional": True} if tensor.optional else {})


def _write_golden(folder: Path, model: str, release: Release) -> None:
    """Ask the finished artifact as its server will, write what it says, and let it pass its own warm-up."""
    from v2serve.artifact import ArtifactError
    from v2serve.contract import RequestCheck
    from v2serve.model import Runtime
    from v2serve.pipeline import load_pipeline
    from v2serve.protocol import Refusal
    from v2serve.warmup import check_covered, golden_answer, load_golden, warm_up

    heard = _Heard()
    try:
        with heard.listening():
            pipeline = load_pipeline(folder, model, Runtime())
            found = [_answered(pipeline, release, *pair) for pair in _asked(release)]
            write_json(folder / "golden.json", found[0] if len(found) == 1 else found)
            goldens = load_golden(folder)
            warm_up(golden_answer(RequestCheck(pipeline.contract), pipeline.run), goldens)
            check_covered(pipeline.contract, goldens)
            _rehearse(folder, pipeline, goldens)
    except (ArtifactError, Refusal) as error:
        raise TrainError(f"the artifact cannot be served: {error}{heard.said()}") from None


def _rehearse(folder: Path, pipeline: "Pipeline", goldens: Sequence["Golden"]) -> None:
    """Explain a golden request where the artifact has a plan for it: its server would not start otherwise."""
    from v2serve.contract import RequestCheck
    from v2serve.explain.explainer import Explainer
    from v2serve.explain.plan import load_plan
    from v2serve.warmup import golden_call

    if (plan := load_plan(folder, pipeline.contract)) is None:
        return
    check = RequestCheck(pipeline.contract)
    for golden in goldens:
        call = golden_call(check, golden.request)
        call.parameters = {**call.parameters, "explain": True}
        Explainer(pipeline, plan).rehearse([call], 1.0)


def _asked(release: Release) -> Iterator[tuple[Asked, str]]:
    for number, given in enumerate(release.golden, start=1):
        name = "golden" if len(release.golden) == 1 else f"golden-{number}"
        yield given if isinstance(given, Asked) else Asked(given), name


def _answered(pipeline: "Pipeline", release: Release, asked: Asked, name: str) -> dict[str, Any]:
    """A request with its answer, by the very bytes of JSON that golden.json will hold."""
    import msgspec

    from v2serve.contract import RequestCheck
    from v2serve.protocol import InferRequest
    from v2serve.warmup import golden_call

    wanted = request(asked, release.inputs, name)
    call = golden_call(
        RequestCheck(pipeline.contract), msgspec.json.decode(msgspec.json.encode(wanted), type=InferRequest)
    )
    answers = dict(zip((spec.name for spec in call.wanted), pipeline.run(call), strict=True))
    _check_raw(pipeline, asked, answers, release.golden_tolerance, name)
    for tensor in release.outputs:
        if tensor.datatype == "BYTES" and is_binary(answers[tensor.name]):
            raise TrainError(f"{name}: output {tensor.name} is not UTF-8; an answer in JSON must be")
    outputs = [document(tensor, answers[tensor.name]) for tensor in release.outputs]
    return {"request": wanted, "response": {"outputs": outputs}, "tolerance": release.golden_tolerance}


def _check_raw(
    pipeline: "Pipeline", asked: Asked, answers: Mapping[str, NDArray[Any]], tolerance: float, name: str
) -> None:
    """What went into JSON as base64 must be answered as the raw bytes are: a client may send either."""
    from v2serve.call import Call

    if not any(map(is_binary, asked.inputs.values())):
        return
    specs = pipeline.contract.outputs
    call = Call(dict(asked.inputs), list(specs), name, dict(asked.parameters))
    for spec, raw in zip(specs, pipeline.run(call), strict=True):
        if not _same(raw, answers[spec.name], tolerance):
            raise TrainError(
                f"{name}: {CODE} answers base64 text otherwise than the bytes it stands for, in output {spec.name}; "
                "decode what is base64 before anything else"
            )


def _same(one: NDArray[Any], other: NDArray[Any], tolerance: float) -> bool:
    if one.shape != other.shape:
        return False
    if one.dtype.kind == "f":
        return bool(np.allclose(one, other, rtol=0, atol=tolerance, equal_nan=True))
    return bool((one == other).all())


class _Heard(logging.Handler):
    """What v2serve would have put into the server's log: its refusal says that there is more."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        cause = record.exc_info[1] if record.exc_info else None
        self._lines.append(f"{record.getMessage()}{_place(cause) if cause else ''}")

    def said(self) -> str:
        return f" ({'; '.join(self._lines)})" if self._lines else ""

    @contextmanager
    def listening(self) -> Iterator[None]:
        log = logging.getLogger("v2serve")
        propagates, log.propagate = log.propagate, False
        log.addHandler(self)
        try:
            yield
        finally:
            log.removeHandler(self)
            log.propagate = propagates


def _place(cause: BaseException) -> str:
    """The exception and where in model.py it came from."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(cause.__traceback__)
        if Path(frame.filename).name == CODE and Path(frame.filename).parent.name == ARTIFACT.name
    ]
    where = f" in line {lines[-1]}" if lines else ""
    return f"{where}: {type(cause).__name__}: {cause}"
