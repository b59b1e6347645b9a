"""The trained forecaster: a linear map of lags and a small network for the spread, fitted together by quantile loss."""

import numpy as np
import torch
from model import QUANTILES, Forecaster, Progress, level_and_scale
from numpy.typing import NDArray
from plan import TrainParams
from series import DAY, HORIZON, WEEK
from torch import Tensor, nn
from windows import LENGTH, Array

EMPHASIS = (0.5, 0.7, 2.0, 0.7, 0.5)  # the forecast itself counts most


class Network(nn.Module):
    """[n, LENGTH] scaled -> [n, quantiles, HORIZON] scaled."""

    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(LENGTH, HORIZON, bias=False)
        self.layers = nn.Sequential(
            nn.Linear(LENGTH, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, len(QUANTILES) * HORIZON),
        )
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(same_hours().T))
            self.layers[-1].weight.zero_()
            self.layers[-1].bias.copy_(torch.tensor((-0.3, -0.15, 0.0, 0.15, 0.3)).repeat_interleave(HORIZON))

    def forward(self, scaled: Tensor) -> Tensor:
        spread = self.layers(scaled).view(-1, len(QUANTILES), HORIZON)
        return spread + self.linear(scaled)[:, None, :]

    def forecaster(self) -> Forecaster:
        """The same in numpy; dropout only exists in training."""
        layers = [layer for layer in self.layers if isinstance(layer, nn.Linear)]
        pairs = tuple((_numpy(layer.weight).T.copy(), _numpy(layer.bias)) for layer in layers)
        return Forecaster(_numpy(self.linear.weight).T.copy(), pairs)


def same_hours() -> NDArray[np.float32]:
    """Where the linear map begins: half the mean of this hour in three days, half that in two weeks."""
    weights, asked = np.zeros((LENGTH, HORIZON), np.float32), np.arange(HORIZON)
    for days in range(1, 4):
        weights[LENGTH - days * DAY + asked % DAY, asked] += 1 / 6
    for weeks in range(1, 3):
        weights[LENGTH - weeks * WEEK + asked, asked] += 1 / 4
    return weights


def fit(history: Array, followed: Array, params: TrainParams, progress: Progress) -> Forecaster:
    """`progress` hears the number of each epoch, from 1, its mean loss, and may have the model so far.

    One thread: sums keep their order.
    """
    torch.set_num_threads(1)
    torch.manual_seed(params.seed)
    network = Network(params.hidden, params.dropout)
    scaled, wanted, weight = _tensors(history, followed)
    batches = max(1, len(scaled) // params.batch)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, params.learning_rate, total_steps=params.epochs * batches + 1
    )
    for epoch in range(1, params.epochs + 1):
        total = 0.0
        for rows in torch.randperm(len(scaled)).tensor_split(batches):
            loss = quantile_loss(network(scaled[rows]), wanted[rows], weight[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        progress(epoch, total / batches, network.forecaster)
    return network.eval().forecaster()


def quantile_loss(found: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Pinball loss; found [n, quantiles, HORIZON], wanted [n, HORIZON], weight [n]."""
    shares = torch.tensor(QUANTILES)[None, :, None]
    above = wanted[:, None, :] - found
    loss = torch.maximum(shares * above, (shares - 1) * above)
    return (loss * torch.tensor(EMPHASIS)[None, :, None] * weight[:, None, None]).mean()


def _tensors(history: Array, followed: Array) -> tuple[Tensor, Tensor, Tensor]:
    """Scaled windows, and weights that turn an error in deviations into one relative to the level, as sMAPE has it."""
    level, scale = level_and_scale(history)
    weight = np.clip(scale / np.maximum(np.abs(level), 1e-9), 0, 1.5)[:, 0]
    scaled, wanted = (history - level) / scale, (followed - level) / scale
    return _float(scaled), _float(wanted), _float(weight / weight.mean())


def _float(values: Array) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _numpy(values: Tensor) -> NDArray[np.float32]:
    return np.asarray(values.detach().numpy(), np.float32)
