"""The suite is able to fail: a server that does one thing wrong departs from exactly the rules that say so."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance import suite
from tests.conformance.faulty_server import REQUEST, serving
from tests.conformance.http1 import Address
from tests.conformance.probe import Target
from tests.conformance.rule import Finding, Level, Verdict
from tests.conformance.rules_refusals import WRONG

GROUPS = ("health", "server", "model", "infer", "answer", "binary", "refuse")
# The reference server reads any content type, and its HTTP is http.server's.
KNOWN = {"refuse.json.deep.status"}
REFUSED = {f"refuse.{wrong.id}" for wrong in WRONG}
BINARY_REFUSED = {
    rule.id
    for rule in suite.RULES
    if rule.id.startswith("binary.refuse.") and not rule.id.endswith(".status")
}
BYTES_IN = {"binary.inputs", "binary.inputs.mixed", "binary.header.case"}
BYTES_OUT = {f"binary.outputs.{name}" for name in ("all", "each", "some", "precedence", "json-request")}
ABSENT = {"refuse.model", "refuse.version", "refuse.path.body"}
FAULTS: dict[str, set[str]] = {
    "live is a word": {"health.live"},
    "unready": {"health.ready", "health.ready.field"},
    "no extensions": {"server.metadata", "binary.announced"},
    "odd datatype": {"model.metadata.tensors"},
    "another name": {"infer"},
    "id forgotten": {"infer.id.echoed", "infer.concurrent"},
    "every output": {"infer.output.chosen", "binary.outputs.each"},
    "a value short": {"infer.output.count"} | BYTES_OUT,
    "null": {"infer.output.optional"},
    "html": {"answer.content-type"},
    "any count": {"refuse.data.few", "refuse.data.many", "binary.refuse.size.shape"}
    | {"refuse.data.few.status", "refuse.data.many.status", "binary.refuse.size.shape.status"},
    "detail": REFUSED | BINARY_REFUSED | ABSENT,
    "more than the error": REFUSED | BINARY_REFUSED | ABSENT,
    "500": {f"{name}.status" for name in REFUSED | BINARY_REFUSED},
    "any model": {"refuse.model", "refuse.model.status", "refuse.version", "refuse.version.status"},
    "big-endian": BYTES_IN | BYTES_OUT - {"binary.outputs.json-request"},
    "whole wins": {"binary.outputs.each", "binary.outputs.some", "binary.outputs.precedence"},
    "trailing bytes": {"binary.refuse.bytes.trailing", "binary.refuse.bytes.trailing.status"},
    "sizes too large": BYTES_OUT,
}


def _departures(port: int) -> dict[str, str]:
    target = Target(Address("127.0.0.1", port), "m", request=REQUEST, timeout=3)
    rules = [rule for group in GROUPS for rule in suite.chosen(group)]
    return {f.rule.id: f.seen for f in suite.run(target, rules) if f.verdict is Verdict.DEPARTS}


@pytest.fixture(scope="module")
def faultless() -> set[str]:
    with serving() as port:
        return set(_departures(port))


def test_a_server_without_faults_departs_from_no_rule(faultless: set[str]) -> None:
    assert faultless - KNOWN == set()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_makes_exactly_its_rules_depart(fault: str, faultless: set[str]) -> None:
    with serving(fault) as port:
        seen = _departures(port)
    assert set(seen) - faultless == FAULTS[fault] - faultless, seen


def test_a_server_that_hangs_up_departs_and_the_suite_goes_on() -> None:
    with serving() as port:
        target = Target(Address("127.0.0.1", port), "m", request=REQUEST, timeout=1)
        [found] = suite.run(target, suite.chosen("http1.expect"))
    assert isinstance(found, Finding)
    assert found.verdict in (Verdict.CONFORMS, Verdict.DEPARTS)


def test_every_rule_has_an_id_of_its_own_a_source_and_a_statement() -> None:
    ids = [rule.id for rule in suite.RULES]
    assert len(set(ids)) == len(ids)
    assert all(rule.source.url.startswith("https://") and rule.source.section for rule in suite.RULES)
    assert all(len(rule.statement) > 5 for rule in suite.RULES)


def _said(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tests.conformance", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])


def test_the_command_ends_with_1_where_a_must_departs_and_says_which(tmp_path: Path) -> None:
    request = tmp_path / "request.json"
    request.write_text(json.dumps(REQUEST))
    with serving("id forgotten") as port:
        done = _said(
            "--rest",
            f"http://127.0.0.1:{port}",
            "--model",
            "m",
            "--request",
            str(request),
            "--only",
            "infer",
            "--json",
        )
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert told["passes"] is False
    departed = [rule for rule in told["rules"] if rule["verdict"] == "departs"]
    assert [rule["id"] for rule in departed] == ["infer.id.echoed", "infer.concurrent"]
    assert departed[0]["section"] == "Inference Request JSON Object"


def test_the_command_ends_with_0_where_only_a_should_departs() -> None:
    with serving("html") as port:
        done = _said("--rest", f"http://127.0.0.1:{port}", "--model", "m", "--only", "answer")
    assert done.returncode == 0, done.stdout
    assert "answer.content-type SHOULD departs" in done.stdout


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--rest", "http://127.0.0.1:1", "--model", "m"], "--rest http://127.0.0.1:1: nobody answers there"),
        (["--rest", "nonsense", "--model", "m"], "--rest nonsense: give http://HOST:PORT"),
        (["--model", "m"], "--rest, --grpc or both are needed"),
        (["--rest", "http://127.0.0.1:1"], "--model is needed"),
        (["--only", "nonsense"], "--only nonsense: no rule has such an id"),
    ],
)
def test_the_command_ends_with_2_and_a_reason_where_it_cannot_run(words: list[str], reason: str) -> None:
    done = _said(*words)
    assert done.returncode == 2
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_the_list_names_level_and_source_of_each_rule() -> None:
    done = _said("--list")
    assert done.returncode == 0
    assert done.stdout.count("https://") == len(suite.RULES)
    assert {rule.level for rule in suite.RULES} == set(Level)
