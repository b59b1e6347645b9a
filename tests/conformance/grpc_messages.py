"""The messages of open_inference_grpc.proto, made at run time in a pool of their own.

The default pool of protobuf holds one `inference` package at most, and it may be a client's.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

SERVICE = "inference.GRPCInferenceService"
_NAME_VERSION = "name:string=1 version:string=2"
_TENSOR = "name:string=1 datatype:string=2 shape:*int64=3"
_INFER_TENSOR = f"{_TENSOR} parameters:map=4 contents:InferTensorContents=5"

# message -> fields: name:type=number, * for repeated, map for map<string, InferParameter>
_MESSAGES = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "live:bool=1",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "ready:bool=1",
    "ModelReadyRequest": _NAME_VERSION,
    "ModelReadyResponse": "ready:bool=1",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": f"{_NAME_VERSION} extensions:*string=3",
    "ModelMetadataRequest": _NAME_VERSION,
    "TensorMetadata": _TENSOR,
    "ModelMetadataResponse": "name:string=1 versions:*string=2 platform:string=3 inputs:*TensorMetadata=4 "
    "outputs:*TensorMetadata=5",
    "InferParameter": "bool_param:bool=1 int64_param:int64=2 string_param:string=3 double_param:double=4 "
    "uint64_param:uint64=5",
    "InferTensorContents": "bool_contents:*bool=1 int_contents:*int32=2 int64_contents:*int64=3 "
    "uint_contents:*uint32=4 uint64_contents:*uint64=5 fp32_contents:*float=6 fp64_contents:*double=7 "
    "bytes_contents:*bytes=8",
    "InferInputTensor": _INFER_TENSOR,
    "InferRequestedOutputTensor": "name:string=1 parameters:map=2",
    "ModelInferRequest": "model_name:string=1 model_version:string=2 id:string=3 parameters:map=4 "
    "inputs:*InferInputTensor=5 outputs:*InferRequestedOutputTensor=6 raw_input_contents:*bytes=7",
    "InferOutputTensor": _INFER_TENSOR,
    "ModelInferResponse": "model_name:string=1 model_version:string=2 id:string=3 parameters:map=4 "
    "outputs:*InferOutputTensor=5 raw_output_contents:*bytes=6",
}

# datatype -> the field of InferTensorContents that carries it
CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


@cache
def message(name: str) -> Any:
    """The class of this message; nested messages of the protocol stand beside the others, the bytes are the same."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"inference.{name}"))


@cache
def _pool() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="conformance.proto", package="inference", syntax="proto3")
    for name, fields in _MESSAGES.items():
        _add(file.message_type.add(name=name), fields)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def _add(holder: Any, fields: str) -> None:
    for text in fields.split():
        name, _, rest = text.partition(":")
        kind, _, number = rest.partition("=")
        label = Field.LABEL_REPEATED if kind[0] == "*" or kind == "map" else Field.LABEL_OPTIONAL
        field = holder.field.add(name=name, number=int(number), label=label)
        _type(field, _entry(holder) if kind == "map" else kind.lstrip("*"))
    if holder.name == "InferParameter":
        holder.oneof_decl.add(name="parameter_choice")
        for field in holder.field:
            field.oneof_index = 0


def _type(field: Any, kind: str) -> None:
    simple = getattr(Field, f"TYPE_{kind.upper()}", None)
    field.type = Field.TYPE_MESSAGE if simple is None else simple
    if simple is None:
        field.type_name = f".inference.{kind}"


def _entry(holder: Any) -> str:
    """A map is a repeated message of key and value."""
    entry = holder.nested_type.add(name="ParametersEntry")
    entry.options.map_entry = True
    _add(entry, "key:string=1 value:InferParameter=2")
    return f"{holder.name}.ParametersEntry"
