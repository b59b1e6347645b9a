"""A signal while a model loads ends the process; it is not a fault of the model, and no model keeps it up."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.v2serve.models.examples import loaded, passing
from v2serve import stop
from v2serve.artifact import ArtifactError

_SIGNAL = "from v2serve.stop import stop\n"
_PRE = "def preprocess(inputs, parameters):\n"
_LOAD = _PRE + "    return inputs\n\n\ndef load(folder):\n"
_SWALLOWS = "    try:\n        stop(15)\n    except {}:\n        pass\n"


@pytest.fixture(autouse=True)
def _not_told() -> Iterator[None]:
    yield
    stop._told.clear()


@pytest.mark.parametrize(
    "code",
    [
        _SIGNAL + "stop(15)\n",
        _SIGNAL + _LOAD + "    stop(15)\n",
        _SIGNAL + _LOAD + _SWALLOWS.format("SystemExit"),
        _SIGNAL + _LOAD + _SWALLOWS.format("BaseException") + "    raise ValueError\n",
        _SIGNAL + _PRE + "    stop(15)\n",
        _SIGNAL + _PRE + _SWALLOWS.format("BaseException") + "    return inputs\n",
        _SIGNAL + _PRE + _SWALLOWS.format("BaseException") + "    raise ValueError\n",
    ],
    ids=[
        "import",
        "load",
        "load swallows it",
        "load fails of it",
        "golden",
        "swallowed",
        "golden fails of it",
    ],
)
def test_a_signal_while_model_py_runs_ends_the_start(tmp_path: Path, code: str) -> None:
    digest = passing(tmp_path, code)
    with pytest.raises(stop.Stopped) as caught:
        loaded(tmp_path, digest)
    assert caught.value.code == 143


def test_an_exit_of_model_py_itself_is_its_fault(tmp_path: Path) -> None:
    digest = passing(tmp_path, "import sys\nsys.exit(143)\n")
    with pytest.raises(ArtifactError, match=re.escape("model.py line 2: SystemExit: 143")):
        loaded(tmp_path, digest)


def test_without_a_signal_nothing_stops() -> None:
    stop.check_stop()
    with pytest.raises(stop.Stopped):
        stop.stop(2)
    with pytest.raises(stop.Stopped) as caught:
        stop.check_stop()
    assert caught.value.code == 130
