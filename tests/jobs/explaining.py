"""What an artifact says of its own golden requests when it is asked to explain them, as its server asks it."""

from pathlib import Path
from typing import Any

from v2serve.call import Call
from v2serve.contract import RequestCheck
from v2serve.explain.explainer import Explainer
from v2serve.explain.plan import load_plan
from v2serve.model import Runtime
from v2serve.pipeline import load_pipeline
from v2serve.warmup import golden_call, load_golden

Answers = dict[str, Any]


def golden_explained(artifact: Path, model: str) -> list[Answers]:
    """The outputs by name, `explanation` and `explanation_base` among them, of each golden request."""
    pipeline = load_pipeline(artifact, model, Runtime())
    plan, check = load_plan(artifact, pipeline.contract), RequestCheck(pipeline.contract)
    assert plan is not None
    explainer = Explainer(pipeline, plan)
    return [_told(explainer, golden_call(check, golden.request)) for golden in load_golden(artifact)]


def explained(artifact: Path, model: str, **feeds: Any) -> Answers:
    """The same of other inputs; BadInput as a caller would hear it."""
    pipeline = load_pipeline(artifact, model, Runtime())
    plan = load_plan(artifact, pipeline.contract)
    assert plan is not None
    return _told(Explainer(pipeline, plan), Call(feeds, list(pipeline.contract.outputs)))


def _told(explainer: Explainer, call: Call) -> Answers:
    call.parameters = {"explain": True}
    explainer.admit(call)
    answers = explainer.run(call)
    return {spec.name: array for spec, array in zip(call.wanted, answers, strict=True)}
