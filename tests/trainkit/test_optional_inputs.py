"""Inputs that a request may leave out, from the job's Release to the artifact that v2serve loads."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.trainkit.test_release import folder, plain, serve_with  # noqa: F401 - a fixture
from trainkit.errors import TrainError
from trainkit.golden import Asked, Tensor, request
from trainkit.release import write_release

CODE = """
import numpy as np
def preprocess(inputs, parameters):
    return {"x": inputs.get("x", np.zeros((1, 1), np.float32)) + inputs.get("more", np.float32(0))}
"""
X, MORE = Tensor("x", "FP32", (-1, 1)), Tensor("more", "FP32", (-1, 1), optional=True)
ONE = np.ones((1, 1), np.float32)


def test_a_golden_request_may_leave_out_an_optional_input(folder: Path) -> None:  # noqa: F811
    serve_with(folder, CODE)
    write_release(plain(inputs=[X, MORE], golden=[{"x": ONE}, {"x": ONE, "more": ONE}]))
    contract = json.loads((folder / "artifact/contract.json").read_text("utf-8"))
    assert [tensor.get("optional") for tensor in contract["inputs"]] == [None, True]
    golden = json.loads((folder / "artifact/golden.json").read_text("utf-8"))
    assert [one["response"]["outputs"][0]["data"] for one in golden] == [[2.0], [4.0]]


@pytest.mark.parametrize("names", [["more"], ["x", "less"], []])
def test_a_golden_request_with_other_inputs_than_the_contract_is_refused(names: list[str]) -> None:
    with pytest.raises(
        TrainError, match=r"golden: its inputs are \[.*\], the contract's are \['more', 'x'\]"
    ):
        request(Asked(dict.fromkeys(names, ONE)), [X, MORE], "golden")
