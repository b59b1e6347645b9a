"""The access log: valid JSON lines whatever callers send, and a stream that may block or close."""

import json
import os
import select
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.v2serve.observe.test_metrics import value
from v2serve.observe.access_log import AccessLog, Entry, line
from v2serve.observe.exposition import render

ENTRY = Entry(
    1700000000.1239, "POST", "/v2/models/iris/infer", 200, "iris", "4", "sha256:0", "id",
    1.23456, 10, 20, "1.1", "rest", None,
)  # fmt: skip
any_text = st.text(st.characters(exclude_categories=()))


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_a_line_holds_every_field() -> None:
    assert json.loads(line(ENTRY)) == {
        "time": "2023-11-14T22:13:20.123Z",
        "method": "POST",
        "path": "/v2/models/iris/infer",
        "status": 200,
        "model": "iris",
        "version": "4",
        "digest": "sha256:0",
        "request_id": "id",
        "duration_ms": 1.235,
        "bytes_in": 10,
        "bytes_out": 20,
        "http": "1.1",
        "protocol": "rest",
        "trace_id": None,
    }


@given(any_text, any_text, st.binary())
def test_a_line_is_one_json_object_of_printable_ascii_for_any_text(
    method: str, path: str, raw: bytes
) -> None:
    identifier = raw.decode(errors="surrogateescape")
    text = line(ENTRY._replace(method=method, path=path, request_id=identifier))
    assert text.endswith(b"\n")
    assert all(0x20 <= byte < 0x7F for byte in text[:-1])
    read = json.loads(text)
    read["path"].encode()  # text, not halves of it
    if path.isprintable() and len(path) <= 2048:
        assert read["path"] == path


@pytest.mark.parametrize("hostile", ['\n{"status": 200}', "\r\x1b[2J", "\x7f\x9b31m", '"}', "\u2028"])
def test_control_characters_of_a_caller_make_no_line_and_no_colour(hostile: str) -> None:
    text = line(ENTRY._replace(path="/" + hostile))
    assert text.count(b"\n") == 1
    assert json.loads(text)["path"] == "/" + hostile


def test_a_caller_does_not_choose_how_much_is_written() -> None:
    text = line(ENTRY._replace(path="/" + "x" * 60_000, request_id="y" * 60_000, method="z" * 60_000))
    assert len(text) < 5000


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(each) for each in path.read_text().splitlines()]


def test_what_was_noted_is_written_when_it_is_flushed(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as stream:
        log = AccessLog(1.0, stream.fileno())
        log.note(ENTRY)
        log.note(ENTRY._replace(status=404))
        assert (tmp_path / "log").read_bytes() == b""
        log.close()
    assert [each["status"] for each in lines(tmp_path / "log")] == [200, 404]
    text = render(log.samples())
    assert value(text, "v2serve_access_log_lines_total") == 2
    assert value(text, "v2serve_access_log_dropped_total") == 0


def test_512_entries_do_not_wait_for_the_timer(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as stream:
        log = AccessLog(1.0, stream.fileno())
        for _ in range(513):
            log.note(ENTRY)
        deadline = time.monotonic() + 10
        while value(render(log.samples()), "v2serve_access_log_lines_total") < 512:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        log.close()
    assert len(lines(tmp_path / "log")) == 513


def test_a_stream_that_blocks_costs_lines_but_no_time(pipe: tuple[int, int]) -> None:
    log = AccessLog(1.0, pipe[1])
    begin = time.perf_counter()
    for _ in range(30_000):
        log.note(ENTRY)
    log.flush()
    assert time.perf_counter() - begin < 5  # nobody reads: a write would wait for ever
    dropped = value(render(log.samples()), "v2serve_access_log_dropped_total")
    assert 10_000 < dropped < 30_000
    begin = time.perf_counter()
    log.close(0.1)
    assert time.perf_counter() - begin < 2
    drain = threading.Thread(target=_read_all, args=(pipe[0], log), daemon=True)
    drain.start()
    log.close(10)
    drain.join(10)
    assert value(render(log.samples()), "v2serve_access_log_lines_total") + dropped == 30_000


def _read_all(descriptor: int, log: AccessLog) -> None:
    while log._thread.is_alive():
        if select.select([descriptor], [], [], 0.05)[0]:
            os.read(descriptor, 1 << 16)


def test_a_stream_that_is_closed_costs_lines_only() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    log = AccessLog(1.0, writing)
    log.note(ENTRY)
    log.close()
    os.close(writing)
    assert value(render(log.samples()), "v2serve_access_log_dropped_total") == 1


def test_a_share_of_the_good_and_all_of_the_failed_are_told() -> None:
    log = AccessLog(0.25, 1)
    assert 0.2 < sum(log.chosen(200) for _ in range(10_000)) / 10_000 < 0.3
    assert all(log.chosen(500) for _ in range(1000))
    log.close()
