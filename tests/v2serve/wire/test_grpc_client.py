"""grpcio's own client against the wire: unary calls of raw bytes."""

from collections.abc import Iterator

import grpc
import pytest

from tests.v2serve.wire.echo import Running, eventually, serving


def _bytes(message: bytes) -> bytes:
    return message


@pytest.fixture
def server() -> Iterator[Running]:
    with serving(read_seconds=5.0) as running:
        yield running


@pytest.fixture
def channel(server: Running) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel


def test_unary_calls_one_after_another_and_at_once(channel: grpc.Channel) -> None:
    call = channel.unary_unary("/grpc", request_serializer=_bytes, response_deserializer=_bytes)
    assert [call(f"one {n}".encode(), timeout=5) for n in range(50)] == [
        f"one {n}".encode() for n in range(50)
    ]
    futures = [call.future(f"at once {n}".encode(), timeout=5) for n in range(300)]
    assert [future.result() for future in futures] == [f"at once {n}".encode() for n in range(300)]


def test_large_messages_pass_both_ways(channel: grpc.Channel) -> None:
    call = channel.unary_unary("/grpc", request_serializer=_bytes, response_deserializer=_bytes)
    message = bytes(range(256)) * 12_000
    assert [call(message, timeout=5) == message for _ in range(5)] == [True] * 5


def test_a_deadline_that_passes_cancels_the_future(server: Running, channel: grpc.Channel) -> None:
    call = channel.unary_unary("/never", request_serializer=_bytes, response_deserializer=_bytes)
    with pytest.raises(grpc.RpcError) as caught:
        call(b"x", timeout=0.2)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED  # type: ignore[attr-defined]
    assert eventually(lambda: server.echo.noted == [("/never", None)])
    assert server.echo.futures[0].cancelled()


def test_no_call_fails_while_the_server_drains(server: Running, channel: grpc.Channel) -> None:
    call = channel.unary_unary("/grpc", request_serializer=_bytes, response_deserializer=_bytes)
    assert call(b"before", timeout=5) == b"before"
    server.call("drain")
    assert [call(b"%d" % n, timeout=5) for n in range(50)] == [b"%d" % n for n in range(50)]
