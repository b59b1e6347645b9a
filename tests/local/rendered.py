"""Real releases: an ONNX artifact in the store, a release file, and what the declarations render to."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from infra.declarations.release import Candidate, Release, ReleasedVersion, dump_release, release_path
from infra.declarations.repository import load
from infra.declarations.tree import is_declaration, read_tree
from infra.render import render
from tests.local.world import World
from v2serve.artifact import write_sums

REPOSITORY = Path(__file__).parents[2]
ROWS = [[5.1, 3.5, 1.4, 0.2]]
REQUEST = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": ROWS}]}


@cache
def declarations() -> dict[str, str]:
    """Everything declared but releases, which are the tests' own."""
    return {path: text for path, text in read_tree(REPOSITORY).items() if "/releases/" not in path}


def real_artifact(world: World, model: str, factor: float) -> str:
    """A model that multiplies four numbers by `factor`; returns the digest of its artifact in the store."""
    folder = world.root / "artifact"
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(_network(factor))
    tensors = {"datatype": "FP32", "shape": [-1, 4]}
    contract = {"name": model, "platform": "onnxruntime_onnx", "inputs": [{"name": "x", **tensors}]}
    (folder / "contract.json").write_text(json.dumps(contract | {"outputs": [{"name": "y", **tensors}]}))
    answer = (np.array(ROWS, np.float32) * np.float32(factor)).flatten().tolist()
    output = {"name": "y", "datatype": "FP32", "shape": [1, 4], "data": answer}
    (folder / "golden.json").write_text(json.dumps({"request": REQUEST, "response": {"outputs": [output]}}))
    digest = write_sums(folder)
    stored = world.root / ".mainline/store" / model / digest[7:]
    stored.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(stored)
    return digest


def _network(factor: float) -> bytes:
    value = helper.make_tensor("factor", TensorProto.FLOAT, [1], [factor])
    shape = [None, 4]
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        "times",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [value],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def version(digest: str, number: int) -> dict[str, Any]:
    return {
        "version": number,
        "digest": digest,
        "run": "ab" * 16,
        "code": "cd" * 20,
        "data": {},
        "evidence": {},
    }


def stable(digest: str, number: int = 1) -> Release:
    return Release(stable=ReleasedVersion(**version(digest, number)))


def on_trial(old: str, new: str, **how: Any) -> Release:
    return Release(stable=ReleasedVersion(**version(old, 1)), candidate=Candidate(**version(new, 2), **how))


def promote(world: World, releases: dict[str, Release]) -> str:
    """One commit with these release files and everything rendered, as a promotion makes it."""
    files = {release_path(model, "local"): dump_release(release) for model, release in releases.items()}
    tree = declarations() | files
    rendered = dict(render(load(tree), "local"))
    stale = world.git.files(world.head, lambda path: path.startswith("clusters/") or is_declaration(path))
    return world.write("Promote", dict.fromkeys(stale) | tree | rendered)
