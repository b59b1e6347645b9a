"""Records and logs of processes: nothing is ended that is not ours, nothing grows without bound."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mainline.local import records
from mainline.local.layout import Layout, LocalError, read_json, stamp, write_json
from mainline.local.objects import Objects, read_objects
from mainline.local.records import Record


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path)
    made.prepare()
    return made


@pytest.fixture
def sleeper(layout: Layout) -> Iterator[Record]:
    command = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
    record = Record("sleeper", "server", *records.spawn(command, layout.log("sleeper"), dict(os.environ)))
    yield record
    records.terminate([record], 5)


def test_a_process_is_alive_until_it_is_terminated(sleeper: Record) -> None:
    assert sleeper.alive()
    assert records.terminate([sleeper], 5) == ["sleeper"]
    assert not sleeper.alive()
    assert records.exit_code(sleeper.pid) == -15
    assert records.terminate([sleeper], 5) == []


def test_a_process_that_ignores_the_first_signal_is_killed(layout: Layout) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    stubborn = Record(
        "s", "server", *records.spawn([sys.executable, "-c", code], layout.log("s"), dict(os.environ))
    )
    while records.last_line(layout.log("s")) != "up":
        time.sleep(0.01)
    assert records.terminate([stubborn], 0.2) == ["s"]
    assert records.exit_code(stubborn.pid) == -9


def test_the_same_pid_started_at_another_time_is_somebody_else(sleeper: Record) -> None:
    stranger = Record("sleeper", "server", sleeper.pid, "1@" + sleeper.started.partition("@")[2])
    assert not stranger.alive()
    assert records.terminate([stranger], 1) == []
    assert sleeper.alive()


def test_looking_at_a_record_never_takes_the_exit_code_of_another_child() -> None:
    child = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
    time.sleep(0.3)
    assert not Record("old", "server", child.pid, "1@boot").alive()
    assert child.wait(5) == 7


def test_the_exit_code_of_a_child_is_kept(layout: Layout) -> None:
    pid, started = records.spawn(
        [sys.executable, "-c", "raise SystemExit(3)"], layout.log("x"), dict(os.environ)
    )
    record = Record("x", "server", pid, started)
    while record.alive():
        time.sleep(0.01)
    assert records.exit_code(pid) == 3
    assert records.exit_code(pid) == 3


def test_a_program_that_does_not_exist_is_refused_in_one_line(layout: Layout) -> None:
    with pytest.raises(LocalError, match="no-such-program: does not start"):
        records.spawn(["no-such-program"], layout.log("x"), dict(os.environ))


def test_a_record_is_the_same_after_writing_and_reading(layout: Layout) -> None:
    record = Record("iris-1", "server", 7, "9@b", 8080, {"digest": "sha256:1", "restarts": 2})
    records.write_record(layout, record)
    assert records.read_record(layout, "iris-1") == record
    assert records.read_records(layout) == [record]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "7", "started": "x"}', '{"pid": 7}', "\udcff"])
def test_what_is_no_record_is_read_as_none(layout: Layout, text: str) -> None:
    layout.record("x").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert records.read_record(layout, "x") is None
    assert records.read_records(layout) == []


def test_a_lock_has_one_holder_and_names_it(layout: Layout) -> None:
    first = records.hold(layout, "agent")
    with pytest.raises(LocalError, match="another agent runs for"):
        records.hold(layout, "agent")
    first.close()
    records.hold(layout, "agent").close()


LINES = st.lists(st.text("abc é", max_size=30), max_size=30)


@given(LINES, st.integers(16, 400))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_trimmed_log_is_bounded_and_keeps_its_last_lines(
    tmp_path: Path, lines: list[str], limit: int
) -> None:
    log = tmp_path / "x.log"
    text = "".join(f"{line}\n" for line in lines).encode()
    log.write_bytes(text)
    records.trim_log(log, limit)
    left = log.read_bytes()
    assert len(left) <= limit
    assert text.endswith(left)
    assert left == text or not left or text[: -len(left)].endswith(b"\n")


def test_a_log_that_is_being_written_goes_on_after_trimming(layout: Layout) -> None:
    log = layout.log("x")
    with log.open("ab") as writer:
        writer.write(b"old line\n" * 1000)
        writer.flush()
        records.trim_log(log, 1000)
        writer.write(b"new line\n")
    assert log.stat().st_size < 1000
    assert records.last_line(log) == "new line"


def test_the_last_line_has_words_and_is_short(layout: Layout) -> None:
    layout.log("x").write_text("first\n" + "x" * 20000 + "\nlast " + "y" * 1000 + "\n\n  \n")
    assert records.last_line(layout.log("x")) == "last " + "y" * 495
    assert records.last_line(layout.log("missing")) == ""


def test_a_json_file_is_replaced_and_its_stamp_differs(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    assert stamp(path) is None
    write_json(path, [1])
    before = stamp(path)
    write_json(path, [2])
    assert (read_json(path), stamp(path) == before) == ([2], False)
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"generation": 1, "routes": {"a": {"b": {}}}, "services": {}}']
)
def test_objects_that_we_did_not_write_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "objects.json").write_text(text)
    assert read_objects(tmp_path / "objects.json") == Objects()
