"""model.py of an artifact: reviewed code beside the graph, executed by path, asked for its functions once."""

import importlib.util
import inspect
import itertools
import sys
import traceback
from collections.abc import Callable, Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple

from v2serve.artifact import ArtifactError
from v2serve.protocol import Refusal
from v2serve.stop import Stopped, check_stop
from v2serve.tensors import Array

MODEL_CODE = "model.py"

Arrays = dict[str, Array]
Parameters = Mapping[str, Any]
Preprocess = Callable[[Arrays, Parameters], Arrays]
Postprocess = Callable[[Arrays, Arrays, Parameters], Arrays]

_SHOWN = 500  # characters of a message: what a caller sent may be in it
_numbers = itertools.count()


class BadInput(Refusal):
    """Raised by model.py for an input of the caller's fault; the caller reads the message, with status 400."""

    def __init__(self, message: str) -> None:
        text = str(message)
        super().__init__(400, text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


class Code(NamedTuple):
    """V2 inputs to the graph's feeds, the graph's outputs to V2 outputs; None where the graph's own will do."""

    preprocess: Preprocess | None = None
    postprocess: Postprocess | None = None

    @property
    def present(self) -> bool:
        return self != (None, None)


class _SourceOnly(SourceFileLoader):
    """Compiles the bytes that were reviewed; reads and writes no cache of them."""

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002 - as importlib calls it
        code: CodeType = self.source_to_code(self.get_data(self.path), self.path)
        return code


def load_code(folder: Path, name: str) -> Code:
    """The functions of model.py, its `load` called; ArtifactError names file and line."""
    path = folder / MODEL_CODE
    if not path.exists():
        return Code()
    module = _executed(path, name)
    code = Code(_function(module, "preprocess", 2), _function(module, "postprocess", 3))
    if not code.present:
        raise ArtifactError(
            f"{MODEL_CODE} line 1: neither preprocess nor postprocess is defined; define one or both"
        )
    if (load := _function(module, "load", 1)) is not None:
        _guarded(path, lambda: load(folder))
    return code


def _executed(path: Path, name: str) -> ModuleType:
    module_name = f"v2serve_model_{next(_numbers)}_{name}"
    loader = _SourceOnly(module_name, str(path))
    spec = importlib.util.spec_from_file_location(module_name, path, loader=loader)
    assert spec is not None  # noqa: S101 - only without a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses look their own module up
    try:
        _guarded(path, lambda: loader.exec_module(module))
    except ArtifactError:
        del sys.modules[module_name]
        raise
    return module


def _guarded(path: Path, work: Callable[[], object]) -> None:
    try:
        work()
    except Stopped:
        raise
    except BaseException as error:
        check_stop()  # it may have been caught on its way
        line = _line(path, error)
        raise ArtifactError(f"{MODEL_CODE} line {line}: {type(error).__name__}: {reason(error)}") from error
    check_stop()


def _line(path: Path, error: BaseException) -> int:
    """Where in model.py, whatever it called."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno or 1
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno or 1 for frame in reversed(frames) if frame.filename == str(path)), 1)


def reason(error: BaseException) -> str:
    """Its first line, whatever it is."""
    try:
        text = error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception:  # its own __str__ is broken, too
        text = ""
    return (text.strip() or "no message").splitlines()[0][:300]


def _function(module: ModuleType, name: str, arguments: int) -> Any:
    """The function of this name, or None; ArtifactError if it cannot be called with so many arguments."""
    function = getattr(module, name, None)
    if function is None:
        return None
    if not callable(function) or inspect.iscoroutinefunction(function):
        raise ArtifactError(f"{MODEL_CODE} line {_start(function)}: {name} is not a plain function")
    try:
        inspect.signature(function).bind(*range(arguments))
    except (TypeError, ValueError) as error:
        raise ArtifactError(
            f"{MODEL_CODE} line {_start(function)}: {name} is called with {arguments} arguments: {error}"
        ) from None
    return function


def _start(function: object) -> int:
    code = getattr(function, "__code__", None)
    return code.co_firstlineno if isinstance(code, CodeType) else 1
