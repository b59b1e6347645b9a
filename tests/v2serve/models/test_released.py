"""A release as it is served, and several of them in one process."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.v2serve.artifacts import identity, iris
from tests.v2serve.models.examples import at_once, call, loaded, mixing, text_model, wide, write_graph
from v2serve.artifact import ArtifactError
from v2serve.batch_lane import BatchLane
from v2serve.lanes import InlineLane, LaneLimits, ThreadLane
from v2serve.protocol import Refusal
from v2serve.released import Models, Served, lane_kind


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return loaded(tmp_path, write_graph(tmp_path, iris()), name="iris")


def edit(path: Path, golden: Any) -> None:
    path.write_text(json.dumps(golden))


def test_a_release_knows_what_git_names(tmp_path: Path) -> None:
    digest = write_graph(tmp_path, iris())
    served = loaded(tmp_path, digest, name="iris")
    assert (served.name, served.version, served.digest, served.run) == ("iris", "4", digest, None)
    assert served.contract.inputs[0].name == "features"
    assert served.ready
    assert 0 < served.seconds < 1


def test_it_answers_at_once_what_it_is_asked_in_that_order(served: Served) -> None:
    asked = call(served, {"features": [[5.1, 3.5, 1.4, 0.2]]})
    asked.wanted = [asked.wanted[1], asked.wanted[0]]
    species, label = at_once(served, asked)
    assert species.tolist() == ["virgínica".encode()]
    assert label.tolist() == [2]


@pytest.mark.parametrize(
    ("limits", "seconds", "has_code", "kind"),
    [
        (LaneLimits(), 0.005, False, "inline"),
        (LaneLimits(), 0.006, False, "threads"),
        (LaneLimits(), 0.001, True, "threads"),
        (LaneLimits(max_batch=8), 0.005, False, "inline batches"),
        (LaneLimits(max_batch=8), 0.006, False, "batches"),
        (LaneLimits(max_batch=8), 0.001, True, "batches"),
    ],
)
def test_the_lane_follows_the_time_the_code_and_the_limits(
    limits: LaneLimits, seconds: float, has_code: bool, kind: str
) -> None:
    assert lane_kind(limits, seconds, has_code) == kind


def test_lanes_are_what_their_models_need(tmp_path: Path) -> None:
    assert isinstance(loaded(tmp_path / "a", write_graph(tmp_path / "a", iris())).lane, InlineLane)
    assert isinstance(loaded(tmp_path / "b", text_model(tmp_path / "b")).lane, ThreadLane)
    limits = LaneLimits(max_batch=4)
    assert isinstance(loaded(tmp_path / "c", write_graph(tmp_path / "c", wide()), limits).lane, BatchLane)


def test_every_golden_request_of_a_list_is_asked(tmp_path: Path) -> None:
    digest = text_model(tmp_path)
    loaded(tmp_path, digest)
    golden = json.loads((tmp_path / "golden.json").read_text())
    golden[1]["response"]["outputs"][0]["data"] = ["praise"]
    edit(tmp_path / "golden.json", golden)
    with pytest.raises(ArtifactError, match=r"output label: \['reproach'\] is not the reviewed \['praise'\]"):
        loaded(tmp_path, digest)


def test_a_list_of_no_golden_requests_is_refused(tmp_path: Path) -> None:
    digest = write_graph(tmp_path, iris())
    edit(tmp_path / "golden.json", [])
    with pytest.raises(ArtifactError, match=r"^golden\.json: .*at least one"):
        loaded(tmp_path, digest)


def test_a_model_without_free_rows_is_not_batched(tmp_path: Path) -> None:
    digest = write_graph(tmp_path, identity("FP32", (2, 3)))
    with pytest.raises(ArtifactError, match=r"^contract.json: x: shape \[2, 3\] does not begin with -1"):
        loaded(tmp_path, digest, LaneLimits(max_batch=4))


def test_a_model_whose_rows_are_not_independent_is_not_batched(tmp_path: Path) -> None:
    digest = write_graph(tmp_path, mixing())
    with pytest.raises(
        ArtifactError, match="in a batch of 4 is not answered as it is alone; set the largest"
    ):
        loaded(tmp_path, digest, LaneLimits(max_batch=8))


def test_a_golden_request_that_fills_a_batch_alone_proves_nothing(tmp_path: Path) -> None:
    digest = write_graph(tmp_path, identity("FP32"))
    with pytest.raises(ArtifactError, match="do not fit twice into 3 rows"):
        loaded(tmp_path, digest, LaneLimits(max_batch=3))


def test_models_are_found_by_name_and_version(served: Served, tmp_path: Path) -> None:
    other = loaded(tmp_path / "o", write_graph(tmp_path / "o", identity("FP32")), name="other")
    models = Models([served, other])
    assert models.find("iris", None) is served
    assert models.find("other", "4") is other
    assert list(models) == [served, other]
    assert len(models) == 2
    assert models.ready


@pytest.mark.parametrize(
    ("name", "version", "message"),
    [
        ("rose", None, "model 'rose' is not served here; this server serves iris"),
        ("iris", "5", "version '5' of iris is not served here; version 4 is"),
        ("x" * 100, None, f"model '{'x' * 80}...' is not served here; this server serves iris"),
    ],
)
def test_what_is_not_served_is_404_and_says_what_is(
    served: Served, name: str, version: str | None, message: str
) -> None:
    with pytest.raises(Refusal) as caught:
        Models([served]).find(name, version)
    assert (caught.value.status, str(caught.value)) == (404, message)


def test_two_models_of_one_name_are_refused_by_both_digests(served: Served, tmp_path: Path) -> None:
    other = loaded(tmp_path / "o", write_graph(tmp_path / "o", iris(2.0)), name="iris")
    with pytest.raises(ArtifactError) as caught:
        Models([served, other])
    assert "two models are named iris" in str(caught.value)
    assert served.digest in str(caught.value)
    assert other.digest in str(caught.value)
