"""Functions of a client, run one after another against a port; what came of each is said as JSON."""

import asyncio
import inspect
import json
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

MODEL = "iris"
FEATURES = np.array([[0.5, -1.5, 2.0, 1e10], [1, 2, 3, 4]], np.float32)
WORDS = np.array(["w\u00f6rd".encode(), b"", b"\x00\x01"], np.object_)
TEXTS = np.array(["w\u00f6rd".encode(), b""], np.object_)
COUNTS = np.array([[1, -(2**62)]], np.int64)
FLAGS = np.array([True, False, True], np.bool_)


def run(behaviours: list[Callable[[int], Any]]) -> None:
    warnings.simplefilter("ignore")
    port = int(sys.argv[1])
    sys.stdout.write(json.dumps({behaviour.__name__: _outcome(behaviour, port) for behaviour in behaviours}))


def _outcome(behaviour: Callable[[int], Any], port: int) -> str:
    try:
        told = behaviour(port)
        if inspect.isawaitable(told):
            asyncio.run(_awaited(told))
    except Exception as error:  # whatever a client raises is what the test says
        return f"{type(error).__name__}: {error}"
    return "ok"


async def _awaited(told: Any) -> None:
    await told


def same(given: Any, wanted: Any) -> None:
    """Equal arrays, and equal shapes: BYTES as they are."""
    left, right = np.asarray(given), np.asarray(wanted)
    if left.shape != right.shape or not np.array_equal(left, right):
        raise AssertionError(f"{left!r} is not {right!r}")
