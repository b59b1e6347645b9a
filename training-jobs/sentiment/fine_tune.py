"""Fine-tune the encoder's upper layers, a checkpoint after each epoch; the lower ones answer once, before the first."""

import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from classifier import Classifier, bert_of, lower_states, padded, pieces_of
from encoder import Encoder, check_tokenizer, read_config, read_tensors
from learner import Learner, Pace
from numpy.typing import NDArray
from texts import Texts
from torch import Tensor
from variant import TrainParams

from trainkit.checkpoints import Checkpoints, checkpoints, state_of
from trainkit.errors import TrainError
from trainkit.job import read_job

EVERY = 50  # steps between two lines
CODE = ("texts.py", "encoder.py", "classifier.py", "learner.py", "fine_tune.py")


@dataclass(frozen=True)
class Tuning:
    """What the encoder depends on: these fields of section `train`."""

    length: int
    frozen_layers: int
    epochs: int
    batch: int
    rate: float
    decay: float
    head_rate: float
    dropout: float
    precision: str
    seed: int


def tuned(texts: Texts, params: TrainParams) -> Encoder:
    """The encoder after `epochs`. The same texts and parameters make the same weights, however often killed."""
    tuning = Tuning(
        **{name: value for name, value in asdict(params).items() if name in Tuning.__annotations__}
    )
    _deterministic()
    config, model = _built(tuning)
    pieces = pieces_of(texts.texts, tuning.length)
    steps = -(-len(texts) // tuning.batch)
    pace = Pace(tuning.rate, tuning.decay, tuning.head_rate, tuning.epochs * steps)
    learner = Learner(model, pace)
    kept = _checkpoints(tuning, len(texts))
    found = kept.latest()
    if found:
        learner.restore(found)
        _say(f"goes on after epoch {found.step} of {tuning.epochs}")
    if not found or found.step < tuning.epochs:
        _learn(
            learner,
            tuning,
            _Data(lower_states(model, pieces), texts.labels),
            kept,
            found.step if found else 0,
        )
    return _as_arrays(config, model)


@dataclass(frozen=True)
class _Data:
    """The lower layers' states of each text, and its label."""

    states: list[Tensor]
    labels: NDArray[np.int64]

    def batch(self, rows: NDArray[np.intp]) -> tuple[Tensor, Tensor, Tensor]:
        states, mask = padded([self.states[row] for row in rows])
        return states, mask, torch.from_numpy(self.labels[rows].astype(np.float32))


def _learn(learner: Learner, tuning: Tuning, data: _Data, kept: Checkpoints, done: int) -> None:
    for epoch in range(done, tuning.epochs):
        since, losses = time.monotonic(), []
        # Of the seed and the epoch alone, so that what goes on after a kill draws the same.
        torch.manual_seed(int(np.random.SeedSequence([tuning.seed, epoch]).generate_state(1)[0]))
        for rows in _batches(data.states, tuning, epoch):
            losses.append(learner.step(*data.batch(rows)))
            if len(losses) % EVERY == 0:
                _say(f"epoch {epoch + 1} of {tuning.epochs}, step {len(losses)}: loss {np.mean(losses):.3f}")
        if not np.isfinite(losses).all():
            raise TrainError(
                f"the loss is not finite in epoch {epoch + 1}: lower train.rate or train.head_rate"
            )
        kept.save(learner.state(epoch + 1))
        _say(
            f"epoch {epoch + 1} of {tuning.epochs}: loss {np.mean(losses):.3f}, {time.monotonic() - since:.0f} s"
        )


def _checkpoints(tuning: Tuning, rows: int) -> Checkpoints:
    """Of these parameters, texts, encoder and code: a change of any of them starts anew."""
    job = read_job(Path())
    code = [*map(Path, CODE), job.code]
    return checkpoints(Path("work/checkpoints"), state_of(asdict(tuning), rows, job.digests(), *code))


def _deterministic() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)


def _built(tuning: Tuning) -> tuple[dict[str, Any], Classifier]:
    config = read_config()
    _check(tuning, config)
    check_tokenizer(config)
    torch.manual_seed(tuning.seed)  # of the head
    bert = bert_of(config, read_tensors(config), tuning.dropout)
    return config, Classifier(bert, tuning.frozen_layers, tuning.dropout, tuning.precision)


def _check(tuning: Tuning, config: dict[str, Any]) -> None:
    layers, positions = config["num_hidden_layers"], config["max_position_embeddings"]
    if tuning.frozen_layers >= layers:
        raise TrainError(
            f"params.yaml: train.frozen_layers is {tuning.frozen_layers}; write 0 to {layers - 1}: "
            f"the encoder has {layers} layers"
        )
    if tuning.length > positions:
        raise TrainError(
            f"params.yaml: train.length is {tuning.length}; write 8 to {positions}, the encoder's positions"
        )


def _batches(states: list[Tensor], tuning: Tuning, epoch: int) -> Iterator[NDArray[np.intp]]:
    """Random texts, but of about one length in a batch: shuffled, sorted within 50 batches, batches shuffled."""
    random, lengths = np.random.default_rng([tuning.seed, epoch]), np.array([len(state) for state in states])
    parts = np.array_split(random.permutation(len(states)), max(1, len(states) // (50 * tuning.batch)))
    order = np.concatenate([part[np.argsort(lengths[part], kind="stable")] for part in parts])
    for start in random.permutation(np.arange(0, len(order), tuning.batch)):
        yield order[start : start + tuning.batch]


def _as_arrays(config: dict[str, Any], model: Classifier) -> Encoder:
    tensors = {name: value.detach().numpy().copy() for name, value in model.bert.named_parameters()}
    head = model.head.weight.detach().numpy()[0].copy()
    return Encoder(config, tensors, head, model.head.bias.detach().item())


def _say(line: str) -> None:
    sys.stdout.write(f"sentiment train: {line}\n")
    sys.stdout.flush()
