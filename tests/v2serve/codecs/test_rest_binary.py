"""The binary tensor data extension: bytes behind the JSON, both ways, and each way to get them wrong."""

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.v2serve.codecs.asked import DATATYPES, IRIS, PAIR, RELEASE, ROW, body_of, echo, same, tensors
from v2serve.codecs.limits import TensorLimits
from v2serve.codecs.raw import to_raw
from v2serve.codecs.rest import RestCall, decode, encode
from v2serve.contract import RequestCheck, TensorSpec
from v2serve.protocol import Refusal

BINARY_Y = [{"name": "y", "parameters": {"binary_data": True}}]


def x(datatype: str, shape: list[int], size: Any, **more: Any) -> dict[str, Any]:
    tensor = {"name": "x", "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}
    return {"inputs": [{**tensor, **more}], "outputs": BINARY_Y}


def refused(
    request: Any, *raws: bytes, check: RequestCheck, header: str | None = "", **limits: int
) -> Refusal:
    body, length = body_of(request, *raws)
    with pytest.raises(Refusal) as refusal:
        decode(body, length if header == "" else header, check, TensorLimits(**limits))
    assert "\n" not in str(refusal.value)
    return refusal.value


@given(sent=tensors(), pad=st.integers(0, 7))
def test_what_is_sent_as_bytes_is_what_the_model_gets_wherever_the_json_ends(sent: Any, pad: int) -> None:
    datatype, array = sent
    raw = bytes(to_raw(datatype, array))
    body, length = body_of({**x(datatype, list(array.shape), len(raw)), "id": "x" * pad}, raw)
    found = decode(body, length, echo(datatype, array.ndim)).feeds["x"]
    assert same(datatype, found, array)
    assert found.flags.aligned


@given(sent=tensors(DATATYPES))
def test_what_the_model_gives_is_what_the_bytes_hold(sent: Any) -> None:
    datatype, array = sent
    spec = TensorSpec("x", datatype, (-1,) * array.ndim)
    body, length = encode(RestCall({}, [spec], "1", binary=["x"]), [array], RELEASE)
    assert length is not None
    output = json.loads(body[:length])["outputs"][0]
    assert "data" not in output
    assert output["parameters"]["binary_data_size"] == len(body) - length
    again = body_of({"inputs": [output], "outputs": BINARY_Y}, bytes(body[length:]))
    assert same(datatype, decode(*again, echo(datatype, array.ndim)).feeds["x"], array)


def test_arrays_that_do_not_lie_in_rows_are_sent_in_rows() -> None:
    array = np.arange(6, dtype=np.int64).reshape(2, 3).T
    body, length = encode(
        RestCall({}, [TensorSpec("y", "INT64", (3, 2))], "1", binary=["y"]), [array], RELEASE
    )
    assert bytes(body[length:]) == np.array([0, 3, 1, 4, 2, 5]).tobytes()


def test_bytes_have_their_length_before_them() -> None:
    raw = struct.pack("<I2sI", 2, b"\xff\x00", 0)
    body, length = body_of(x("BYTES", [2], len(raw)), raw)
    assert decode(body, length, echo("BYTES")).feeds["x"].tolist() == [b"\xff\x00", b""]


def test_some_inputs_may_be_binary_and_some_json() -> None:
    inputs: list[dict[str, Any]] = [
        {"name": "b", "datatype": "INT64", "shape": [2], "parameters": {"binary_data_size": 16}},
        {"name": "a", "datatype": "FP32", "shape": [1], "data": [0.5]},
    ]
    call = decode(*body_of({"inputs": inputs}, np.array([7, 8]).tobytes()), PAIR)
    assert call.feeds["a"].tolist() == [0.5]
    assert call.feeds["b"].tolist() == [7, 8]


def test_bytes_come_in_the_order_of_the_inputs_in_the_request() -> None:
    inputs = [
        {"name": "b", "datatype": "INT64", "shape": [1], "parameters": {"binary_data_size": 8}},
        {"name": "a", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}},
    ]
    call = decode(*body_of({"inputs": inputs}, struct.pack("<qf", 7, 0.5)), PAIR)
    assert (call.feeds["a"].tolist(), call.feeds["b"].tolist()) == ([0.5], [7])


FEATURES = {"name": "features", "datatype": "FP32", "shape": [1, 4], "data": ROW}


@pytest.mark.parametrize(
    ("asked", "binary"),
    [
        ({}, []),
        ({"parameters": {"binary_data_output": True}}, ["label", "probabilities"]),
        ({"parameters": {"binary_data_output": False}}, []),
        (
            {"outputs": [{"name": "label", "parameters": {"binary_data": True}}, {"name": "probabilities"}]},
            ["label"],
        ),
        (
            {
                "parameters": {"binary_data_output": True},
                "outputs": [
                    {"name": "label", "parameters": {"binary_data": False}},
                    {"name": "probabilities"},
                ],
            },
            ["probabilities"],
        ),
    ],
)
def test_an_outputs_own_wish_for_binary_data_counts_before_the_requests(
    asked: Any, binary: list[str]
) -> None:
    call = decode(json.dumps({"inputs": [FEATURES], **asked}).encode(), None, IRIS)
    assert list(call.binary) == binary


def test_a_mixed_answer_has_the_bytes_of_its_binary_outputs_only() -> None:
    request = {"inputs": [FEATURES], "outputs": [{"name": "label"}, {"name": "probabilities"}]}
    request["outputs"][1]["parameters"] = {"binary_data": True}  # type: ignore[index]
    call = decode(json.dumps(request).encode(), None, IRIS)
    body, length = encode(call, [np.array([2]), np.array([[1, 2, 3]], np.float32)], RELEASE)
    label, probabilities = json.loads(body[:length])["outputs"]
    assert label["data"] == [2]
    assert probabilities["parameters"] == {"binary_data_size": 12}
    assert np.frombuffer(body[length:], np.float32).tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "header", ["", "x", "-1", "+1", "1.0", "1e2", "0x10", " 1", "1, 1", "9" * 40, "\u0661"]
)
def test_a_header_length_that_is_not_a_number_is_400(header: str) -> None:
    with pytest.raises(
        Refusal, match=r"Inference-Header-Content-Length '.*' is not a number of bytes"
    ) as refusal:
        decode(b"{}", header, IRIS)
    assert refusal.value.status == 400


def test_a_header_length_beyond_the_body_is_400() -> None:
    with pytest.raises(
        Refusal, match="Inference-Header-Content-Length is 3, the body has 2 bytes"
    ) as refusal:
        decode(b"{}", "3", IRIS)
    assert refusal.value.status == 400


def test_bytes_behind_the_json_without_the_header_are_400() -> None:
    refusal = refused(x("FP32", [1], 4), b"\0\0\0\0", check=echo("FP32"), header=None)
    assert "Inference-Header-Content-Length says where the JSON ends" in str(refusal)


@pytest.mark.parametrize(
    ("request_body", "raw", "reason"),
    [
        (x("FP32", [2], 4), b"0000", "input 'x': FP32 of shape [2] is 8 bytes, 4 are given"),
        (x("FP32", [2**40], 4), b"0000", "FP32 of shape [1099511627776] is 4398046511104 bytes, 4 are given"),
        (x("FP32", [2], 8), b"0000", "binary_data_size is 8, 4 bytes are left behind the JSON"),
        (x("FP32", [1], 4), b"00000", "1 bytes follow the last input's data"),
        (x("FP32", [1], 4, data=[1]), b"0000", "both data and binary_data_size are given; give one"),
        (x("FP32", [1], None, parameters={}), b"", "neither data nor parameter binary_data_size is given"),
        (x("FP32", [1], 0, parameters={}), b"0000", "neither data nor parameter binary_data_size"),
        (x("FP32", [1], -4), b"0000", "binary_data_size '-4' is not a number of bytes; give an integer"),
        (x("FP32", [1], 4.0), b"0000", "binary_data_size '4.0' is not a number of bytes; give an integer"),
        (x("FP32", [1], "4"), b"0000", "binary_data_size '4' is not a number of bytes; give an integer"),
        (x("FP32", [1], True), b"0", "binary_data_size 'True' is not a number of bytes; give an integer"),
        (x("FP32", [1], 10**30), b"0000", "4 bytes are left behind the JSON"),
        (x("BOOL", [2], 2), b"\1\2", "input 'x': a BOOL is the byte 2; send 0 or 1"),
        (x("BYTES", [1], 3), b"\1\0\0", "element 0 ends within its length"),
        (x("BYTES", [1], 5), b"\2\0\0\0a", "element 0 says it has 2 bytes, 1 are left; send all of it"),
        (x("BYTES", [1], 5), b"\xff\xff\xff\xffa", "element 0 says it has 4294967295 bytes, 1 are left"),
        (x("BYTES", [2], 5), b"\1\0\0\0a", "shape [2] needs 2 elements, its 5 bytes hold 1"),
        (x("BYTES", [1], 8), b"\0" * 8, "shape [1] needs 1 elements, its 8 bytes hold more than 1"),
        (x("BYTES", [2**50], 4), b"\0" * 4, "needs 1125899906842624 elements, its 4 bytes hold 1"),
    ],
)
def test_wrong_bytes_are_400_with_the_reason(request_body: Any, raw: bytes, reason: str) -> None:
    refusal = refused(request_body, raw, check=echo(request_body["inputs"][0]["datatype"]))
    assert reason in str(refusal)
    assert refusal.status == 400


def test_too_many_elements_and_too_long_texts_are_413() -> None:
    many = refused(x("FP32", [4], 16), b"0" * 16, check=echo("FP32"), elements=3)
    assert "input 'x': 4 elements so far; at most 3 are taken in one request" in str(many)
    framed = b"\1\0\0\0a\4\0\0\0abcd\5\0\0\0efghi"
    long = refused(x("BYTES", [3], len(framed)), framed, check=echo("BYTES"), text_bytes=3)
    assert str(long) == "input 'x': element 1 has 4 bytes; at most 3 are taken (it begins \"b'abcd'\")"
    assert (many.status, long.status) == (413, 413)
