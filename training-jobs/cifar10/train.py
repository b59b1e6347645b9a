"""Train the variant of params.yaml, or with the word `baseline` the network that it is compared with."""

import os
import sys
from dataclasses import asdict
from pathlib import Path

from images import load_images
from learner import Run, fit, save_network
from recipe import Recipe, Train, baseline, chosen

from trainkit.checkpoints import Checkpoints, checkpoints, state_of
from trainkit.job import read_job
from trainkit.params import read_params
from trainkit.stage import run_stage

WEIGHTS = {"baseline": Path("work/baseline.safetensors"), "model": Path("work/model.safetensors")}
CODE = ("images.py", "batches.py", "networks.py", "learner.py")


def train() -> str:
    params = read_params("train", Train)
    compared = sys.argv[1:] == ["baseline"]
    recipe = baseline(params.label_smoothing) if compared else chosen(params)
    images = load_images("train")
    network = fit(images, Run(recipe, params.seed, params.threads, _checkpoints(recipe, params)))
    if os.environ.get("LOCAL_RANK", "0") == "0":  # of several processes on one node, one writes
        save_network(network, WEIGHTS["baseline" if compared else "model"])
    weights = sum(weight.numel() for weight in network.parameters())
    return f"{recipe.name}: {weights} weights, {recipe.epochs} epochs of {len(images)} images"


def _checkpoints(recipe: Recipe, params: Train) -> Checkpoints:
    """Of this recipe, seed, data and code: a change of any of them starts anew."""
    inputs = [asdict(recipe), params.seed, params.threads, read_job(Path()).digests()]
    return checkpoints(Path("work/checkpoints"), state_of(*inputs, *map(Path, CODE)))


if __name__ == "__main__":
    run_stage(train)
