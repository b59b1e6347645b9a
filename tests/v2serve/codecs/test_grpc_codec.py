"""gRPC's messages: raw and typed contents, the all-or-none rule, and each way to break it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2
from hypothesis import given

from tests.v2serve.codecs.asked import DATATYPES, IRIS, PAIR, RELEASE, check_of, echo, same, tensors
from v2serve.codecs.grpc import _FIELDS, GrpcCall, InferRequest, InferResponse, decode, encode, parse_request
from v2serve.codecs.limits import TensorLimits
from v2serve.codecs.open_inference import DESCRIPTORS, message_class, parse
from v2serve.codecs.raw import to_raw
from v2serve.contract import RequestCheck, TensorSpec
from v2serve.protocol import Refusal
from v2serve.tensors import Array

TYPED = tuple(datatype for datatype in DATATYPES if datatype != "FP16")


def asked(check: RequestCheck, limits: TensorLimits | None = None, **fields: Any) -> GrpcCall:
    message = InferRequest(model_name="iris", **fields).SerializeToString()
    return decode(parse_request(message), check, limits or TensorLimits())


def refused(check: RequestCheck, limits: TensorLimits | None = None, **fields: Any) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        asked(check, limits, **fields)
    assert "\n" not in str(refusal.value)
    return refusal.value


def x(datatype: str, shape: Any, **contents: Any) -> dict[str, Any]:
    tensor: dict[str, Any] = {"name": "x", "datatype": datatype, "shape": shape}
    return {"inputs": [{**tensor, "contents": contents} if contents else tensor]}


def _response(octets: bytes) -> Any:
    return parse(InferResponse, octets)


def typed_values(datatype: str, array: Array) -> Any:
    return array.ravel().tolist()


@given(sent=tensors())
def test_what_is_sent_raw_is_what_the_model_gets(sent: Any) -> None:
    datatype, array = sent
    fields = x(datatype, array.shape)
    call = asked(echo(datatype, array.ndim), **fields, raw_input_contents=[bytes(to_raw(datatype, array))])
    assert same(datatype, call.feeds["x"], array)
    assert call.raw


@given(sent=tensors(TYPED))
def test_what_is_sent_typed_is_what_the_model_gets(sent: Any) -> None:
    datatype, array = sent
    call = asked(
        echo(datatype, array.ndim),
        **x(datatype, array.shape, **{_FIELDS[datatype]: typed_values(datatype, array)}),
    )
    assert same(datatype, call.feeds["x"], array)
    assert not call.raw


@given(sent=tensors())
def test_what_the_model_gives_is_what_a_raw_answer_holds(sent: Any) -> None:
    datatype, array = sent
    spec = TensorSpec("x", datatype, (-1,) * array.ndim)
    answer: Any = _response(encode(GrpcCall({}, [spec], "mine"), [array], RELEASE))
    (output,) = answer.outputs
    assert (answer.model_name, answer.model_version, answer.id) == ("iris", "4", "mine")
    assert not output.HasField("contents")
    call = asked(
        echo(datatype, array.ndim),
        **x(output.datatype, output.shape),
        raw_input_contents=answer.raw_output_contents,
    )
    assert same(datatype, call.feeds["x"], array)


@given(sent=tensors(TYPED))
def test_what_the_model_gives_is_what_a_typed_answer_holds(sent: Any) -> None:
    datatype, array = sent
    spec = TensorSpec("x", datatype, (-1,) * array.ndim)
    answer: Any = _response(encode(GrpcCall({}, [spec], "1", raw=False), [array], RELEASE))
    (output,) = answer.outputs
    assert not answer.raw_output_contents
    values = getattr(output.contents, _FIELDS[datatype])
    call = asked(
        echo(datatype, array.ndim), **x(output.datatype, output.shape, **{_FIELDS[datatype]: values})
    )
    assert same(datatype, call.feeds["x"], array)


def test_an_answer_with_several_outputs_keeps_their_order() -> None:
    call = asked(IRIS, **x("FP32", [1, 4]) | {"inputs": [FEATURES]}, raw_input_contents=[bytes(16)])
    arrays = [np.array([300]), np.array([[1, 2, 3]], np.float32)]
    answer: Any = _response(encode(call, arrays, RELEASE))
    assert [output.name for output in answer.outputs] == ["label", "probabilities"]
    assert [list(output.shape) for output in answer.outputs] == [[1], [1, 3]]
    assert list(answer.raw_output_contents) == [array.tobytes() for array in arrays]


FEATURES = {"name": "features", "datatype": "FP32", "shape": [1, 4]}


def test_a_large_raw_output_has_its_length_in_front() -> None:
    array = np.arange(100_000, dtype=np.int64)
    call = GrpcCall({}, [TensorSpec("y", "INT64", (-1,))], "1")
    answer: Any = _response(encode(call, [array], RELEASE))
    assert answer.raw_output_contents[0] == array.tobytes()


def test_fp16_outputs_are_answered_raw_even_to_a_typed_request() -> None:
    check = check_of(TensorSpec("x", "FP32", (-1,)), outputs=(TensorSpec("y", "FP16", (-1,)),))
    assert asked(check, **x("FP32", [1], fp32_contents=[1.0])).raw


def test_raw_contents_belong_to_the_inputs_in_their_order() -> None:
    inputs = [
        {"name": "b", "datatype": "INT64", "shape": [1]},
        {"name": "a", "datatype": "FP32", "shape": [1]},
    ]
    raws = [np.array([7]).tobytes(), np.array([0.5], np.float32).tobytes()]
    feeds = asked(PAIR, inputs=inputs, raw_input_contents=raws).feeds
    assert (feeds["a"].tolist(), feeds["b"].tolist()) == ([0.5], [7])


def test_parameters_ids_and_outputs_come_with_the_call() -> None:
    call = asked(
        IRIS,
        id="mine",
        inputs=[FEATURES],
        raw_input_contents=[bytes(16)],
        outputs=[{"name": "probabilities"}],
        parameters={"top": {"int64_param": 3}, "way": {"string_param": "up"}, "on": {"bool_param": False}},
    )
    assert (call.id, [spec.name for spec in call.wanted]) == ("mine", ["probabilities"])
    assert call.parameters == {"top": 3, "way": "up", "on": False}


def test_a_request_without_an_id_gets_one() -> None:
    call = asked(IRIS, inputs=[FEATURES], raw_input_contents=[bytes(16)])
    arrays = [np.array([0]), np.zeros((1, 3), np.float32)]
    ids = {_response(encode(call, arrays, RELEASE)).id for _ in range(3)}
    assert len(ids - {""}) == 3


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (x("FP32", [2], fp32_contents=[1]), "shape [2] needs 2 values, fp32_contents holds 1"),
        (x("FP32", [1]), "shape [1] needs 1 values, fp32_contents holds 0"),
        (x("FP32", [1], int_contents=[1]), "FP32 goes into fp32_contents, but int_contents is given"),
        (
            x("FP32", [1], fp32_contents=[1], fp64_contents=[1]),
            "FP32 goes into fp32_contents, but fp32_contents, fp64_contents is given",
        ),
        (
            x("INT8", [1], int_contents=[128]),
            "input 'x': data is not INT8: byte format requires -128 <= number",
        ),
        (x("UINT16", [1], uint_contents=[2**16]), "input 'x': data is not UINT16: "),
        (x("FP16", [1]), "FP16 has no typed contents; send raw_input_contents"),
        (x("FP32", [-1], fp32_contents=[1]), "shape [-1] has a negative size; give the real one"),
        (x("FP32", [2**60]) | {"raw_input_contents": [b"0000"]}, "is 4611686018427387904 bytes, 4 are given"),
        (x("FP32", [1]) | {"raw_input_contents": [b"00000"]}, "FP32 of shape [1] is 4 bytes, 5 are given"),
        (
            x("FP32", [1], fp32_contents=[1]) | {"raw_input_contents": [b"0000"]},
            "input 'x': both contents and raw_input_contents are given; give one",
        ),
        (
            x("FP32", [1]) | {"raw_input_contents": [b"0000"] * 2},
            "raw_input_contents holds 2 tensors, the request has 1 inputs; give one for each input, or none",
        ),
        (
            x("BYTES", [1]) | {"raw_input_contents": [b"\2\0\0\0a"]},
            "element 0 says it has 2 bytes, 1 are left",
        ),
        (x("BOOL", [1]) | {"raw_input_contents": [b"\2"]}, "a BOOL is the byte 2; send 0 or 1"),
        ({"inputs": []}, "input 'x': missing; the model takes x"),
        (
            x("FP32", [1], fp32_contents=[1]) | {"parameters": {"a": {}}},
            "the request: parameter 'a' has no value; give one or leave it out",
        ),
        (
            x("FP32", [1], fp32_contents=[1])
            | {"outputs": [{"name": "y", "parameters": {"classification": {"int64_param": 1}}}]},
            "output 'y': parameter classification asks for an extension that is not offered",
        ),
    ],
)
def test_a_wrong_request_is_400_with_the_reason(fields: Any, reason: str) -> None:
    inputs = fields["inputs"]
    refusal = refused(echo(inputs[0]["datatype"] if inputs else "FP32"), **fields)
    assert reason in str(refusal)
    assert refusal.status == 400


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (TensorLimits(elements=3), "4 elements so far; at most 3"),
        (TensorLimits(tensors=0), "1 inputs in one request; at most 0"),
        (TensorLimits(id_chars=3), "id has 4 characters; at most 3"),
        (TensorLimits(parameters=0), "the request has 1 parameters; at most 0"),
    ],
)
def test_a_request_above_a_limit_is_413(limits: TensorLimits, reason: str) -> None:
    parameters = {"a": {"int64_param": 1}}
    refusal = refused(
        IRIS, limits, id="mine", inputs=[FEATURES], raw_input_contents=[bytes(16)], parameters=parameters
    )
    assert reason in str(refusal)
    assert refusal.status == 413


def test_a_long_text_is_413_raw_and_typed() -> None:
    limits = TensorLimits(text_bytes=3)
    raw = refused(echo("BYTES"), limits, **x("BYTES", [1]), raw_input_contents=[b"\4\0\0\0abcd"])
    typed = refused(echo("BYTES"), limits, **x("BYTES", [1], bytes_contents=[b"abcd"]))
    assert str(raw) == str(typed)
    assert str(raw).startswith("input 'x': element 0 has 4 bytes; at most 3 are taken")
    assert raw.status == 413


@pytest.mark.parametrize("message", [b"\xff", b"\x0a\x02\xff\xfe", b"\x0a\x05abc", b"\x2b" * 500])
def test_bytes_that_are_no_message_are_400(message: bytes) -> None:
    with pytest.raises(Refusal, match=r"the message is not an inference\.ModelInferRequest") as refusal:
        parse_request(message)
    assert refusal.value.status == 400


def test_the_committed_descriptors_are_what_the_protos_compile_to(tmp_path: Path) -> None:
    protoc = pytest.importorskip("grpc_tools.protoc")
    target = tmp_path / "again.binpb"
    sources = ["open_inference.proto", "health.proto"]
    arguments = ["protoc", f"--proto_path={DESCRIPTORS.parent}", f"--descriptor_set_out={target}", *sources]
    assert protoc.main(arguments) == 0
    again = descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes())
    assert again == descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())


def test_our_fields_have_the_numbers_and_types_of_kserves() -> None:
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as theirs

    compared = 0
    for name, message in theirs.DESCRIPTOR.message_types_by_name.items():
        if name.startswith("RepositoryModel"):  # Triton's have other fields; ours are never read
            continue
        ours: Any = message_class(f"inference.{name}")
        _compare(ours.DESCRIPTOR, message)
        compared += 1
    assert compared == 14


def _compare(ours: Any, theirs: Any) -> None:
    for field in theirs.fields:
        mine = ours.fields_by_name[field.name]
        assert (mine.number, mine.type, mine.label) == (field.number, field.type, field.label), (
            field.full_name
        )
    for nested in theirs.nested_types:
        _compare(ours.nested_types_by_name[nested.name], nested)
