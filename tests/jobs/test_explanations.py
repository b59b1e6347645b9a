"""Tables: the Shapley values in the artifacts of both jobs add up to what they answer."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.jobs.conftest import Run
from tests.jobs.explaining import golden_explained
from v2serve.tensors import Array

OUTPUTS = {"iris": ("probabilities", 4), "production-tabular": ("probability", 10)}


@pytest.fixture(params=OUTPUTS)
def exported(request: pytest.FixtureRequest, clone: Path, run: Run) -> tuple[str, Path]:
    job = clone / "training-jobs" / request.param
    assert run(job, "-m", "trainkit", "fetch", ".").returncode == 0
    assert run(job, "train.py").returncode == 0
    (job / "metrics.json").write_text('{"accuracy": 0.5}', encoding="utf-8")
    done = run(job, "export.py")
    assert done.returncode == 0, done.stderr
    return request.param, job / "artifact"


@pytest.mark.slow
def test_the_values_of_a_row_add_up_to_its_answer(exported: tuple[str, Path]) -> None:
    name, artifact = exported
    output, features = OUTPUTS[name]
    (told,) = golden_explained(artifact, name)
    answer: Array = told[output] if told[output].ndim == 1 else told[output].max(axis=1)
    assert told["explanation"].shape == (len(answer), features)
    assert np.abs(told["explanation"]).max() > 0.01
    assert told["explanation"].sum(axis=1) + told["explanation_base"] == pytest.approx(answer, abs=1e-5)
    plan = json.loads((artifact / "explain.json").read_text("utf-8"))
    assert len(plan["background"]) == 8
