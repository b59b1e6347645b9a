"""Inputs that a request may leave out: preprocess gives the graph what is missing."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.v2serve.artifacts import identity
from tests.v2serve.models.examples import asked, loaded, passing, spec, write_coded
from tests.v2serve.servers import running
from v2serve.artifact import ArtifactError, write_sums
from v2serve.contract import load_contract

SCALED = '''
"""y is x times the scale that the request gives, or as it is."""
import numpy as np


def preprocess(inputs, parameters):
    scale = inputs["scale"] if "scale" in inputs else np.ones(1, np.float32)
    return {"x": inputs["x"] * scale}
'''


def scaled(folder: Path) -> str:
    inputs = [spec("x", "FP32", -1), {**spec("scale", "FP32", -1), "optional": True}]
    golden = [([asked("x", "FP32", [2], [1, 2])], [asked("y", "FP32", [2], [1, 2])])]
    return write_coded(
        folder, identity("FP32", ("N",)).onnx(), SCALED, (inputs, [spec("y", "FP32", -1)]), golden
    )


def body(*names: str) -> dict[str, Any]:
    return {"inputs": [asked(name, "FP32", [1], [3]) for name in names]}


@pytest.mark.parametrize("batch", ["1", "4"])
def test_an_optional_input_may_be_left_out_and_a_needed_one_not(tmp_path: Path, batch: str) -> None:
    with running(tmp_path, scaled(tmp_path), V2SERVE_MAX_BATCH=batch) as server:
        answers = [server.infer(body(*names)) for names in (("x",), ("x", "scale"), ("scale", "x"))]
        assert [answer.json["outputs"][0]["data"] for answer in answers] == [[3.0], [9.0], [9.0]]
        refused = server.infer(body("scale"))
        assert refused.status == 400
        assert refused.error == "input 'x': missing; the model takes x, scale"
        assert server.infer(body("x", "scale", "scale")).status == 400
        told = server.ask(f"/v2/models/{answers[0].json['model_name']}").json["inputs"]
        assert told[0] == spec("x", "FP32", -1)
        assert told[1] == {**spec("scale", "FP32", -1), "optional": True}


def test_a_graph_alone_has_no_optional_inputs(tmp_path: Path) -> None:
    digest = passing(tmp_path, "def postprocess(outputs, inputs, parameters):\n    return outputs\n")
    contract = json.loads((tmp_path / "contract.json").read_text())
    contract["inputs"][0]["optional"] = True
    (tmp_path / "contract.json").write_text(json.dumps(contract))
    digest = write_sums(tmp_path)
    with pytest.raises(ArtifactError, match=r"^contract.json: x: optional, but a graph takes all"):
        loaded(tmp_path, digest)


def test_an_output_is_never_optional(tmp_path: Path) -> None:
    passing(tmp_path, "def postprocess(outputs, inputs, parameters):\n    return outputs\n")
    contract = json.loads((tmp_path / "contract.json").read_text())
    contract["outputs"][0]["optional"] = True
    (tmp_path / "contract.json").write_text(json.dumps(contract))
    with pytest.raises(ArtifactError, match=r"^contract.json: y: optional is of inputs"):
        load_contract(tmp_path)
