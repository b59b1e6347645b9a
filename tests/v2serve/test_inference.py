"""Requests that the model answers, and each request that it refuses, with the reason."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from tests.v2serve.artifacts import ONNX_TYPES, Served, identity, iris, logarithm, lookup, total
from tests.v2serve.asking import Inference
from v2serve.protocol import Refusal
from v2serve.tensors import DTYPES

Load = Callable[[Served], Inference]
ROW = [5.1, 3.5, 1.4, 0.2]
FEATURES = {"name": "features", "datatype": "FP32", "shape": [1, 4], "data": ROW}
REQUEST = {"inputs": [FEATURES]}


def ask(infer: Inference, request: Any) -> Any:
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    return json.loads(infer(body), parse_constant=_not_json)


def _not_json(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def echo(infer: Inference, datatype: str, shape: list[int], data: Any) -> Any:
    answer = ask(infer, {"inputs": [{"name": "x", "datatype": datatype, "shape": shape, "data": data}]})
    return answer["outputs"][0]["data"]


def test_all_outputs_are_answered_with_names_shapes_and_datatypes(infer: Inference) -> None:
    answer = ask(infer, {"inputs": [{**FEATURES, "shape": [2, 4], "data": ROW + ROW}], "id": "a"})
    told = [(output["name"], output["datatype"], output["shape"]) for output in answer["outputs"]]
    assert told == [("label", "INT64", [2]), ("species", "BYTES", [2]), ("probabilities", "FP32", [2, 3])]
    assert answer["model_name"] == "iris"
    assert answer["model_version"] == "4"
    assert answer["outputs"][1]["data"] == ["virgínica", "virgínica"]
    assert sum(answer["outputs"][2]["data"]) == pytest.approx(2.0, abs=1e-5)


def test_nested_and_flat_data_are_one_tensor(infer: Inference) -> None:
    flat = ask(infer, {"inputs": [{**FEATURES, "shape": [2, 4], "data": [*range(8)]}], "id": "1"})
    nested = ask(
        infer, {"inputs": [{**FEATURES, "shape": [2, 4], "data": [[0, 1, 2, 3], [4, 5, 6, 7]]}], "id": "1"}
    )
    assert flat == nested


@pytest.mark.parametrize(("datatype", "value"), [("FP32", 0.1), ("INT64", 2**53 + 1), ("BYTES", 'a],"b')])
def test_an_answer_in_pieces_holds_every_value_in_its_place(load: Load, datatype: Any, value: Any) -> None:
    data = [value] * 100_000
    data[0] = data[70_000] = data[-1] = type(value)(3)
    answered = echo(load(identity(datatype)), datatype, [len(data)], data)
    assert len(answered) == len(data)
    assert (np.array(answered).astype(DTYPES[datatype]) == np.array(data, DTYPES[datatype])).all()


@pytest.mark.parametrize("tail", ['"x"', "1.5", "null", "[1]", str(2**70)])
def test_a_wrong_value_far_into_large_data_is_400(load: Load, tail: str) -> None:
    data = ",".join(["123456"] * 80_000) + f",{tail}"
    body = f'{{"inputs": [{{"name": "x", "datatype": "INT64", "shape": [80001], "data": [{data}]}}]}}'
    with pytest.raises(Refusal, match="input 'x': data is not INT64: ") as refusal:
        load(identity("INT64"))(body.encode())
    assert refusal.value.status == 400


@pytest.mark.parametrize("tail", [",", ",,1", "1", ' "'])
def test_large_data_that_is_not_json_is_400(load: Load, tail: str) -> None:
    data = ",".join(["123456"] * 80_000) + tail
    body = f'{{"inputs": [{{"name": "x", "datatype": "INT64", "shape": [80000], "data": [{data}]}}]}}'
    with pytest.raises(Refusal) as refusal:
        load(identity("INT64"))(body.replace("1234561]", "123456 1]").encode())
    assert refusal.value.status == 400


def test_large_nested_data_is_taken(load: Load) -> None:
    data = [[number, -number] for number in range(60_000)]
    assert echo(load(identity("INT64", ("N", 2))), "INT64", [60_000, 2], data) == np.ravel(data).tolist()


def test_an_id_comes_back_and_a_missing_one_is_made_unique(infer: Inference) -> None:
    assert ask(infer, {**REQUEST, "id": "mine"})["id"] == "mine"
    assert ask(infer, {**REQUEST, "id": ""})["id"] == ""
    assert len({ask(infer, REQUEST)["id"] for _ in range(5)}) == 5


def test_only_the_outputs_that_are_named_come_in_the_order_that_is_asked(infer: Inference) -> None:
    asked = [{"name": "probabilities"}, {"name": "label", "parameters": {"binary_data": False}}]
    answer = ask(infer, {**REQUEST, "outputs": asked})
    assert [output["name"] for output in answer["outputs"]] == ["probabilities", "label"]
    assert len(ask(infer, {**REQUEST, "outputs": []})["outputs"]) == 3


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("BOOL", [True, False]),
        ("UINT8", [0, 255]),
        ("UINT16", [0, 65535]),
        ("UINT32", [0, 2**32 - 1]),
        ("UINT64", [0, 2**64 - 1]),
        ("INT8", [-128, 127]),
        ("INT16", [-(2**15), 2**15 - 1]),
        ("INT32", [-(2**31), 2**31 - 1]),
        ("INT64", [-(2**63), 2**63 - 1]),
        ("FP32", [3.4028234663852886e38, -0.0]),
        ("FP64", [1.7976931348623157e308, 5e-324]),
        ("BYTES", ["", "naïve ☃ \u0000"]),
    ],
)
def test_every_datatype_keeps_its_extremes(load: Load, datatype: Any, data: list[Any]) -> None:
    assert echo(load(identity(datatype)), datatype, [2], data) == data


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("BOOL", 1),
        ("BOOL", "true"),
        ("UINT8", 256),
        ("UINT8", -1),
        ("UINT16", 65536),
        ("UINT32", 2**32),
        ("UINT64", 2**64),
        ("INT8", 128),
        ("INT16", -(2**15) - 1),
        ("INT32", 2**31),
        ("INT64", 2**63),
        ("INT64", 1.5),
        ("INT64", 1.0),
        ("INT64", "1"),
        ("INT64", True),
        ("FP32", 1e39),
        ("FP32", "1"),
        ("FP32", None),
        ("FP32", True),
        ("FP64", "nan"),
        ("BYTES", 7),
        ("BYTES", None),
    ],
)
def test_a_value_that_the_datatype_cannot_hold_is_refused_never_changed(
    load: Load, datatype: Any, value: Any
) -> None:
    infer = load(identity(datatype))
    with pytest.raises(Refusal, match=f"input 'x': data is not {datatype}: ") as refusal:
        echo(infer, datatype, [1], [value])
    assert refusal.value.status == 400


def test_a_number_beyond_fp64_is_refused(load: Load) -> None:
    body = b'{"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1e999]}]}'
    with pytest.raises(Refusal, match="out of range"):
        ask(load(identity("FP64")), body)


def test_nan_and_infinity_are_answered_as_null(load: Load) -> None:
    assert echo(load(logarithm()), "FP32", [3], [-1.0, 0.0, 1.0]) == [None, None, 0.0]


def test_fp16_is_refused_in_both_directions(load: Load) -> None:
    half = identity("FP16")
    tensor = {"name": "x", "datatype": "FP16", "shape": [1], "data": [1.0]}
    with pytest.raises(Refusal, match="input 'x': FP16 data cannot be sent as JSON; send it as binary data"):
        ask(load(half), {"inputs": [tensor], "parameters": {"binary_data_output": True}})
    narrowed = replace(
        identity("FP32"),
        nodes=(helper.make_node("Cast", ["x"], ["y"], to=ONNX_TYPES["FP16"]),),
        outputs=half.outputs,
    )
    with pytest.raises(
        Refusal, match="output 'y': FP16 data cannot be sent as JSON; ask for it as binary data"
    ):
        echo(load(narrowed), "FP32", [1], [1.0])


def _changed(**changes: Any) -> dict[str, Any]:
    return {"inputs": [{**FEATURES, **changes}]}


@pytest.mark.parametrize(
    ("request_body", "reason"),
    [
        pytest.param(b"", "not a V2 inference request", id="empty body"),
        pytest.param(b"{", "not a V2 inference request: Input data was truncated", id="truncated"),
        pytest.param(b"\xff\xfe", "JSON is malformed", id="not UTF-8"),
        pytest.param(b"[" * 100_000, "not a V2 inference request", id="deep nesting"),
        pytest.param([], "Expected `object`, got `array`", id="a list"),
        pytest.param({}, "missing required field `inputs`", id="no inputs"),
        pytest.param(
            {"inputs": []}, "input 'features': missing; the model takes features", id="empty inputs"
        ),
        pytest.param({"inputs": [FEATURES, FEATURES]}, "input 'features': given twice", id="twice"),
        pytest.param(_changed(name="x"), "input 'x': unknown; the model takes features", id="unknown name"),
        pytest.param(_changed(name="x" * 9999), r"input 'x{80}\.\.\.': unknown", id="long name is cut"),
        pytest.param(_changed(datatype="FP64"), "datatype 'FP64' given, the model takes FP32", id="datatype"),
        pytest.param(_changed(datatype="float"), "datatype 'float' given", id="no such datatype"),
        pytest.param(_changed(shape=[4]), r"shape \[4\] given, the model takes \[-1, 4\]", id="rank"),
        pytest.param(_changed(shape=[1] * 99), "shape of rank 99 given", id="high rank"),
        pytest.param(_changed(shape=[1, 5]), r"shape \[1, 5\] given", id="size"),
        pytest.param(_changed(shape=[-1, 4]), "Expected `int` >= 0", id="negative size"),
        pytest.param(_changed(shape=[1.0, 4]), "Expected `int`, got `float`", id="float size"),
        pytest.param(_changed(shape=[2, 4]), r"shape \[2, 4\] needs 8 values, data holds 4", id="too few"),
        pytest.param(_changed(shape=[10**15, 4]), "needs 4000000000000000 values, data holds 4", id="huge"),
        pytest.param(_changed(shape=[10**30, 4]), "out of range|<= ", id="absurd"),
        pytest.param(_changed(data=[ROW, ROW]), r"nested as \[2, 4\], but shape says \[1, 4\]", id="nesting"),
        pytest.param(_changed(shape=[2, 4], data=[ROW, [1.0]]), "data is ragged", id="ragged"),
        pytest.param(_changed(data=[[1, 2, 3, "x"]]), "data is not FP32 nested as", id="nested text"),
        pytest.param(_changed(data=[[[1.0]]]), "data is not FP32 nested as", id="too deep"),
        pytest.param(_changed(data="AAAA"), "data is not FP32: Expected `array`", id="text data"),
        pytest.param(_changed(data=None), "data is not FP32: Expected `array`", id="null data"),
        pytest.param(
            {"inputs": [{k: v for k, v in FEATURES.items() if k != "data"}]}, "field `data`", id="no data"
        ),
        pytest.param({**REQUEST, "id": 7}, r"Expected `str \| null`, got `int` - at `\$.id`", id="id"),
        pytest.param(
            {**REQUEST, "parameters": {"a": []}}, r"got `array` - at `\$.parameters", id="parameter"
        ),
        pytest.param(_changed(parameters={"a": {}}), r"inputs\[0\].parameters", id="input parameter"),
        pytest.param(
            {**REQUEST, "outputs": [{"name": "z"}]}, "output 'z': unknown; the model gives", id="output"
        ),
        pytest.param(
            {**REQUEST, "outputs": [{"name": "label"}] * 2}, "'label': asked for twice", id="outputs"
        ),
    ],
)
def test_a_wrong_request_is_400_with_the_reason(infer: Inference, request_body: Any, reason: str) -> None:
    with pytest.raises(Refusal, match=reason) as refusal:
        ask(infer, request_body)
    assert refusal.value.status == 400
    assert len(str(refusal.value)) < 400


def test_sizes_that_the_model_calls_by_one_name_must_be_equal(load: Load) -> None:
    tensors = [
        {"name": name, "datatype": "FP32", "shape": [rows, 2], "data": [1.0] * (rows * 2)}
        for name, rows in (("a", 2), ("b", 3))
    ]
    with pytest.raises(Refusal, match=r"wants one N: a\[0\] is 2, b\[0\] is 3"):
        ask(load(total()), {"inputs": tensors})


def test_inputs_may_come_in_any_order(load: Load) -> None:
    tensors = [
        {"name": n, "datatype": "FP32", "shape": [1, 2], "data": d} for n, d in (("b", [1, 2]), ("a", [3, 4]))
    ]
    assert ask(load(total()), {"inputs": tensors})["outputs"][0]["data"] == [4.0, 6.0]


def test_a_value_that_the_graph_refuses_is_the_callers_fault(load: Load) -> None:
    infer = load(lookup())
    assert echo(infer, "INT64", [1], [3]) == [3]
    with pytest.raises(Refusal, match=r"the model refuses this input: .*out of data bounds") as refusal:
        echo(infer, "INT64", [1], [99])
    assert refusal.value.status == 400


def test_an_empty_batch_is_answered_or_refused_as_the_callers(infer: Inference) -> None:
    answer = ask(infer, _changed(shape=[0, 4], data=[]))
    assert [output["shape"] for output in answer["outputs"]] == [[0], [0], [0, 3]]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_almost = st.fixed_dictionaries(
    {
        "inputs": st.lists(
            st.fixed_dictionaries(
                {
                    "name": st.just("features") | st.text(max_size=3),
                    "datatype": st.sampled_from(["FP32", "FP16", "INT64"]) | st.text(max_size=3),
                    "shape": st.lists(st.integers(-1, 4) | st.just(2**62), max_size=3)
                    | st.just([1, 4])
                    | _json,
                    "data": st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=8) | _json,
                }
            ),
            max_size=2,
        )
    },
    optional={"id": _json, "parameters": _json, "outputs": _json},
)


@settings(max_examples=300, deadline=None)
@given(body=_almost | _json)
def test_any_json_is_answered_or_refused_with_400(infer: Inference, body: Any) -> None:
    try:
        answer = ask(infer, body)
    except Refusal as refusal:
        told = refusal.status, str(refusal).count("\n")
    else:
        told = 400, answer["model_name"].count("\n")
    assert told == (400, 0)


@settings(max_examples=200, deadline=None)
@given(body=st.binary(max_size=64))
def test_any_bytes_are_refused_with_400(infer: Inference, body: bytes) -> None:
    with pytest.raises(Refusal) as refusal:
        infer(body)
    assert refusal.value.status == 400


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(
        st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=4, max_size=4)
    )
)
def test_fp32_values_survive_the_way_in_and_out_exactly(
    load_fp32: Inference, rows: list[list[float]]
) -> None:
    flat = [value for row in rows for value in row]
    values = echo(load_fp32, "FP32", [len(rows), 4], rows if rows else [])
    assert np.array_equal(np.array(values, np.float32), np.array(flat, np.float32))


@pytest.fixture(scope="session")
def load_fp32(load: Load) -> Inference:
    return load(identity("FP32", ("N", 4)))


def test_another_bias_is_another_answer(load: Load, infer: Inference) -> None:
    assert (
        ask(load(iris(bias=-99.0)), REQUEST)["outputs"][0]["data"]
        != ask(infer, REQUEST)["outputs"][0]["data"]
    )
