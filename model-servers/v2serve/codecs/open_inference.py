"""The protobuf messages of gRPC, in a pool of their own: a client in this process may register `inference` too."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from v2serve.protocol import Refusal

DESCRIPTORS = Path(__file__).with_suffix(".binpb")


def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file:
        pool.Add(file)
    return pool


_POOL = _pool()


@cache
def message_class(name: str) -> Callable[..., Any]:
    """The class of a message by its full name: "inference.ModelInferRequest"."""
    made: Callable[..., Any] = message_factory.GetMessageClass(_POOL.FindMessageTypeByName(name))
    return made


def parse(kind: Any, octets: bytes) -> Any:
    """A message of this class; Refusal 400 if the bytes are another."""
    try:
        return kind.FromString(octets)
    except (DecodeError, RecursionError):
        name = kind.DESCRIPTOR.full_name
        raise Refusal(400, f"the message is not an {name}: its protobuf cannot be parsed") from None
