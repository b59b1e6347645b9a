"""The size of files and functions, and what must never be in a commit."""

import ast
import re

import pytest

from tests.repository.tracked import ROOT, tracked

CODE = [path for path in tracked() if path.endswith(".py") and not path.startswith("tests/")]
_FILE_LINES, _FUNCTION_LINES = 400, 50


@pytest.mark.parametrize("path", CODE)
def test_files_and_functions_fit_a_small_viewport(path):
    text = (ROOT / path).read_text("utf-8")
    assert text.count("\n") <= _FILE_LINES
    functions = [
        n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    long = {
        f.name: f.end_lineno - f.lineno + 1 for f in functions if f.end_lineno - f.lineno >= _FUNCTION_LINES
    }
    assert long == {}


@pytest.mark.parametrize("path", CODE)
def test_every_module_says_in_one_sentence_what_it_is_for(path):
    docstring = ast.get_docstring(ast.parse((ROOT / path).read_text("utf-8")))
    assert docstring
    assert docstring != "placeholder"


def test_no_room_is_a_dumping_ground():
    names = {path.rsplit("/", 1)[-1] for path in CODE}
    assert names.isdisjoint({"utils.py", "helpers.py", "common.py", "constants.py", "misc.py"})


def test_the_lock_has_hashes_and_no_addresses():
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    assert "://" not in lock
    assert "--index" not in lock
    pins = re.findall(r"^[a-z0-9][^\s=]*==\S+.*$(?:\n    --hash=sha256:[0-9a-f]{64}(?: \\)?$)+", lock, re.M)
    assert len(pins) == len(re.findall(r"^[a-z0-9][^\s=]*==", lock, re.M)) > 100


def test_every_dependency_is_in_the_lock():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wanted = [
        *project["project"]["dependencies"],
        *(one for group in project["dependency-groups"].values() for one in group),
    ]
    names = {re.split(r"[<>=!~ ;\[]", wish)[0].lower().replace("_", "-") for wish in wanted}
    locked = set(
        re.findall(r"^([a-z0-9][a-z0-9.-]*)==", (ROOT / "requirements.lock").read_text("utf-8"), re.M)
    )
    assert names <= locked


def test_no_test_is_skipped_without_naming_what_is_missing():
    for path in tracked():
        if path.startswith("tests/") and path.endswith(".py"):
            text = (ROOT / path).read_text("utf-8")
            marks = re.findall(r"@pytest\.mark\.(?:skip|xfail)\b(?!if)(?!\(reason=\"[^\"]{15,})", text)
            assert marks == [], path
