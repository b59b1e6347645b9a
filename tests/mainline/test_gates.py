"""Promotion gates: what passes, what never does, and the reason that is given."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.declarations.model import Gate, ServedModel
from policies.gates import LAMBDA_BYTES, examine, fits, passed

ACCURACY = Gate(metric="accuracy", at_least=0.95)
LOSS = Gate(metric="log_loss", at_most=0.2)


def _reasons(findings):
    return [finding.reason for finding in findings if not finding.passed]


@pytest.mark.parametrize(
    ("evidence", "reasons"),
    [
        ({"accuracy": 0.96}, []),
        ({"accuracy": 0.95}, []),
        ({"accuracy": 0.94}, ["accuracy is 0.94, the bar is at least 0.95"]),
        ({}, ["accuracy was not measured"]),
        ({"accuracy": math.nan}, ["accuracy was not measured"]),
    ],
    ids=["above the bar", "on the bar", "below the bar", "not measured", "not a number"],
)
def test_a_floor_is_met_or_says_why_not(evidence, reasons):
    findings = examine([ACCURACY], evidence, None)
    assert _reasons(findings) == reasons
    assert passed(findings) is (not reasons)


def test_a_ceiling_is_met_or_says_why_not():
    assert passed(examine([LOSS], {"log_loss": 0.2}, None))
    assert _reasons(examine([LOSS], {"log_loss": 0.21}, None)) == ["log_loss is 0.21, the bar is at most 0.2"]


def test_a_model_without_gates_is_never_promoted():
    assert not passed(examine([], {"accuracy": 1.0}, None))


def test_a_version_that_is_worse_than_what_serves_is_refused_although_it_meets_the_bar():
    findings = examine([ACCURACY], {"accuracy": 0.96}, {"accuracy": 0.97})
    assert _reasons(findings) == ["0.96 against 0.97"]


def test_a_tolerance_allows_exactly_that_much_less():
    gate = ACCURACY.model_copy(update={"tolerance": 0.01})
    assert passed(examine([gate], {"accuracy": 0.96}, {"accuracy": 0.97}))
    assert not passed(examine([gate], {"accuracy": 0.9599}, {"accuracy": 0.97}))


def test_a_ceiling_compares_in_its_own_direction():
    assert passed(examine([LOSS], {"log_loss": 0.1}, {"log_loss": 0.15}))
    assert _reasons(examine([LOSS], {"log_loss": 0.15}, {"log_loss": 0.1})) == ["0.15 against 0.1"]


def test_what_serves_without_the_metric_does_not_stop_a_version_that_has_it():
    findings = examine([ACCURACY], {"accuracy": 0.96}, {})
    assert passed(findings)
    assert "what serves has no accuracy" in findings[-1].reason


@given(st.floats(0, 1), st.floats(0, 1))
def test_what_serves_is_never_replaced_by_less(serving, measured):
    findings = examine([Gate(metric="accuracy", at_least=0.0)], {"accuracy": measured}, {"accuracy": serving})
    assert passed(findings) is (measured >= serving or math.isclose(measured, serving, abs_tol=1e-12))


def _model(target: str) -> ServedModel:
    declared = {
        "name": "iris",
        "owner": "flowers",
        "description": "Which iris it is.",
        "job": "iris",
        "gates": [{"metric": "accuracy", "at_least": 0.9}],
        "objective": {"latency_p95_ms": 20, "availability": 0.999},
        "target": target,
    }
    return ServedModel.model_validate(declared)


@pytest.mark.parametrize(("more", "passes"), [(-1, True), (0, False)])
def test_a_model_behind_lambda_is_small_enough_to_start_cold(more: int, passes: bool) -> None:
    (found,) = fits(_model("lambda"), {"model.onnx": LAMBDA_BYTES - 1000, "golden.json": 1000 + more})
    assert found.passed is passes
    assert found.reason == "the artifact has 50.0 MiB, and `target: lambda` takes 50"


def test_a_model_in_the_cluster_may_be_of_any_size() -> None:
    assert fits(_model("kserve"), {"model.onnx": LAMBDA_BYTES * 100}) == []
