"""One network by one recipe: Lightning's loop, a checkpoint after each epoch, the same weights however often killed."""

import logging
import os
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from batches import Batches, normalised
from images import Images
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException
from networks import Served, build, whiten
from numpy.typing import NDArray
from recipe import Recipe
from torch import Tensor, nn
from torch.nn import functional

from trainkit.checkpoints import Checkpoint, Checkpoints
from trainkit.errors import TrainError
from trainkit.nodes import nodes

EpochEnd = Callable[[int, nn.Module], None]
_MOMENTUM = "momentum_buffer"


@dataclass(frozen=True)
class Run:
    """What one training needs; without `checkpoints` it starts anew each time. `after` sees every finished epoch."""

    recipe: Recipe
    seed: int
    threads: int
    checkpoints: Checkpoints | None = None
    after: EpochEnd | None = None
    say: Callable[[str], None] = field(default=lambda line: print(line, flush=True))  # noqa: T201 - progress


def fit(images: Images, run: Run) -> nn.Module:
    """The trained network, ready to answer. The same images, recipe, seed and threads give the same weights."""
    torch.set_num_threads(run.threads)
    torch.manual_seed(run.seed)
    network = build(run.recipe)
    whiten(network, normalised(torch.from_numpy(images.pixels[:5000])))
    found = run.checkpoints.latest() if run.checkpoints else None
    learner = _Learner(network, run.recipe, len(Batches(images, run.recipe, run.seed)), found)
    if found:
        run.say(f"goes on after epoch {found.step} of {run.recipe.epochs}")
    if learner.first < run.recipe.epochs:
        _fit(learner, Batches(images, run.recipe, run.seed, learner.first), run)
    return network.eval().cpu()


def probabilities(network: nn.Module, images: Images, batch: int) -> NDArray[np.float32]:
    """[n,10], by what is exported: RGB in 0..1 in, softmax out."""
    served, found = Served(network).eval(), []
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            pixels = torch.from_numpy(images.pixels[start : start + batch])
            found.append(served(pixels.permute(0, 3, 1, 2).float() / 255).numpy())
    return np.concatenate(found)


def save_network(network: nn.Module, path: Path) -> None:
    from safetensors.torch import save_file

    path.parent.mkdir(exist_ok=True)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)


def load_network(recipe: Recipe, path: Path) -> nn.Module:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    network = build(recipe)
    try:
        network.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise TrainError(f"{path} is missing: run the stage train first (dvc repro)") from None
    except (SafetensorError, RuntimeError):
        raise TrainError(
            f"{path} is no {recipe.network} of {recipe.name}: delete it and run dvc repro"
        ) from None
    return network.to(memory_format=torch.channels_last).eval()


class _Learner(LightningModule):
    def __init__(self, network: nn.Module, recipe: Recipe, steps: int, found: Checkpoint | None) -> None:
        super().__init__()
        self.network = network
        self.first = found.step if found else 0
        self.loss = found.facts["loss"] if found else 0.0  # a running mean, for the progress line
        self._recipe = recipe
        self._steps = steps
        self._found = found
        if found:
            network.load_state_dict(_tensors(found, "weight."))

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        images, labels = batch
        logits = self.network(images)
        loss = functional.cross_entropy(logits, labels, label_smoothing=self._recipe.label_smoothing)
        self.loss = 0.95 * self.loss + 0.05 * float(loss.detach()) if self.loss else float(loss.detach())
        return loss

    def configure_optimizers(self) -> Any:
        recipe, done = self._recipe, self.first * self._steps
        weights = self._learned()
        optimizer = torch.optim.SGD(
            weights, recipe.learning_rate, recipe.momentum, weight_decay=recipe.weight_decay, nesterov=True
        )
        for number, value in _tensors(self._found, "momentum.").items():
            weight = weights[int(number)]
            optimizer.state[weight][_MOMENTUM] = value.to(weight.device)
        total = recipe.epochs * self._steps
        rate = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: one_cycle(step + done, total, recipe.warm_up)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rate, "interval": "step"}}

    def _learned(self) -> list[nn.Parameter]:
        return [weight for weight in self.network.parameters() if weight.requires_grad]

    def state(self, epoch: int) -> Checkpoint:
        tensors = {f"weight.{name}": value for name, value in self.network.state_dict().items()}
        state = self.optimizers().optimizer.state  # in the order of what was restored: not to be counted by
        for number, weight in enumerate(self._learned()):
            tensors[f"momentum.{number}"] = state[weight][_MOMENTUM]
        arrays = {name: value.detach().cpu().numpy() for name, value in tensors.items()}
        return Checkpoint(epoch, arrays, {"loss": self.loss})


class _Epochs(Callback):
    """After each epoch: a checkpoint, then a line."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._since = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, _Learner)  # noqa: S101 - the only module that fit() trains
        epoch, run = pl_module.first + trainer.current_epoch + 1, self._run
        seconds, self._since = time.monotonic() - self._since, time.monotonic()
        if not np.isfinite(pl_module.loss):
            raise TrainError(f"the loss is {pl_module.loss} after epoch {epoch}: lower train.learning_rate")
        if trainer.is_global_zero:
            if run.checkpoints:
                run.checkpoints.save(pl_module.state(epoch))
            run.say(f"epoch {epoch} of {run.recipe.epochs}: loss {pl_module.loss:.3f}, {seconds:.0f} s")
        if run.after:
            run.after(epoch, pl_module.network)


def one_cycle(step: int, total: int, warm_up: float) -> float:
    """The share of the highest rate: straight up for `warm_up` of all steps, straight down to nearly nothing."""
    up = max(1.0, warm_up * total)
    return min((step + 1) / up, (total - step) / max(1.0, total - up)) if step < total else 0.0


def _fit(learner: _Learner, batches: Batches, run: Run) -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\.")  # of its own use of PyTorch
    place = nodes()
    if place.world > 1:  # Lightning's names of the same
        os.environ.update(MASTER_ADDR=place.address, MASTER_PORT=str(place.port), NODE_RANK=str(place.rank))
    trainer = Trainer(
        max_epochs=run.recipe.epochs - learner.first,
        accelerator=run.recipe.accelerator,
        devices=place.processes,
        num_nodes=place.count,
        strategy="ddp" if place.world > 1 else "auto",
        precision=run.recipe.precision,
        deterministic=True,
        callbacks=[_Epochs(run)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    try:
        trainer.fit(learner, train_dataloaders=batches)
    except SIGTERMException:
        sys.exit(143)
    except SystemExit:  # Lightning's answer to Ctrl-C
        sys.exit(130)


def _tensors(found: Checkpoint | None, prefix: str) -> dict[str, Tensor]:
    given = found.tensors.items() if found else ()
    return {
        name.removeprefix(prefix): torch.from_numpy(value.copy())
        for name, value in given
        if name.startswith(prefix)
    }
