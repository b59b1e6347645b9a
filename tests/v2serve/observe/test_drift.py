"""Drift statistics against a plain computation, and what they say of shifted data."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from tests.v2serve.observe.test_metrics import values
from trainkit.reference import reference as training_reference
from trainkit.table import Column, Schema, Table
from v2serve.contract import Contract, TensorSpec
from v2serve.observe.drift import DriftStatistics
from v2serve.observe.exposition import render
from v2serve.observe.histograms import stability_indexes
from v2serve.observe.metrics import Release
from v2serve.observe.reference import Reference, load_reference

NAMES = ("length", "width")
OUTPUTS = (TensorSpec("label", "BYTES", (-1,)), TensorSpec("probabilities", "FP32", (-1, 3)))
WIDE = Contract("iris", "onnx", (TensorSpec("features", "FP32", (-1, 2)),), OUTPUTS)
CLASSES = {"setosa": 0.5, "versicolor": 0.3, "virgínica": 0.2}
TRAINED = np.random.default_rng(7).normal((5.0, 0.2), (1.0, 0.05), (2000, 2)).astype(np.float32)


def document(trained: np.ndarray[Any, Any] = TRAINED) -> dict[str, Any]:
    """What a training job exports, by its own code."""
    columns = tuple(Column(name, "cm", -100, 100) for name in NAMES)
    labels = np.repeat([*CLASSES], [int(share * len(trained)) for share in CLASSES.values()])
    return training_reference(Table(trained, labels), Schema(columns, tuple(CLASSES)))


def loaded(folder: Path, contract: Contract = WIDE, text: str | None = None) -> Any:
    (folder / "reference.json").write_text(json.dumps(document()) if text is None else text)
    return load_reference(folder, contract)


def statistics(folder: Path, contract: Contract = WIDE, **chosen: Any) -> DriftStatistics:
    return DriftStatistics(*loaded(folder, contract), **chosen)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reference")


def asked(
    drift: DriftStatistics, rows: np.ndarray[Any, Any], answers: list[Any] | None = None
) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    labels = np.array(["setosa"] * len(rows) if answers is None else answers, object)
    drift.note({"features": rows}, OUTPUTS, [labels, np.zeros((len(rows), 3))])
    while drift.fold():
        pass
    return told(drift)


def told(drift: DriftStatistics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return values(render(drift.samples()))


def of(found: Mapping[Any, float], name: str, **own: str) -> float:
    return found[name, frozenset(own.items())]


numbers = st.floats(width=32) | st.sampled_from([*map(float, TRAINED[:, 1]), float("nan"), float("inf")])


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=50))
def test_every_count_is_that_of_a_plain_computation(folder: Path, rows: list[tuple[float, float]]) -> None:
    matrix = np.array(rows, np.float32)
    found = asked(statistics(folder), matrix)
    for column, trained, feature in zip(matrix.T, TRAINED.T, NAMES, strict=True):
        finite = column[np.isfinite(column)].astype(np.float64)
        plain = {
            "values_total": len(column),
            "null_total": np.isnan(column).sum(),
            "below_range_total": (column < trained.min()).sum(),
            "above_range_total": (column > trained.max()).sum(),
            "finite_total": len(finite),
            "value_sum": finite.sum(),
            "value_squares_total": (finite**2).sum(),
        }
        for name, count in plain.items():
            assert of(found, f"inference_input_{name}", feature=feature) == pytest.approx(count), name
        edges = np.quantile(trained, np.arange(1, 10) / 10, method="nearest")
        limits = [-np.inf, *edges, np.inf]
        for number in range(10):
            inside = (column > limits[number]) & (column <= limits[number + 1])
            inside |= (column == -np.inf) & (number == 0)
            assert of(found, "inference_input_bin_total", feature=feature, bin=str(number)) == inside.sum()


def test_the_training_data_itself_falls_into_its_bins_exactly(folder: Path) -> None:
    found = asked(statistics(folder), TRAINED)
    for feature, stated in zip(NAMES, document()["features"], strict=True):
        for number, share in enumerate(stated["shares"]):
            count = of(found, "inference_input_bin_total", feature=feature, bin=str(number))
            assert count / len(TRAINED) == pytest.approx(share, abs=1e-6)
        assert of(found, "inference_input_stability_index", feature=feature) == pytest.approx(0, abs=1e-9)
        assert of(found, "inference_input_below_range_total", feature=feature) == 0
        assert of(found, "inference_input_above_range_total", feature=feature) == 0


def test_shifted_data_raises_the_index_of_its_feature_alone(folder: Path) -> None:
    fresh = np.random.default_rng(8).normal((5.0, 0.2), (1.0, 0.05), (3000, 2)).astype(np.float32)
    fresh[:, 0] += 1.0  # a standard deviation
    found = asked(statistics(folder), fresh)
    assert of(found, "inference_input_stability_index", feature="length") > 0.25
    assert of(found, "inference_input_stability_index", feature="width") < 0.1


def test_the_index_is_the_formula_written_out() -> None:
    counts, expected = np.array([30, 70, 0, 10]), np.array([0.5, 0.5, 0.0, 1.0])
    first = (0.3 - 0.5) * np.log(0.3 / 0.5) + (0.7 - 0.5) * np.log(0.7 / 0.5)
    second = (1e-4 - 1e-4) * 0 + (1 - 1.0) * 0
    assert stability_indexes(counts, expected, np.array([0, 2])) == pytest.approx([first, second])


def test_the_index_forgets_after_15_minutes_and_the_counters_do_not(folder: Path) -> None:
    now = 1000.0
    drift = statistics(folder, clock=lambda: now)
    asked(drift, TRAINED[:100])
    now += 14 * 60
    assert of(told(drift), "inference_input_window_rows", feature="width") == 100
    now += 60
    found = told(drift)
    assert of(found, "inference_input_window_rows", feature="width") == 0
    assert ("inference_input_stability_index", frozenset({("feature", "width")})) not in found
    assert of(found, "inference_input_values_total", feature="width") == 100


def test_answers_are_counted_by_class_and_unknown_ones_together(folder: Path) -> None:
    answers = ["setosa", "virgínica", "virgínica".encode(), "rose", b"\xff"]
    found = asked(statistics(folder), TRAINED[:5], answers)
    counts = {
        name: of(found, "inference_prediction_total", **{"class": name}) for name in (*CLASSES, "other")
    }
    assert counts == {"setosa": 1, "versicolor": 0, "virgínica": 2, "other": 2}


def test_classes_may_be_answered_by_their_number(tmp_path: Path) -> None:
    output = TensorSpec("label", "INT64", (-1,))
    drift = statistics(tmp_path, Contract("iris", "onnx", WIDE.inputs, (output,)))
    drift.note({"features": TRAINED[:4]}, [output], [np.array([0, 2, 2, -1])])
    drift.fold()
    found = told(drift)
    assert of(found, "inference_prediction_total", **{"class": "virgínica"}) == 2
    assert of(found, "inference_prediction_total", **{"class": "other"}) == 1


def test_other_answers_than_in_training_raise_the_index_of_the_predictions(folder: Path) -> None:
    usual = ["setosa"] * 50 + ["versicolor"] * 30 + ["virgínica"] * 20
    same = asked(statistics(folder), TRAINED[:100], usual)
    assert of(same, "inference_prediction_stability_index") == pytest.approx(0)
    other = asked(statistics(folder), TRAINED[:100], ["virgínica"] * 100)
    assert of(other, "inference_prediction_stability_index") > 0.25


@pytest.mark.parametrize("wanted", [OUTPUTS[::-1], OUTPUTS[:1], OUTPUTS[1:]])
def test_the_label_is_found_wherever_the_caller_asked_for_it(folder: Path, wanted: Any) -> None:
    drift = statistics(folder)
    arrays = {"label": np.array(["setosa"], object), "probabilities": np.zeros((1, 3))}
    drift.note({"features": TRAINED[:1]}, wanted, [arrays[spec.name] for spec in wanted])
    drift.fold()
    counted = of(told(drift), "inference_prediction_total", **{"class": "setosa"})
    assert counted == (OUTPUTS[0] in wanted)


def test_features_may_come_as_inputs_of_their_names(tmp_path: Path) -> None:
    inputs = (TensorSpec("width", "FP64", (-1,)), TensorSpec("length", "FP64", (-1, 1)))
    drift = statistics(tmp_path, Contract("iris", "onnx", inputs, OUTPUTS))
    rows = TRAINED[:50].astype(np.float64)
    drift.note({"width": rows[:, 1], "length": rows[:, :1]}, [], [])
    drift.note({"width": rows[:3, 1], "length": rows[:2, :1]}, [], [])  # no rows: not looked at
    drift.fold()
    found = told(drift)
    assert of(found, "inference_input_value_sum", feature="length") == pytest.approx(rows[:, 0].sum())
    assert of(found, "inference_input_value_sum", feature="width") == pytest.approx(rows[:, 1].sum())
    assert of(found, "inference_statistics_dropped_total") == 2


def test_what_a_request_holds_is_not_held_longer_than_the_request(folder: Path) -> None:
    drift = statistics(folder)
    body = bytearray(TRAINED[:1].tobytes())
    drift.note({"features": np.frombuffer(body, np.float32).reshape(1, 2)}, [], [])
    body[:] = b"\x00" * len(body)
    body += b"x"  # a buffer that is still exported could not grow
    drift.fold()
    assert of(told(drift), "inference_input_value_sum", feature="length") == pytest.approx(TRAINED[0, 0])


@pytest.mark.parametrize("rows", [30_000, 300_000])
def test_of_many_rows_an_even_sample_is_looked_at_and_the_rest_is_said(folder: Path, rows: int) -> None:
    drift = statistics(folder)
    many = TRAINED[np.random.default_rng(9).integers(0, len(TRAINED), rows)]
    found = asked(drift, many)
    looked = of(found, "inference_input_values_total", feature="length")
    assert 5_000 < looked <= 20_000
    assert looked + of(found, "inference_statistics_dropped_total") == rows
    assert of(found, "inference_input_stability_index", feature="length") < 0.01


def test_calls_that_nobody_folds_are_dropped_and_counted(folder: Path) -> None:
    drift = statistics(folder)
    for _ in range(9000):
        drift.note({"features": TRAINED[:1]}, [], [])
    while drift.fold():
        pass
    found = told(drift)
    assert of(found, "inference_input_values_total", feature="length") == 8192
    assert of(found, "inference_statistics_dropped_total") == 9000 - 8192


def test_memory_that_waits_is_bounded(folder: Path) -> None:
    drift = statistics(folder)
    large = np.zeros((200_000, 2), np.float32)
    for _ in range(50):
        drift.note({"features": large}, [], [])
    assert sum(array.nbytes for arrays, _ in drift._pending for array in arrays) <= 10 << 20
    while drift.fold():
        pass
    drift.note({"features": large[:1]}, [], [])
    assert len(drift._pending) == 1, "there is room again"


def test_no_rows_are_no_fault(folder: Path) -> None:
    found = asked(statistics(folder), TRAINED[:0])
    assert of(found, "inference_input_values_total", feature="length") == 0


def test_the_samples_bear_the_labels_of_the_release(folder: Path) -> None:
    own = Release("iris", "4", "sha256:0").labels()
    text = render(statistics(folder, own=own).samples()).decode()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            assert sample.labels["model"] == "iris"
            assert sample.labels["version"] == "4"


def changed(**fields: Any) -> str:
    first, second = document()["features"]
    return json.dumps({**document(), "features": [{**first, **fields}, second]})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "truncated"),
        ("[]", "Expected `object`"),
        ('{"features": []}', "it has no features, no classes and no predictions"),
        (json.dumps({"features": [document()["features"][0]] * 257}), "features: 257 given; up to 256"),
        (changed(shares=[1.0]), "feature length: 9 quantiles need 10 shares"),
        (changed(quantiles=[1.0] * 9), "feature length: quantiles do not rise"),
        (changed(shares=[0.0] * 10), "feature length: shares are not those of a whole"),
        (changed(min=9.0, max=1.0), "feature length: min 9 is above max 1"),
        (changed(quantiles=[], shares=[1.0]), "feature length: no quantiles, so that all values are"),
        (changed(name="width"), "features: a name is given twice"),
        (json.dumps({"features": [document()["features"][0]]}), "no input is [rows, 1], none is named as"),
        (json.dumps({"images": {"mean": 0.5}}), "it has no features, no classes and no predictions"),
    ],
)
def test_a_reference_of_another_shape_is_one_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, reason: str
) -> None:
    with caplog.at_level(logging.WARNING, "v2serve"):
        assert loaded(tmp_path, WIDE, text) is None
    assert len(caplog.records) == 1
    assert "model iris: no statistics of its data: reference.json: " in caplog.text
    assert reason in caplog.text


def test_an_artifact_without_a_reference_is_one_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert load_reference(tmp_path, WIDE) is None
    assert [record.getMessage() for record in caplog.records] == [
        "model iris: no statistics of its data: reference.json: No such file or directory"
    ]


def test_a_feature_that_is_constant_has_its_bins(tmp_path: Path) -> None:
    constant = TRAINED.copy()
    constant[:, 0] = 3.0
    reference, place = loaded(tmp_path, WIDE, json.dumps(document(constant)))
    assert isinstance(reference, Reference)
    found = asked(DriftStatistics(reference, place), constant)
    assert of(found, "inference_input_stability_index", feature="length") == pytest.approx(0)
