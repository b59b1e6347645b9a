"""The graph: which files and providers are taken, and the border between bytes and text."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnx.numpy_helper import from_array

from tests.v2serve.artifacts import identity, iris, lookup, total
from tests.v2serve.models.examples import at_once, call, loaded, write_graph
from v2serve.artifact import ArtifactError
from v2serve.lanes import LaneLimits
from v2serve.model import Runtime, Session
from v2serve.protocol import Refusal
from v2serve.released import ModelRelease, load


def with_external_weights(folder: Path, location: str, size: int = 16) -> None:
    """y = x + W with W in a file of its own; `size` bytes of it exist."""
    weights = from_array(np.arange(4, dtype=np.float32), "W")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("length", "16")):
        entry = weights.external_data.add()
        entry.key, entry.value = key, value
    folder.mkdir(parents=True, exist_ok=True)
    (folder / location).write_bytes(np.arange(size // 4, dtype=np.float32).tobytes())
    graph = replace(
        identity("FP32", ("N", 4)), nodes=(helper.make_node("Add", ["x", "W"], ["y"]),), weights=(weights,)
    )
    (folder / "model.onnx").write_bytes(graph.onnx().SerializeToString())


def test_weights_may_lie_in_a_file_of_the_artifact(tmp_path: Path) -> None:
    with_external_weights(tmp_path, "weights.bin")
    (answer,) = Session(tmp_path, Runtime()).run(["y"], {"x": np.zeros((1, 4), np.float32)})
    assert answer.tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize("location", ["../weights.bin", "{}/weights.bin"])
def test_weights_outside_the_artifact_are_refused(tmp_path: Path, location: str) -> None:
    with_external_weights(tmp_path / "artifact", location.format(tmp_path))
    with pytest.raises(ArtifactError, match=r"^model\.onnx: .*External data path validation failed"):
        Session(tmp_path / "artifact", Runtime())


def test_weights_that_are_cut_short_are_refused(tmp_path: Path) -> None:
    with_external_weights(tmp_path, "weights.bin", size=8)
    with pytest.raises(ArtifactError, match=r"^model\.onnx: \S"):
        Session(tmp_path, Runtime())


def test_an_unknown_execution_provider_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    write_graph(tmp_path, iris())
    with pytest.raises(
        ArtifactError, match=r"^execution provider 'Abacus' is unknown; there are .*CPUExecution"
    ):
        Session(tmp_path, Runtime(providers=("Abacus",)))


def test_no_execution_provider_at_all_is_refused(tmp_path: Path) -> None:
    write_graph(tmp_path, iris())
    with pytest.raises(ArtifactError, match=r"^execution provider '' is unknown"):
        Session(tmp_path, Runtime(providers=()))


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x09", None])
def test_bytes_that_are_no_model_are_refused_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"^model\.onnx: \S[^\n]*$"):
        Session(tmp_path, Runtime())


def test_a_folder_in_the_place_of_the_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").mkdir()
    with pytest.raises(ArtifactError, match=r"^model\.onnx: \S"):
        Session(tmp_path, Runtime())


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_truncated_or_changed_model_is_refused_or_loaded_but_never_anything_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(iris().onnx().SerializeToString())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[place:]
    else:
        content[place] ^= data.draw(st.integers(1, 255))
    folder = tmp_path_factory.mktemp("mutant")
    (folder / "model.onnx").write_bytes(content)
    assert re.fullmatch(r"loaded|model\.onnx: \S[^\n]*", _loaded(folder))


def _loaded(folder: Path) -> str:
    try:
        Session(folder, Runtime())
    except ArtifactError as error:
        return str(error)
    return "loaded"


def test_a_graph_whose_names_are_not_utf8_is_refused(tmp_path: Path) -> None:
    content = iris().onnx().SerializeToString()
    (tmp_path / "model.onnx").write_bytes(content.replace(b"features", b"f\xffatures"))
    with pytest.raises(ArtifactError, match=r"^model\.onnx: a name in the graph is not UTF-8: "):
        Session(tmp_path, Runtime())


def test_bytes_cross_the_border_as_text_and_come_back_as_bytes(tmp_path: Path) -> None:
    served = loaded(tmp_path, write_graph(tmp_path, identity("BYTES", ("N", "M"))))
    words = [["é".encode(), b""], [b"a\0b", "漢".encode()]]
    (answer,) = at_once(served, call(served, {"x": words}))
    assert answer.tolist() == words
    assert answer.dtype == object


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 1)])
def test_text_keeps_its_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    symbols = tuple(f"d{axis}" for axis in range(len(shape)))
    write_graph(tmp_path, identity("BYTES", symbols))
    words = np.full(shape, b"a", np.object_)
    (answer,) = Session(tmp_path, Runtime()).run(["y"], {"x": words})
    assert answer.shape == shape
    assert answer.tolist() == words.tolist()


def test_bytes_that_are_not_utf8_are_400_for_a_graph_of_text(tmp_path: Path) -> None:
    served = loaded(tmp_path, write_graph(tmp_path, identity("BYTES")))
    with pytest.raises(
        Refusal, match=r"^input 'x': the model takes UTF-8 text; a value has .*can't decode"
    ) as caught:
        served.infer(call(served, {"x": [b"\xff"]}))
    assert caught.value.status == 400


def test_half_precision_goes_through_its_golden_request(tmp_path: Path) -> None:
    served = loaded(tmp_path, write_graph(tmp_path, identity("FP16")))
    (answer,) = at_once(served, call(served, {"x": [0.5, 2]}))
    assert answer.dtype == np.float16
    assert answer.tolist() == [0.5, 2]


def test_arrays_that_are_read_only_unaligned_or_not_contiguous_are_taken(tmp_path: Path) -> None:
    served = loaded(tmp_path, write_graph(tmp_path, identity("FP32", ("N", "M"))))
    values = np.arange(4, dtype=np.float32).reshape(2, 2)
    unaligned = np.frombuffer(b"x" + values.tobytes(), np.float32, 4, 1).reshape(2, 2)
    for array in (unaligned, np.asfortranarray(values)):
        asked = call(served, {"x": [[0, 0]]})
        asked.feeds["x"] = array
        (answer,) = at_once(served, asked)
        assert answer.tolist() == values.tolist()


def test_sizes_that_the_graph_wants_equal_are_400_if_they_differ(tmp_path: Path) -> None:
    served = loaded(tmp_path, write_graph(tmp_path, total()))
    with pytest.raises(Refusal, match=r"one N: a\[0\] is 1, b\[0\] is 2"):
        served.infer(call(served, {"a": [[1, 2]], "b": [[1, 2], [3, 4]]}))


def test_a_value_that_the_graph_refuses_is_400(tmp_path: Path) -> None:
    served = loaded(tmp_path, write_graph(tmp_path, lookup()))
    with pytest.raises(Refusal, match="the model refuses this input") as caught:
        served.infer(call(served, {"x": [9]}))
    assert caught.value.status == 400


def test_a_graph_output_that_is_no_tensor_is_refused(tmp_path: Path) -> None:
    node = helper.make_node("SequenceConstruct", ["x"], ["y"])
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N"])]
    outputs = [helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, ["N"])]
    graph = helper.make_graph([node], "sequence", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    write_graph(tmp_path, identity("FP32"))
    onnx.save(model, str(tmp_path / "model.onnx"))
    (tmp_path / "model.py").write_text("def postprocess(outputs, inputs, parameters):\n    return outputs\n")
    release = ModelRelease("m", None, "", None, tmp_path)
    with pytest.raises(ArtifactError, match=r"output y is a seq\(tensor\(float\)\), which is no V2 datatype"):
        load(release, LaneLimits(), Runtime())
