"""ONNX graphs: the contract's names and shapes, stable bytes, and no disagreement with the source."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.trainkit.toy import SCHEMA, good_table
from trainkit.export import Export, Limits, as_release
from trainkit.golden import Tensor
from trainkit.graph import classifier_graph, infer, tensors, with_probability_of

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def forest() -> RandomForestClassifier:
    good = good_table()
    return RandomForestClassifier(5, max_depth=3, random_state=1).fit(good.features, good.labels)


def test_a_forest_answers_labels_and_probabilities_for_any_batch() -> None:
    model, good = forest(), good_table()
    graph = classifier_graph(model, 2, "toy")
    assert tensors(graph.graph.input) == (Tensor("features", "FP32", (-1, 2)),)
    assert tensors(graph.graph.output) == (
        Tensor("label", "BYTES", (-1,)),
        Tensor("probabilities", "FP32", (-1, 2)),
    )
    for rows in (1, 40):
        answers = infer(graph.SerializeToString(), good.features[:rows])
        assert answers["label"].tolist() == model.predict(good.features[:rows]).tolist()
        np.testing.assert_allclose(
            answers["probabilities"], model.predict_proba(good.features[:rows]), atol=1e-6
        )


def test_a_regression_answers_one_probability_a_row() -> None:
    good = good_table()
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(good.features, good.labels)
    graph = with_probability_of(classifier_graph(model, 2, "toy"), 1)
    assert [output.name for output in tensors(graph.graph.output)] == ["label", "probability"]
    answers = infer(graph.SerializeToString(), good.features)
    assert answers["probability"].shape == (40,)
    np.testing.assert_allclose(answers["probability"], model.predict_proba(good.features)[:, 1], atol=1e-6)


def test_equal_models_have_equal_bytes() -> None:
    first, second = (classifier_graph(forest(), 2, "toy") for _ in range(2))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)


BOOSTED = """
import sys
from sklearn.ensemble import GradientBoostingClassifier
from tests.trainkit.toy import good_table
from trainkit.graph import classifier_graph, with_probability_of
good = good_table()
model = GradientBoostingClassifier(n_estimators=3, random_state=1).fit(good.features, good.labels)
graph = with_probability_of(classifier_graph(model, 2, "toy"), 1)
sys.stdout.buffer.write(graph.SerializeToString(deterministic=True))
"""


def test_the_hash_seed_of_a_process_changes_no_byte() -> None:
    written = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", BOOSTED],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "6")  # the two orders in which the converter names its opsets
    ]
    assert len(written[0]) > 100
    assert len(set(written)) == 1


def test_the_contract_is_read_from_the_graph() -> None:
    good, model = good_table(), forest()
    handed = Export(
        graph=classifier_graph(model, 2, "toy"),
        table=good,
        schema=SCHEMA,
        labels=model.predict(good.features),
        scores={"probabilities": model.predict_proba(good.features)},
        about={},
        method="",
    )
    release = as_release(handed, Limits(3, 1e-5, background_rows=4, background_seed=1))
    assert release.outputs == tensors(handed.graph.graph.output)
    assert release.parameters == {"features": ["length", "width"], "labels": ["no", "yes"]}
    assert release.golden[0]["features"].shape == (3, 2)
    assert (release.parity.rows, release.parity.largest_difference < 1e-6) == (40, True)
    plan = json.loads(release.files["explain.json"])
    assert (plan["kind"], plan["inputs"], plan["output"]) == ("shapley", ["features"], "probabilities")
    rows = {tuple(row) for row in good.features.tolist()}
    drawn = {tuple(row) for row in np.array(plan["background"], np.float32).tolist()}
    assert (len(drawn), drawn <= rows) == (4, True)
