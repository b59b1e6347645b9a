"""Clients that send half, too slowly, or not HTTP at all, against a gateway in this process with short limits."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mainline.local.connection import Limits
from mainline.local.gateway import Gateway, listen, open_gateway
from mainline.local.layout import Layout
from mainline.local.objects import Objects, write_objects
from mainline.local.routes import Backend, Match, Route, Rule
from tests.local.backend import backend, response

LIMIT = 0.3
PORTS: dict[Gateway, int] = {}
UNREADABLE = (
    "this is not a request of HTTP/1.1: it needs a method, a path such as /v2/models/<model> "
    "and headers, each line of at most 8190 bytes"
)
LATE_HEAD = "the head of the request was not there within 0.3 s; send it whole"
LATE_BODY = "the body was not there within 0.3 s; send it faster or in smaller parts"
INFER = b"POST /v2/models/iris/infer HTTP/1.1\r\nhost: x\r\n"


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    layout = Layout(tmp_path)
    layout.prepare()
    made = Gateway(layout, Limits(head=LIMIT, body=LIMIT))
    runner = await open_gateway(made, listen(0))
    PORTS[made] = runner.addresses[0][1]
    yield made
    await runner.cleanup()
    await made.proxy.close()


async def route_to(gateway: Gateway, url: str) -> None:
    rule = Rule((Match("/v2/models/iris"),), (Backend("a"),))
    route = Route("models", "iris", (rule,))
    write_objects(gateway.layout.objects, Objects(1, {"models/iris": {"iris": route}}, {"a": (url,)}))
    await gateway.look()


async def talk(gateway: Gateway, *parts: bytes, pause: float = 0.0) -> bytes:
    """Send the parts; everything that came until the gateway closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", PORTS[gateway])
    try:
        for part in parts:
            writer.write(part)
            await asyncio.sleep(pause)
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


def told(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["error"]


async def test_a_head_that_is_never_whole_is_408_and_closed(gateway: Gateway) -> None:
    assert told(await talk(gateway, b"GET /v2 HTTP/1.1\r\nhost: ")) == (408, LATE_HEAD)


async def test_a_head_that_drips_is_408_however_often_it_drips(gateway: Gateway) -> None:
    drips = [b"GET /v2 HTTP/1.1\r\n", *[b"x-a: 1\r\n"] * 4]
    assert told(await talk(gateway, *drips, pause=LIMIT / 4)) == (408, LATE_HEAD)


async def test_a_connection_without_a_byte_is_closed_without_one(gateway: Gateway) -> None:
    assert await talk(gateway) == b""


async def test_a_second_head_on_a_connection_has_its_own_time(gateway: Gateway) -> None:
    whole = b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n"
    answer = await talk(gateway, whole, whole, b"GET", pause=2 * LIMIT)
    assert answer.count(b'{"live": true}') == 2
    assert told(answer[answer.index(b"HTTP/1.1 408") :]) == (408, LATE_HEAD)


async def test_a_body_that_is_never_whole_is_408_and_closed(gateway: Gateway) -> None:
    await route_to(gateway, "http://127.0.0.1:1")
    for body in (b"content-length: 9\r\n\r\nhalf", b"transfer-encoding: chunked\r\n\r\n5\r\nha"):
        assert told(await talk(gateway, INFER + body)) == (408, LATE_BODY)


async def test_a_chunked_body_that_is_malformed_is_400(gateway: Gateway) -> None:
    await route_to(gateway, "http://127.0.0.1:1")
    answer = await talk(gateway, INFER + b"transfer-encoding: chunked\r\n\r\n", b"zz\r\nab\r\n", pause=0.05)
    reason = "the body is not what its headers say; send its length or well-formed chunks"
    assert told(answer) == (400, reason)


async def test_an_unknown_model_is_404_before_its_body_came(gateway: Gateway) -> None:
    head = b"POST /v2/models/none/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 16000000\r\n"
    for expect in (b"\r\n", b"expect: 100-continue\r\n\r\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", PORTS[gateway])
        writer.write(head + expect)
        answer = await asyncio.wait_for(reader.readuntil(b"}"), 1)
        assert told(answer) == (404, "no route for /v2/models/none/infer")
        writer.close()


async def test_a_connection_goes_on_after_a_body_that_nobody_wanted(gateway: Gateway) -> None:
    refused = b"POST /v2/models/none/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 2000000\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", PORTS[gateway])
    writer.write(refused + b"x" * 2_000_000 + b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n")
    answer = await asyncio.wait_for(reader.readuntil(b'{"live": true}'), 5)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01 hello\r\n\r\n",
        b"GET /\x01 HTTP/1.1\r\n\r\n",
        b"GET /v2/" + b"a" * 9000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nx: " + b"a" * 9000 + b"\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nno colon\r\n\r\n",
    ],
    ids=["tls", "control", "long path", "long header", "no colon"],
)
async def test_what_is_not_http_is_400_in_one_sentence(gateway: Gateway, data: bytes) -> None:
    assert told(await talk(gateway, data)) == (400, UNREADABLE)


async def test_a_target_that_is_no_path_is_400(gateway: Gateway) -> None:
    reason = "the request does not ask for a path; ask for one such as /v2/models/<model>"
    answer = await talk(gateway, b"OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert told(answer) == (400, reason)


async def test_escaped_and_absolute_targets_reach_the_model_in_normal_form(gateway: Gateway) -> None:
    with backend(response(b"{}")) as a:
        await route_to(gateway, a.url)
        for target in (b"/v2/models/iri%73?q=%73", b"http://h:1/v2/models/iris?q=%73"):
            answer = await talk(
                gateway, b"GET " + target + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
            )
            assert answer.startswith(b"HTTP/1.1 200")
    assert {request.split(b"\r\n")[0] for request in a.seen} == {b"GET /v2/models/iris?q=%73 HTTP/1.1"}


async def test_an_endpoint_gets_64_connections_and_the_rest_waits_for_its_turn(gateway: Gateway) -> None:
    loop, open_now, most = asyncio.get_running_loop(), set[asyncio.StreamWriter](), 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal most
        open_now.add(writer)
        most = max(most, len(open_now))
        while await reader.read(65536):
            await asyncio.sleep(0.05)
            writer.write(response())
        open_now.discard(writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    await route_to(gateway, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    ask = b"GET /v2/models/iris HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    begun = loop.time()
    answers = await asyncio.gather(*(talk(gateway, ask) for _ in range(150)))
    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 200"] * 150
    assert most == 64
    assert loop.time() - begun >= 0.15
    assert sum(gateway.proxy.backends.answers.values()) == 150
    await gateway.proxy.close()
    server.close()


def test_the_default_limits_leave_time_for_16_mib_over_a_slow_line() -> None:
    assert (Limits().head, Limits().body) == (10.0, 30.0)
