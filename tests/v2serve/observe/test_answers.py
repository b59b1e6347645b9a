"""What is watched of models whose inputs nobody can put into bins: their answers, against those on reference rows."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.v2serve.observe.test_drift import of, told
from trainkit.golden import Tensor
from trainkit.reference import predictions
from v2serve.contract import Contract, TensorSpec
from v2serve.observe.drift import DriftStatistics
from v2serve.observe.reference import load_reference

IMAGES = (TensorSpec("image", "BYTES", (-1,)),)
SURE = TensorSpec("probabilities", "FP32", (-1, 3))
LABEL = TensorSpec("label", "BYTES", (-1,))
NAMED = Contract("animals", "onnx", IMAGES, (SURE, LABEL))
ANIMALS = ("ant", "bee", "cat")
BLURRED, SCORE = TensorSpec("blurred", "BOOL", (-1,)), TensorSpec("score", "FP32", (-1,))
JUDGED = Contract("blur", "onnx", IMAGES, (BLURRED, SCORE))
ANSWERED = np.random.default_rng(7).dirichlet((4.0, 2.0, 1.0), 2000).astype(np.float32)


def named(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.array(ANIMALS, object)[rows.argmax(axis=1)]


def statistics(folder: Path, contract: Contract, answers: dict[str, Any], **chosen: Any) -> DriftStatistics:
    """Of the reference that a training job exports, by its own code."""
    tensors = [Tensor(spec.name, spec.datatype, spec.shape) for spec in contract.outputs]
    document = {"rows": 2000, "predictions": predictions(answers, tensors, ANIMALS)}
    (folder / "reference.json").write_text(json.dumps(document, sort_keys=True), encoding="utf-8")
    found = load_reference(folder, contract)
    assert found is not None
    return DriftStatistics(*found, **chosen)


def animals(folder: Path, **chosen: Any) -> DriftStatistics:
    answers = {"probabilities": ANSWERED, "label": named(ANSWERED).astype(np.str_)}
    return statistics(folder, NAMED, answers, **chosen)


def answered(drift: DriftStatistics, rows: np.ndarray[Any, Any], *wanted: TensorSpec) -> Any:
    arrays = {"probabilities": rows, "label": named(rows)}
    specs = wanted or NAMED.outputs
    drift.note({"image": np.empty(len(rows), object)}, specs, [arrays[spec.name] for spec in specs])
    while drift.fold():
        pass
    return told(drift)


def test_the_reference_answers_themselves_have_no_drift(tmp_path: Path) -> None:
    found = answered(animals(tmp_path), ANSWERED)
    assert of(found, "inference_output_stability_index", output="probabilities") == pytest.approx(0, abs=1e-9)
    assert of(found, "inference_output_window_rows", output="probabilities") == 2000
    assert of(found, "inference_prediction_stability_index") == pytest.approx(0, abs=1e-9)
    assert of(found, "inference_prediction_total", **{"class": "bee"}) == (named(ANSWERED) == "bee").sum()


def test_an_unsure_model_is_seen_by_its_largest_probabilities(tmp_path: Path) -> None:
    unsure = np.random.default_rng(8).dirichlet((20.0, 19.0, 18.0), 1000).astype(np.float32)
    found = answered(animals(tmp_path), unsure)
    assert of(found, "inference_output_stability_index", output="probabilities") > 0.25
    least = ANSWERED.max(axis=1).min()
    below = of(found, "inference_output_below_range_total", output="probabilities")
    assert below == (unsure.max(axis=1) < least).sum()


def test_other_classes_than_the_model_answered_then_raise_their_index_alone(tmp_path: Path) -> None:
    found = answered(animals(tmp_path), ANSWERED[:, [2, 1, 0]])  # ants are cats now, as surely as ever
    assert of(found, "inference_prediction_stability_index") > 0.25
    assert of(found, "inference_output_stability_index", output="probabilities") < 0.01


def test_booleans_are_classes_by_the_names_of_json(tmp_path: Path) -> None:
    scores = np.linspace(0.1, 0.9, 100, dtype=np.float32)
    drift = statistics(tmp_path, JUDGED, {"blurred": scores > 0.7, "score": scores})
    drift.note({}, JUDGED.outputs, [np.array([True, False, False]), np.array([0.9, 0.1, np.nan], np.float32)])
    drift.fold()
    found = told(drift)
    counts = {
        name: of(found, "inference_prediction_total", **{"class": name})
        for name in ("true", "false", "other")
    }
    assert counts == {"true": 1, "false": 2, "other": 0}
    assert of(found, "inference_output_values_total", output="score") == 3
    assert of(found, "inference_output_null_total", output="score") == 1
    assert of(found, "inference_output_bin_total", output="score", bin="0") == 1
    assert of(found, "inference_output_bin_total", output="score", bin="9") == 1


@pytest.mark.parametrize("wanted", [(LABEL, SURE), (LABEL,), (SURE,)])
def test_outputs_are_found_wherever_the_caller_asked_for_them(tmp_path: Path, wanted: Any) -> None:
    found = answered(animals(tmp_path), ANSWERED[:10], *wanted)
    assert of(found, "inference_output_values_total", output="probabilities") == 10 * (SURE in wanted)
    counted = sum(of(found, "inference_prediction_total", **{"class": name}) for name in ANIMALS)
    assert counted == 10 * (LABEL in wanted)


def test_features_and_answers_are_watched_beside_each_other(tmp_path: Path) -> None:
    from tests.v2serve.observe import test_drift as tables

    tensor = Tensor("probabilities", "FP32", (-1, 3))
    document = {**tables.document(), "predictions": predictions({"probabilities": ANSWERED}, [tensor], ())}
    drift = DriftStatistics(*tables.loaded(tmp_path, text=json.dumps(document)))
    labels = np.array(["setosa"] * 5, object)
    drift.note({"features": tables.TRAINED[:5]}, tables.OUTPUTS, [labels, ANSWERED[:5]])
    drift.fold()
    found = told(drift)
    assert of(found, "inference_input_values_total", feature="width") == 5
    assert of(found, "inference_output_values_total", output="probabilities") == 5
    assert of(found, "inference_prediction_total", **{"class": "setosa"}) == 5


def test_an_answer_that_lies_in_a_request_is_not_held_longer_than_it(tmp_path: Path) -> None:
    drift = statistics(tmp_path, JUDGED, {"score": np.linspace(0, 1, 50, dtype=np.float32)})
    body = bytearray(np.float32(0.25).tobytes())
    drift.note({}, (SCORE,), [np.frombuffer(body, np.float32)])
    body += b"x"  # a buffer that is still exported could not grow
    drift.fold()
    assert of(told(drift), "inference_output_values_total", output="score") == 1


def test_of_many_answers_an_even_sample_is_looked_at_and_the_rest_is_said(tmp_path: Path) -> None:
    found = answered(animals(tmp_path), np.tile(ANSWERED, (40, 1)))
    looked = of(found, "inference_output_values_total", output="probabilities")
    assert 5_000 < looked <= 20_000
    assert looked + of(found, "inference_statistics_dropped_total") == 80_000


def test_memory_of_large_answers_that_wait_is_bounded(tmp_path: Path) -> None:
    drift = animals(tmp_path)
    large = np.zeros((400_000, 3), np.float32)
    for _ in range(50):
        drift.note({}, (SURE,), [large])
    held = sum(array.nbytes for _, answers in drift._pending for array in answers if array is not None)
    assert held <= 10 << 20
    while drift.fold():
        pass
    drift.note({}, (SURE,), [large[:1]])
    assert len(drift._pending) == 1, "there is room again"


def test_classes_of_an_older_artifact_are_watched_without_predictions(tmp_path: Path) -> None:
    shares = {"classes": {"ant": 0.5, "bee": 0.3, "cat": 0.2}}
    (tmp_path / "reference.json").write_text(json.dumps(shares), encoding="utf-8")
    found = load_reference(tmp_path, NAMED)
    assert found is not None
    assert found[1].label == "label"
    counted = answered(DriftStatistics(*found), ANSWERED[:7])
    assert sum(of(counted, "inference_prediction_total", **{"class": name}) for name in ANIMALS) == 7


def shared(**classes: float) -> str:
    return json.dumps({"predictions": {"classes": classes}})


def changed(**fields: Any) -> str:
    (told_of,) = predictions({"score": np.linspace(0, 1, 50)}, [Tensor("score", "FP32", (-1,))], ())[
        "outputs"
    ]
    return json.dumps({"predictions": {"outputs": [{**told_of, **fields}]}})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (changed(name="other"), "it has no features, no classes and no predictions that an output"),
        (changed(shares=[1.0]), "feature score: 9 quantiles need 10 shares"),
        (changed(quantiles=[1.0] * 9), "feature score: quantiles do not rise"),
        ('{"predictions": {"outputs": [{"name": "score"}]}}', "missing required field"),
        ('{"classes": {"false": 1.0}}', "it has no features, no classes"),
        ('{"classes": {"false": 1.5}}', "classes: shares are not those of a whole"),
        (shared(false=-5, true=6), "predictions.classes: shares are not those of a whole"),
        (shared(false=0, true=0), "predictions.classes: shares are not those of a whole"),
        (shared(false=0.5, true=1e300), "predictions.classes: shares are not those of a whole"),
        (shared(false=1e308, true=1e308), "predictions.classes: shares are not those of a whole"),
        (shared(false=0.5, true=0.52), "predictions.classes: shares are not those of a whole"),
        (changed(min=2.0, max=1.0), "feature score: min 2 is above max 1"),
        (
            changed(quantiles=[], shares=[1.0]),
            "feature score: no quantiles, so that all values are in one bin",
        ),
        (json.dumps({"predictions": {"classes": dict.fromkeys(map(str, range(1001)), 0.001)}}), "1001 given"),
    ],
)
def test_predictions_of_another_shape_are_one_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, reason: str
) -> None:
    (tmp_path / "reference.json").write_text(text, encoding="utf-8")
    with caplog.at_level(logging.WARNING, "v2serve"):
        assert load_reference(tmp_path, JUDGED) is None
    assert len(caplog.records) == 1
    assert "model blur: no statistics of its data: reference.json: " in caplog.text
    assert reason in caplog.text
