"""What is loaded is what was reviewed: contract, graph and golden answer must agree."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.v2serve.artifacts import identity, iris, lookup, write
from v2serve.artifact import ArtifactError
from v2serve.lanes import LaneLimits
from v2serve.model import Runtime
from v2serve.released import ModelRelease, load


def _start(folder: Path) -> float:
    return load(
        ModelRelease("iris", None, "sha256:" + "0" * 64, None, folder), LaneLimits(), Runtime()
    ).seconds


def _edit(path: Path, change: Callable[[Any], Any]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_the_golden_request_is_answered_as_reviewed(tmp_path: Path) -> None:
    write(tmp_path, iris())
    assert 0 < _start(tmp_path) < 1


@pytest.mark.parametrize("file", ["contract.json", "golden.json"])
@pytest.mark.parametrize(
    ("content", "reason"), [("{", "truncated"), ("[]", "Expected `object`"), (None, "No such")]
)
def test_a_missing_or_malformed_description_is_refused_by_name(
    tmp_path: Path, file: str, content: str | None, reason: str
) -> None:
    write(tmp_path, iris())
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_text(content)
    with pytest.raises(ArtifactError, match=f"^{file}: .*{reason}"):
        _start(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a model", None])
def test_bytes_that_are_not_a_model_are_refused_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    write(tmp_path, iris())
    (tmp_path / "model.onnx").unlink()
    if content is not None:
        (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"^model\.onnx: \S[^\n]*$"):
        _start(tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: c["inputs"][0].update(name="x"), r"inputs \['x'\] differ from the graph's \['features'\]"),
        (lambda c: c["outputs"].pop(), "outputs .* differ from the graph's"),
        (
            lambda c: c["inputs"][0].update(datatype="FP64"),
            r"features: FP64 is not the graph's tensor\(float\)",
        ),
        (
            lambda c: c["inputs"][0].update(shape=[-1, 5]),
            r"features: shape \[-1, 5\] is not the graph's \['N', 4\]",
        ),
        (lambda c: c["inputs"][0].update(shape=[-1, -1]), r"shape \[-1, -1\] is not the graph's"),
        (lambda c: c["inputs"][0].update(shape=[-1]), r"shape \[-1\] is not the graph's"),
        (lambda c: c["inputs"][0].update(shape=[-2, 4]), "has a size below -1"),
        (lambda c: c["inputs"][0].update(datatype="float"), "Invalid enum value 'float'"),
        (lambda c: c["outputs"].append(c["outputs"][0]), "name at least one tensor, each once"),
        (lambda c: c.update(inputs=[]), r"inputs names \[\]; name at least one"),
    ],
)
def test_a_contract_that_is_not_the_graphs_is_refused(
    tmp_path: Path, change: Callable[[Any], Any], reason: str
) -> None:
    write(tmp_path, iris())
    _edit(tmp_path / "contract.json", change)
    with pytest.raises(ArtifactError, match=f"^contract.json: .*{reason}"):
        _start(tmp_path)


def test_a_contract_may_narrow_a_free_size(tmp_path: Path) -> None:
    write(tmp_path, iris())
    _edit(tmp_path / "contract.json", lambda c: c["inputs"][0].update(shape=[1, 4]))
    assert _start(tmp_path) > 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda g: g["response"]["outputs"][0].update(data=[1]),
            r"output label: \[2\] is not the reviewed \[1\]",
        ),
        (lambda g: g["response"]["outputs"][1].update(data=["x"]), "output species: .* is not the reviewed"),
        (
            lambda g: g["response"]["outputs"][2].update(data=[[0.9, 0.1, 0.0]]),
            "output probabilities: .* is not",
        ),
        (
            lambda g: g["response"]["outputs"][0].update(datatype="INT32"),
            "datatype INT64 is not the reviewed INT32",
        ),
        (
            lambda g: g["response"]["outputs"][0].update(shape=[1, 1]),
            r"shape \(1,\) is not the reviewed \(1, 1\)",
        ),
        (lambda g: g["response"]["outputs"][0].update(name="z"), "output z is not answered"),
        (
            lambda g: g["request"]["inputs"][0].update(shape=[1, 9]),
            "refuses its own golden request: input 'features'",
        ),
    ],
)
def test_a_golden_answer_that_the_model_does_not_give_is_refused(
    tmp_path: Path, change: Callable[[Any], Any], reason: str
) -> None:
    write(tmp_path, iris())
    _edit(tmp_path / "golden.json", change)
    with pytest.raises(ArtifactError, match=f"^golden.json: .*{reason}"):
        _start(tmp_path)


def test_a_golden_answer_may_differ_in_the_last_digits(tmp_path: Path) -> None:
    write(tmp_path, iris())

    def round_off(golden: Any) -> None:
        output = golden["response"]["outputs"][2]
        output["data"] = [round(value, 5) for value in output["data"]]

    _edit(tmp_path / "golden.json", round_off)
    assert _start(tmp_path) > 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda g: g["response"]["outputs"].clear(), "a response has no outputs, so nothing is compared"),
        (
            lambda g: g["response"]["outputs"].pop(1),
            "output species is in no response; add what was reviewed",
        ),
        (
            lambda g: g["response"]["outputs"][0].update(data=[[0], 1]),
            r"output label: \[2\] is not the reviewed \[0, 1\]",
        ),
        (
            lambda g: g["response"]["outputs"][0].update(data=[[], {"a": 1}]),
            r"output label: \[2\] is not the reviewed \[{'a': 1}\]",
        ),
        (
            lambda g: g["response"]["outputs"][2].update(data=[10**400, 0, 0]),
            "output probabilities: .* is not the reviewed",
        ),
        (
            lambda g: g["request"]["inputs"][0].update(data=[[5.1, 3.5], [1.4]]),
            "refuses its own golden request: input 'features': .* ragged",
        ),
    ],
)
def test_a_golden_file_that_compares_too_little_or_is_ragged_is_refused(
    tmp_path: Path, change: Callable[[Any], Any], reason: str
) -> None:
    write(tmp_path, iris())
    _edit(tmp_path / "golden.json", change)
    with pytest.raises(ArtifactError, match=f"^golden.json: .*{reason}"):
        _start(tmp_path)


@pytest.mark.parametrize(("tolerance", "off"), [(0.03, 0.02), (0, 5e-5), (1e-6, 5e-5), (0.1, 0.09)])
def test_numbers_may_differ_by_the_tolerance_that_was_reviewed(
    tmp_path: Path, tolerance: float, off: float
) -> None:
    write(tmp_path, iris())
    _edit(tmp_path / "golden.json", partial(_shift, tolerance, off))
    assert _start(tmp_path) > 0


@pytest.mark.parametrize(("tolerance", "off"), [(None, 0.02), (0.03, 0.05)])
def test_numbers_that_differ_by_more_than_the_tolerance_are_refused(
    tmp_path: Path, tolerance: float | None, off: float
) -> None:
    write(tmp_path, iris())
    _edit(tmp_path / "golden.json", partial(_shift, tolerance, off))
    with pytest.raises(ArtifactError, match=r"output probabilities: .* is not the reviewed"):
        _start(tmp_path)


def test_the_tolerance_is_of_numbers_labels_stay_exact(tmp_path: Path) -> None:
    write(tmp_path, iris())

    def mislabel(golden: Any) -> None:
        golden["tolerance"] = 0.1
        golden["response"]["outputs"][0]["data"] = [1]

    _edit(tmp_path / "golden.json", mislabel)
    with pytest.raises(ArtifactError, match=r"output label: \[2\] is not the reviewed \[1\]"):
        _start(tmp_path)


def test_of_several_golden_requests_each_has_its_own_tolerance(tmp_path: Path) -> None:
    write(tmp_path, iris())
    exact = json.loads((tmp_path / "golden.json").read_text())
    loose = json.loads((tmp_path / "golden.json").read_text())
    _shift(0.03, 0.02, loose)
    (tmp_path / "golden.json").write_text(json.dumps([exact, loose]))
    assert _start(tmp_path) > 0
    del loose["tolerance"]
    (tmp_path / "golden.json").write_text(json.dumps([exact | {"tolerance": 0.03}, loose]))
    with pytest.raises(ArtifactError, match=r"output probabilities: .* is not the reviewed"):
        _start(tmp_path)


@pytest.mark.parametrize(
    ("tolerance", "reason"),
    [
        ("-0.1", "tolerance is -0.1; give 0 to 0.1"),
        ("0.2", "tolerance is 0.2; give 0 to 0.1"),
        ("1e300", r"tolerance is 1e\+300; give 0 to 0.1"),
        ("1e999", r".* at `\$\.tolerance`"),
        ("NaN", "JSON is malformed"),
        ('"wide"', r"Expected `float`, got `str` - at `\$\.tolerance`"),
        ("null", r"Expected `float`, got `null` - at `\$\.tolerance`"),
    ],
)
def test_a_tolerance_that_is_none_is_refused(tmp_path: Path, tolerance: str, reason: str) -> None:
    write(tmp_path, iris())
    golden = (tmp_path / "golden.json").read_text()
    (tmp_path / "golden.json").write_text(f'{golden[:-1]}, "tolerance": {tolerance}}}')
    with pytest.raises(ArtifactError, match=f"^golden.json: {reason}"):
        _start(tmp_path)


def _shift(tolerance: float | None, off: float, golden: Any) -> None:
    """The reviewed probabilities are another processor's."""
    output = golden["response"]["outputs"][2]
    output["data"] = [value + off for value in output["data"]]
    if tolerance is not None:
        golden["tolerance"] = tolerance


def test_several_golden_requests_cover_the_outputs_together(tmp_path: Path) -> None:
    write(tmp_path, iris())
    golden = json.loads((tmp_path / "golden.json").read_text())
    outputs = golden["response"]["outputs"]
    several = [{"request": golden["request"], "response": {"outputs": [output]}} for output in outputs]
    (tmp_path / "golden.json").write_text(json.dumps(several))
    assert _start(tmp_path) > 0


@pytest.mark.parametrize(
    ("file", "field"), [("contract.json", '{"extra":'), ("golden.json", '{"request":{"extra":')]
)
def test_a_file_nested_too_deeply_is_refused_in_one_line(tmp_path: Path, file: str, field: str) -> None:
    write(tmp_path, iris())
    (tmp_path / file).write_text(field + "[" * 100_000)
    with pytest.raises(ArtifactError, match=rf"^{file}: [^\n]*recursion[^\n]*$"):
        _start(tmp_path)


def test_the_graph_of_another_model_is_refused(tmp_path: Path) -> None:
    write(tmp_path, lookup())
    write(tmp_path / "other", identity("FP32"))
    (tmp_path / "model.onnx").write_bytes((tmp_path / "other" / "model.onnx").read_bytes())
    with pytest.raises(ArtifactError, match=r"x: INT64 is not the graph's tensor\(float\)"):
        _start(tmp_path)
