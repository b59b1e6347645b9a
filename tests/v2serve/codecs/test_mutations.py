"""A valid request with something changed is answered or refused; it never fails in another way."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.v2serve.codecs.asked import IRIS, PAIR, body_of
from v2serve.codecs.grpc import InferRequest, parse_request
from v2serve.codecs.grpc import decode as decode_grpc
from v2serve.codecs.rest import decode
from v2serve.contract import RequestCheck
from v2serve.protocol import Refusal

_FEATURES = {"name": "features", "datatype": "FP32", "shape": [1, 4]}
_JSON = json.dumps({"id": "1", "inputs": [{**_FEATURES, "data": [[5.1, 3.5, 1.4, 0.2]]}]}).encode()
_BINARY, _LENGTH = body_of(
    {
        "inputs": [
            {"name": "a", "datatype": "FP32", "shape": [1], "parameters": {"binary_data_size": 4}},
            {"name": "b", "datatype": "INT64", "shape": [1], "data": [7]},
        ],
        "outputs": [{"name": "a", "parameters": {"binary_data": True}}],
    },
    b"\0\0\0\0",
)
_TYPED = InferRequest(
    model_name="iris",
    id="1",
    inputs=[
        {"name": "a", "datatype": "FP32", "shape": [2], "contents": {"fp32_contents": [1, 2]}},
        {"name": "b", "datatype": "INT64", "shape": [1], "contents": {"int64_contents": [7]}},
    ],
    parameters={"top": {"int64_param": 3}},
).SerializeToString()
_RAW = InferRequest(inputs=[_FEATURES], raw_input_contents=[bytes(16)]).SerializeToString()

_edits = st.lists(
    st.tuples(
        st.integers(0, 2000), st.integers(0, 6), st.binary(max_size=4) | st.sampled_from([b"{", b"]", b"9"])
    ),
    min_size=1,
    max_size=4,
)


def _mutated(body: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """Bytes replaced, cut out and put in."""
    for place, removed, added in edits:
        at = place % (len(body) + 1)
        body = body[:at] + added + body[at + removed :]
    return body


def _status(decoded: Any) -> int:
    try:
        decoded()
    except Refusal as refusal:
        one_short_line = "\n" not in str(refusal) and len(str(refusal)) < 600
        return refusal.status if one_short_line else 0
    return 200


@settings(max_examples=400)
@given(edits=_edits)
def test_json_that_was_changed_is_answered_or_refused(edits: Any) -> None:
    assert _status(lambda: decode(_mutated(_JSON, edits), None, IRIS)) in (200, 400, 413)


@settings(max_examples=400)
@given(edits=_edits, header=st.just(_LENGTH) | st.integers(0, 400).map(str) | st.text(max_size=3) | st.none())
def test_a_binary_request_that_was_changed_is_answered_or_refused(edits: Any, header: str | None) -> None:
    assert _status(lambda: decode(_mutated(_BINARY, edits), header, PAIR)) in (200, 400, 413)


def _decode_grpc(message: bytes, check: RequestCheck) -> Any:
    return lambda: decode_grpc(parse_request(message), check)


@settings(max_examples=400)
@given(edits=_edits)
def test_a_typed_message_that_was_changed_is_answered_or_refused(edits: Any) -> None:
    assert _status(_decode_grpc(_mutated(_TYPED, edits), PAIR)) in (200, 400, 413)


@settings(max_examples=400)
@given(edits=_edits)
def test_a_raw_message_that_was_changed_is_answered_or_refused(edits: Any) -> None:
    assert _status(_decode_grpc(_mutated(_RAW, edits), IRIS)) in (200, 400, 413)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_parameters = st.dictionaries(
    st.sampled_from(["binary_data_size", "binary_data", "binary_data_output", "classification"]),
    _json,
    max_size=3,
)
_tensor = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["a", "b", "c"]) | _json,
        "datatype": st.sampled_from(["FP32", "INT64", "BYTES"]) | _json,
        "shape": st.lists(st.integers(-1, 3) | st.just(2**62), max_size=3) | _json,
    },
    optional={"data": _json | st.lists(st.integers(-9, 9), max_size=4), "parameters": _parameters | _json},
)
_request = st.fixed_dictionaries(
    {"inputs": st.lists(_tensor, max_size=3) | _json},
    optional={
        "id": _json,
        "parameters": _parameters | _json,
        "outputs": st.lists(st.fixed_dictionaries({"name": st.just("a") | _json, "parameters": _parameters}))
        | _json,
    },
)


@settings(max_examples=400)
@given(request=_request | _json, tail=st.binary(max_size=24), headed=st.booleans())
def test_any_request_is_answered_or_refused(request: Any, tail: bytes, headed: bool) -> None:
    body, length = body_of(request, tail)
    assert _status(lambda: decode(body, length if headed else None, PAIR)) in (200, 400, 413)
