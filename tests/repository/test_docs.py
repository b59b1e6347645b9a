"""What the documents say is there: links lead to files, and every command they show exists."""

import re
import subprocess
import sys

import pytest

from tests.repository.tracked import ROOT, tracked

DOCUMENTS = [path for path in tracked() if path.endswith(".md")]
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```(?:sh|bash|console|text)?\n(.*?)^```", re.M | re.S)
_INLINE = re.compile(r"`((?:make|mainline|git|python -m) [^`\n]+)`")


def _text(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


def _commands(path: str) -> list[str]:
    text = _text(path)
    fenced = [
        line.removeprefix("$ ").strip() for block in _FENCE.findall(text) for line in block.splitlines()
    ]
    return [*fenced, *_INLINE.findall(text)]


def _make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z0-9-]*):", _text("Makefile"), re.M))


@pytest.mark.parametrize("path", DOCUMENTS)
def test_links_lead_to_files(path):
    links = [link.split("#")[0] for link in _LINK.findall(_text(path)) if "://" not in link]
    missing = [link for link in links if link and not ((ROOT / path).parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("path", DOCUMENTS)
def test_make_targets_that_are_shown_exist(path):
    shown = {word for command in _commands(path) for word in re.findall(r"\bmake ([a-z][a-z0-9-]*)", command)}
    assert shown <= _make_targets()


@pytest.fixture(scope="module")
def verbs():
    done = subprocess.run(
        [sys.executable, "-m", "mainline", "--help"], capture_output=True, text=True, check=True
    )
    listed = done.stdout.split("Commands:")[1]
    return set(re.findall(r"^  ([a-z]+) ", listed, re.M))


@pytest.mark.parametrize("path", DOCUMENTS)
def test_verbs_and_options_that_are_shown_exist(path, verbs):
    from mainline.cli import app

    known = {command.callback.__name__: command for command in app.registered_commands}
    for command in _commands(path):
        match = re.match(r"(?:\.venv/bin/)?mainline ([a-z]+)\b", command)
        if not match:
            continue
        verb = match.group(1)
        assert verb in verbs, f"{path} shows `{command}`"
        assert verb in known
        options = set(re.findall(r"(?<=\s)--[a-z][a-z-]*", command))
        assert options <= _options(verb), f"{path} shows `{command}`"


def _options(verb: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-m", "mainline", verb, "--help"], capture_output=True, text=True, check=True
    )
    return set(re.findall(r"--[a-z][a-z-]*", done.stdout))


def test_every_verb_has_help_with_an_example(verbs):
    for verb in verbs - {"down"}:
        done = subprocess.run(
            [sys.executable, "-m", "mainline", verb, "--help"], capture_output=True, text=True, check=True
        )
        assert f"Example: mainline {verb}" in done.stdout


def test_every_document_is_reachable_from_the_readme():
    seen, waiting = set(), ["README.md"]
    while waiting:
        path = waiting.pop()
        if path in seen or not path.endswith(".md"):
            continue
        seen.add(path)
        folder = (ROOT / path).parent
        links = [link.split("#")[0] for link in _LINK.findall(_text(path)) if "://" not in link]
        waiting += [(folder / link).resolve().relative_to(ROOT).as_posix() for link in links if link]
    expected = {path for path in DOCUMENTS if path.startswith("docs/")}
    assert expected - seen == set()
