"""torch modules as ONNX: the same bytes from any folder and process, a free batch, the module's answers."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from trainkit.graph import run, session
from trainkit.onnx_export import exported

MODULE = """
import sys, torch
from trainkit.onnx_export import exported

def module():
    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2), torch.nn.Dropout())

if __name__ == "__main__":
    sys.stdout.buffer.write(exported(module(), {"features": torch.zeros(2, 4)}, ["score"]))
"""


@pytest.mark.fleet
def test_two_processes_in_two_folders_write_the_same_bytes(tmp_path: Path) -> None:
    written = []
    for name in ("one", "another/place"):
        source = tmp_path / name / "network.py"
        source.parent.mkdir(parents=True)
        source.write_text(MODULE, encoding="utf-8")
        done = subprocess.run([sys.executable, source], capture_output=True, check=True, cwd=source.parent)
        written.append(done.stdout)
    assert written[0] == written[1]
    assert str(tmp_path).encode() not in written[0]
    assert onnx.load_from_string(written[0]).producer_name == "trainkit"


@pytest.mark.fleet
def test_the_graph_answers_as_the_module_for_any_batch() -> None:
    import torch

    module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    opened = session(exported(module, {"features": torch.zeros(2, 4)}, ["score"]))
    for rows in (1, 5):
        given = np.random.default_rng(rows).normal(size=(rows, 4)).astype(np.float32)
        expected = module(torch.from_numpy(given)).detach().numpy()
        np.testing.assert_allclose(run(opened, {"features": given})["score"], expected, atol=1e-6)


def test_torch_is_not_imported_before_something_is_exported() -> None:
    code = "import sys, trainkit.onnx_export; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
