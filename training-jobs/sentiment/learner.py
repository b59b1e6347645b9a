"""One step after another: AdamW, slower in lower layers."""

from dataclasses import dataclass
from typing import Any

import torch
from classifier import Classifier
from torch import Tensor, nn

from trainkit.checkpoints import Checkpoint

WARM_UP = 0.1  # of all steps: up in a line; then down to zero in a line
WEIGHT_DECAY = 0.01
LARGEST_GRADIENT = 1.0
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Pace:
    """`rate` is the uppermost layer's, each lower one has `decay` times that of the one above."""

    rate: float
    decay: float
    head_rate: float
    steps: int


class Learner:
    """What is learnt: all that is not frozen, in one order."""

    def __init__(self, model: Classifier, pace: Pace) -> None:
        self._model, self._pace, self._done = model, pace, 0
        self._groups = _groups(model, pace)
        self._weights = [weight for group in self._groups for weight in group["params"]]
        self._optimizer = torch.optim.AdamW(self._groups, weight_decay=WEIGHT_DECAY, fused=True)
        self._wrong = nn.BCEWithLogitsLoss()

    def step(self, states: Tensor, mask: Tensor, labels: Tensor) -> float:
        """The loss before it."""
        self._model.train()
        for group, known in zip(self._optimizer.param_groups, self._groups, strict=True):
            group["lr"] = known["highest"] * self._share()
        self._optimizer.zero_grad()
        loss = self._wrong(self._model.upper(states, mask), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(self._weights, LARGEST_GRADIENT)
        self._optimizer.step()
        self._done += 1
        return float(loss.detach())

    def state(self, epoch: int) -> Checkpoint:
        tensors: dict[str, Tensor] = {}
        for number, weight in enumerate(self._weights):
            tensors[f"weight.{number}"] = weight.detach()
            tensors |= {f"{name}.{number}": self._optimizer.state[weight][name] for name in MOMENTS}
        return Checkpoint(
            epoch, {name: value.numpy() for name, value in tensors.items()}, {"steps": self._done}
        )

    def restore(self, found: Checkpoint) -> None:
        self._done = int(found.facts["steps"])
        kept = {name: torch.from_numpy(value.copy()) for name, value in found.tensors.items()}
        for number, weight in enumerate(self._weights):
            weight.data.copy_(kept[f"weight.{number}"])
            moments = {name: kept[f"{name}.{number}"] for name in MOMENTS}
            self._optimizer.state[weight] = {"step": torch.tensor(float(self._done)), **moments}

    def _share(self) -> float:
        return min((self._done + 1) / (WARM_UP * self._pace.steps), 1) * (1 - self._done / self._pace.steps)


def _groups(model: Classifier, pace: Pace) -> list[dict[str, Any]]:
    layers = list(model.bert.encoder.layer)
    found = [{"params": list(model.head.parameters()), "highest": pace.head_rate}]
    for above, layer in enumerate(reversed(layers[model.frozen :])):
        found.append({"params": list(layer.parameters()), "highest": pace.rate * pace.decay**above})
    return found
