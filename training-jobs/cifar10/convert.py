"""The trained network as the graph that is served: compared with PyTorch, and in int8 if params.yaml says so."""

from dataclasses import asdict

import numpy as np
import torch
from converted import BATCH, GRAPH, REPORT, Export, answered, as_input
from graph import float_nodes, graph_of
from images import Images, load_images
from learner import load_network, probabilities
from numpy.typing import NDArray
from recipe import Train, chosen
from train import WEIGHTS

from trainkit.documents import write_json
from trainkit.errors import TrainError
from trainkit.params import read_params
from trainkit.quantize import Choice, Metric, calibrated, choose
from trainkit.release import Parity
from trainkit.stage import run_stage

TIMED = 100  # images, each asked alone


def convert() -> str:
    params, wanted, test = read_params("train", Train), read_params("export", Export), load_images("test")
    torch.set_num_threads(params.threads)
    network = load_network(chosen(params), WEIGHTS["model"])
    full = graph_of(network)
    _check_size(full, wanted)
    parity = _parity(full, probabilities(network, test, BATCH), test, wanted)
    choice = _chosen(full, test, wanted)
    _write(choice.graph)
    write_json(REPORT, {"parity": asdict(parity), "int8": choice.evidence})
    return f"largest difference from PyTorch {parity.largest_difference:.1e}; {choice.line}"


def _check_size(content: bytes, wanted: Export) -> None:
    megabytes = len(content) / 1e6
    if megabytes > wanted.largest_megabytes:
        raise TrainError(
            f"the graph has {megabytes:.1f} MB, params.yaml export.largest_megabytes is {wanted.largest_megabytes:g}: "
            "take smaller widths in the recipe"
        )


def _parity(content: bytes, expected: NDArray[np.float32], test: Images, wanted: Export) -> Parity:
    """Over all test images; TrainError above the tolerance comes with the release."""
    largest = np.abs(answered(content, test) - expected).max()
    return Parity(float(largest), wanted.tolerance, len(test))


def _chosen(full: bytes, test: Images, wanted: Export) -> Choice:
    """Activations get their ranges from training images: the test images decide about the loss only."""

    def accuracy(graph: bytes) -> float:
        return float((answered(graph, test).argmax(axis=1) == test.labels).mean())

    seen = as_input(load_images("train").take(slice(wanted.calibration_images)))
    calls = [{"image": seen[start : start + BATCH]} for start in range(0, len(seen), BATCH)]
    small = calibrated(full, calls, float_nodes(full))
    timed = as_input(test.take(slice(TIMED)))
    alone = [{"image": timed[row : row + 1]} for row in range(len(timed))]
    return choose(full, small, Metric("accuracy", accuracy), alone, wanted)


def _write(content: bytes) -> None:
    draft = GRAPH.with_suffix(".part")
    draft.write_bytes(content)
    draft.replace(GRAPH)


if __name__ == "__main__":
    run_stage(convert)
