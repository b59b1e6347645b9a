"""JSON tensors: what is taken, what is refused and why, and that values survive both ways."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.v2serve.codecs.asked import DATATYPES, IRIS, PAIR, RELEASE, ROW, echo, same, tensors
from v2serve.codecs.limits import TensorLimits
from v2serve.codecs.release import ReleaseName
from v2serve.codecs.rest import RestCall, decode, encode
from v2serve.contract import RequestCheck, TensorSpec
from v2serve.protocol import Refusal
from v2serve.tensors import Array

FEATURES = {"name": "features", "datatype": "FP32", "shape": [1, 4], "data": ROW}
REQUEST = {"inputs": [FEATURES]}
JSON_TYPES = tuple(datatype for datatype in DATATYPES if datatype != "FP16")


def asked(request: Any, check: RequestCheck = IRIS, **limits: int) -> RestCall:
    return decode(json.dumps(request).encode(), None, check, TensorLimits(**limits))


def refused(request: Any, check: RequestCheck = IRIS, **limits: int) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        asked(request, check, **limits)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 400
    return refusal.value


def answered(call: RestCall, *arrays: Array) -> Any:
    body, length = encode(call, arrays, RELEASE)
    assert length is None
    return json.loads(body)


def x(datatype: str, shape: list[int], data: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "datatype": datatype, "shape": shape, "data": data}]}


@given(sent=tensors(JSON_TYPES), nested=st.booleans())
def test_what_is_sent_as_json_is_what_the_model_gets(sent: Any, nested: bool) -> None:
    datatype, array = sent
    if datatype == "BYTES":
        array = np.array([str(text).encode() for text in array.ravel()] + [b""], object)[:-1].reshape(
            array.shape
        )
        data = [text.decode() for text in array.ravel()]
    else:
        data = array.tolist() if nested and array.ndim else array.ravel().tolist()
    call = asked(x(datatype, list(array.shape), data), echo(datatype, array.ndim))
    assert same(datatype, call.feeds["x"], array)


@given(sent=tensors(JSON_TYPES))
def test_what_the_model_gives_is_what_json_holds(sent: Any) -> None:
    datatype, array = sent
    if datatype == "BYTES":
        array = (
            np.vectorize(lambda text: text.hex().encode(), otypes=[object])(array) if array.size else array
        )
    spec = TensorSpec("y", datatype, (-1,) * array.ndim)
    output = answered(RestCall({}, [spec], "1"), array)["outputs"][0]
    assert (output["name"], output["datatype"], output["shape"]) == ("y", datatype, list(array.shape))
    values = [text.encode() for text in output["data"]] if datatype == "BYTES" else output["data"]
    assert same(
        datatype, np.array([*values, None], object)[:-1].astype(array.dtype).reshape(array.shape), array
    )


def test_an_answer_names_the_release_and_the_id() -> None:
    arrays = np.array([2]), np.array([[0.25, 0.5, 0.25]], np.float32)
    answer = answered(asked({**REQUEST, "id": 'my "id"'}), *arrays)
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("iris", "4", 'my "id"')
    assert [output["data"] for output in answer["outputs"]] == [[2], [0.25, 0.5, 0.25]]


def test_a_release_without_a_version_says_none() -> None:
    call = RestCall({}, [TensorSpec("y", "INT64", (-1,))], "1")
    body, _ = encode(call, [np.array([1])], ReleaseName("iris", None))
    assert set(json.loads(body)) == {"model_name", "id", "outputs"}


def test_a_request_without_an_id_gets_one_of_its_own() -> None:
    call = RestCall({}, [TensorSpec("y", "INT64", (-1,))])
    ids = {answered(call, np.array([1]))["id"] for _ in range(5)}
    assert len(ids) == 5


def test_an_empty_id_stays_empty() -> None:
    call = asked({**REQUEST, "id": ""})
    assert call.id == ""
    assert answered(call, np.array([1]), np.zeros((1, 3), np.float32))["id"] == ""


def test_parameters_come_with_the_call() -> None:
    assert asked({**REQUEST, "parameters": {"top_k": 3}}).parameters == {"top_k": 3}
    assert asked(REQUEST).parameters == {}


def test_nan_and_infinity_are_answered_as_null() -> None:
    call = RestCall({}, [TensorSpec("y", "FP32", (-1,))], "1")
    assert answered(call, np.array([np.nan, np.inf, 1], np.float32))["outputs"][0]["data"] == [None, None, 1]


@pytest.mark.parametrize("datatype", ["FP32", "BYTES"])
def test_a_large_answer_in_pieces_holds_every_value_in_its_place(datatype: Any) -> None:
    values: list[Any] = list(map(float, range(70_000)))
    array = (
        np.array([str(v) for v in values], object) if datatype == "BYTES" else np.array(values, np.float32)
    )
    answer = answered(RestCall({}, [TensorSpec("y", datatype, (-1,))], "1"), array)
    assert answer["outputs"][0]["data"] == array.tolist()


def test_outputs_are_those_that_are_named_in_the_order_that_is_asked() -> None:
    call = asked({**REQUEST, "outputs": [{"name": "probabilities"}, {"name": "label"}]})
    assert [spec.name for spec in call.wanted] == ["probabilities", "label"]
    assert [spec.name for spec in asked(REQUEST).wanted] == ["label", "probabilities"]


def test_inputs_of_several_datatypes_may_come_in_any_order() -> None:
    inputs = [
        {"name": "b", "datatype": "INT64", "shape": [1], "data": [2**53 + 1]},
        {"name": "a", "datatype": "FP32", "shape": [2], "data": [1, 2.5]},
    ]
    feeds = asked({"inputs": inputs}, PAIR).feeds
    assert feeds["a"].tolist() == [1, 2.5]
    assert feeds["b"].tolist() == [2**53 + 1]


def test_a_bytes_output_that_is_not_utf8_names_binary_data() -> None:
    call = RestCall({}, [TensorSpec("y", "BYTES", (-1,))], "1")
    with pytest.raises(Refusal, match=r"output 'y': an element is not UTF-8.*binary_data") as refusal:
        encode(call, [np.array([b"\xff"], object)], RELEASE)
    assert refusal.value.status == 400


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("BOOL", 1),
        ("UINT8", 256),
        ("UINT8", -1),
        ("UINT64", 2**64),
        ("INT8", 128),
        ("INT32", -(2**31) - 1),
        ("INT64", 2**63),
        ("INT64", 10**40),
        ("INT64", 1.0),
        ("INT64", True),
        ("FP32", 1e39),
        ("FP32", "1"),
        ("FP32", None),
        ("FP64", "nan"),
        ("BYTES", 7),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_a_value_that_the_datatype_cannot_hold_is_400(datatype: Any, value: Any, nested: bool) -> None:
    shape, data = ([1, 1], [[value]]) if nested else ([1], [value])
    refusal = refused(x(datatype, shape, data), echo(datatype, len(shape)))
    assert refusal.status == 400
    assert str(refusal).startswith(f"input 'x': data is not {datatype}")


def test_fp16_as_json_is_400_in_both_directions() -> None:
    half, wide = TensorSpec("y", "FP16", (-1,)), echo("FP16")
    assert "FP16 data cannot be sent as JSON; send it as binary data" in str(
        refused(
            {**x("FP16", [1], [1.0]), "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}, wide
        )
    )
    assert f"output '{half.name}': FP16 data cannot be sent as JSON; ask for it as binary" in str(
        refused(x("FP16", [1], [1.0]), wide)
    )


def changed(**changes: Any) -> dict[str, Any]:
    return {"inputs": [{**FEATURES, **changes}]}


@pytest.mark.parametrize(
    ("request_body", "reason"),
    [
        ([], "Expected `object`, got `array`"),
        ({}, "missing required field `inputs`"),
        ({"inputs": []}, "input 'features': missing; the model takes features"),
        ({"inputs": [FEATURES, FEATURES]}, "input 'features': given twice; give it once"),
        (changed(name="x" * 9999), "...': unknown; the model takes features"),
        (changed(datatype="FP64"), "datatype 'FP64' given, the model takes FP32"),
        (changed(shape=[4]), "shape [4] given, the model takes [-1, 4]"),
        (changed(shape=[1] * 99), "shape of rank 99 given"),
        (changed(shape=[-1, 4]), "Expected `int` >= 0"),
        (changed(shape=[2, 4]), "shape [2, 4] needs 8 values, data holds 4"),
        (changed(shape=[10**15, 4]), "needs 4000000000000000 values, data holds 4"),
        (changed(data=[ROW, ROW]), "nested as [2, 4], but shape says [1, 4]"),
        (changed(shape=[2, 4], data=[ROW, [1.0]]), "data is ragged; give every row the same length"),
        (changed(data=[[[1.0]]]), "data is not FP32 nested as"),
        (changed(data="AAAA"), "data is not FP32: Expected `array`"),
        (changed(data=None), "data is not FP32: Expected `array`"),
        ({"inputs": [{k: v for k, v in FEATURES.items() if k != "data"}]}, "neither data nor parameter"),
        ({**REQUEST, "id": 7}, "got `int` - at `$.id`"),
        ({**REQUEST, "parameters": {"a": []}}, "got `array` - at `$.parameters"),
        ({**REQUEST, "outputs": [{"name": "z"}]}, "output 'z': unknown; the model gives label"),
        ({**REQUEST, "outputs": [{"name": "label"}] * 2}, "output 'label': asked for twice"),
        ({**REQUEST, "parameters": {"binary_data_output": 1}}, "binary_data_output is '1'; give true or"),
        (
            {**REQUEST, "outputs": [{"name": "label", "parameters": {"binary_data": "yes"}}]},
            "output 'label': parameter binary_data is 'yes'; give true or false",
        ),
        (
            {**REQUEST, "outputs": [{"name": "label", "parameters": {"classification": 3}}]},
            "parameter classification asks for an extension that is not offered; leave it out",
        ),
        (changed(parameters={"binary_data_size": 16}), "both data and binary_data_size are given; give one"),
    ],
)
def test_a_wrong_request_is_400_with_the_reason(request_body: Any, reason: str) -> None:
    refusal = refused(request_body)
    assert reason in str(refusal)
    assert refusal.status == 400


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"null", b'{"inputs": [}'])
def test_a_body_that_is_not_json_is_400(body: bytes) -> None:
    with pytest.raises(Refusal, match="the body is not a V2 inference request: ") as refusal:
        decode(body, None, IRIS)
    assert refusal.value.status == 400


@pytest.mark.parametrize(
    ("request_body", "limits", "status", "reason"),
    [
        (REQUEST, {"elements": 3}, 413, "input 'features': 4 elements so far; at most 3 are taken"),
        (changed(shape=[1, 4]), {"rank": 1}, 400, "shape has 2 sizes; at most 1 are taken"),
        ({**REQUEST, "id": "x" * 9}, {"id_chars": 8}, 413, "id has 9 characters; at most 8"),
        ({**REQUEST, "outputs": [{"name": "label"}] * 9}, {"tensors": 8}, 413, "9 outputs in one request"),
        ({**REQUEST, "inputs": [FEATURES] * 9}, {"tensors": 8}, 413, "9 inputs in one request"),
        ({**REQUEST, "parameters": {"a": 1, "b": 2}}, {"parameters": 1}, 413, "the request has 2 parameters"),
        (
            changed(parameters={"a": "xyz"}),
            {"parameter_chars": 3},
            413,
            "'features' has parameters of 4 char",
        ),
    ],
)
def test_a_request_above_a_limit_is_refused(
    request_body: Any, limits: dict[str, int], status: int, reason: str
) -> None:
    refusal = refused(request_body, **limits)
    assert reason in str(refusal)
    assert refusal.status == status


def test_a_long_text_is_413() -> None:
    refusal = refused(x("BYTES", [2], ["a", "x" * 9]), echo("BYTES"), text_bytes=8)
    assert "input 'x': element 1 has 9 bytes; at most 8 are taken" in str(refusal)
    assert refusal.status == 413


def test_an_empty_tensor_with_an_absurd_size_is_400() -> None:
    assert "has a size above" in str(refused(x("FP32", [0, 2**62], []), echo("FP32", 2)))
