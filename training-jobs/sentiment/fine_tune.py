"""Fine-tune the encoder's upper layers; the lower ones answer once, before the first epoch."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from encoder import TOKENIZER, Encoder, check_tokenizer, read_config, read_tensors
from numpy.typing import NDArray
from texts import Texts
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from trainkit.errors import TrainError
from trainkit.served import served_code

EVERY = 50  # steps between two lines
PRECISIONS = {"bfloat16": torch.bfloat16, "float32": torch.float32}


@dataclass(frozen=True)
class Tuning:
    length: int
    frozen_layers: int
    epochs: int
    batch: int
    rate: float
    head_rate: float
    dropout: float
    precision: str
    seed: int


class Classifier(nn.Module):
    """Mean of the pieces' last states, then a line."""

    def __init__(self, bert: BertModel, tuning: Tuning) -> None:
        super().__init__()
        self.bert, self.drop = bert, nn.Dropout(tuning.dropout)
        self.head = nn.Linear(bert.config.hidden_size, 1)
        self.frozen, self.kind = tuning.frozen_layers, PRECISIONS[tuning.precision]

    def lower(self, pieces: Tensor, mask: Tensor) -> Tensor:
        with torch.autocast("cpu", self.kind, enabled=self.kind is not torch.float32):
            return self._through(self.bert.embeddings(pieces), mask, self.bert.encoder.layer[: self.frozen])

    def upper(self, states: Tensor, mask: Tensor) -> Tensor:
        """Log-odds [n] from the lower layers' states [n, t, hidden]."""
        with torch.autocast("cpu", self.kind, enabled=self.kind is not torch.float32):
            states = self._through(states, mask, self.bert.encoder.layer[self.frozen :])
        weights = mask[:, :, None]
        mean = (states.float() * weights).sum(1) / weights.sum(1)
        return self.head(self.drop(mean))[:, 0]

    def _through(self, states: Tensor, mask: Tensor, layers: Any) -> Tensor:
        seen = mask.bool()[:, None, None, :]
        for layer in layers:
            states = layer(states, seen)
        return states


def tuned(train: Texts, validation: Texts, tuning: Tuning) -> tuple[Encoder, NDArray[np.float64]]:
    """The encoder after `epochs`, and its log-odds of the validation texts."""
    _deterministic(tuning.seed)
    config, model = _built(tuning)
    pieces = _pieces(train.texts, tuning.length)
    states = _lower_states(model, pieces, tuning.batch)
    steps = tuning.epochs * -(-len(train) // tuning.batch)
    step = _stepper(model, tuning, steps)
    labels = torch.from_numpy(train.labels.astype(np.float32))
    for number, rows in enumerate(_batches(pieces, tuning), start=1):
        loss = step(number, _padded([states[row] for row in rows]), labels[rows])
        if number % EVERY == 0 or number == steps:
            _say(f"step {number} of {steps}, loss {loss:.3f}")
    odds = _odds(model, _pieces(validation.texts, tuning.length), tuning.batch)
    return _as_arrays(config, model), odds


def native_odds(encoder: Encoder, texts: Sequence[str], tuning: Tuning) -> NDArray[np.float64]:
    """What the fine-tuned encoder itself says, in float32: the graph is compared with it."""
    torch.set_num_threads(1)
    model = Classifier(_bert(encoder.config, encoder.tensors, 0.0), _exact(tuning))
    model.head.weight.data = torch.from_numpy(encoder.head[None, :].copy())
    model.head.bias.data.fill_(encoder.bias)
    return _odds(model, _pieces(texts, tuning.length), tuning.batch)


def _exact(tuning: Tuning) -> Tuning:
    return Tuning(**{**vars(tuning), "precision": "float32"})


def _deterministic(seed: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)


def _built(tuning: Tuning) -> tuple[dict[str, Any], Classifier]:
    config = read_config()
    _check(tuning, config)
    check_tokenizer(config)
    bert = _bert(config, read_tensors(config), tuning.dropout)
    model = Classifier(bert, tuning)
    for part in (bert.embeddings, *bert.encoder.layer[: tuning.frozen_layers]):
        part.requires_grad_(False)
    return config, model


def _check(tuning: Tuning, config: dict[str, Any]) -> None:
    layers, positions = config["num_hidden_layers"], config["max_position_embeddings"]
    if tuning.precision not in PRECISIONS:
        raise TrainError(
            f"params.yaml: train.precision is {tuning.precision!r}; known: {', '.join(PRECISIONS)}"
        )
    if not 0 <= tuning.frozen_layers < layers:
        raise TrainError(
            f"params.yaml: train.frozen_layers is {tuning.frozen_layers}; the encoder has {layers} layers"
        )
    if not 8 <= tuning.length <= positions:
        raise TrainError(f"params.yaml: train.length is {tuning.length}; 8 to {positions} pieces can be read")
    if min(tuning.epochs, tuning.batch) < 1:
        raise TrainError("params.yaml: train.epochs and train.batch must be 1 or more")


def _bert(config: Any, tensors: Any, dropout: float) -> BertModel:
    kept = {name: value for name, value in config.items() if not name.startswith(("_", "architectures"))}
    drops = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    bert = BertModel(BertConfig(**{**kept, **drops}, attn_implementation="sdpa"), add_pooling_layer=False)
    bert.load_state_dict(
        {name: torch.from_numpy(values.copy()) for name, values in tensors.items()}, strict=False
    )
    return bert.eval()


def _pieces(texts: Sequence[str], length: int) -> list[list[int]]:
    tokenizer = served_code().pieces_of(TOKENIZER, length)
    return [tokenizer.encode(text).ids for text in texts]


def _by_length(pieces: list[list[int]], batch: int) -> Iterator[list[int]]:
    order = sorted(range(len(pieces)), key=lambda row: len(pieces[row]))
    for start in range(0, len(order), batch):
        yield order[start : start + batch]


def _lower_states(model: Classifier, pieces: list[list[int]], batch: int) -> list[Tensor]:
    """[pieces, hidden] of each text, in bfloat16: 180 MB for 234,000 pieces of 384."""
    found: list[Tensor] = [torch.empty(0)] * len(pieces)
    with torch.no_grad():
        for rows in _by_length(pieces, batch):
            states = model.lower(*_tokens([pieces[row] for row in rows]))
            for row, state in zip(rows, states, strict=True):
                found[row] = state[: len(pieces[row])].to(torch.bfloat16).clone()
    _say(f"{sum(map(len, pieces))} pieces of {len(pieces)} texts read by the frozen layers")
    return found


def _tokens(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    fed = served_code().as_pieces(rows)
    return torch.from_numpy(fed["pieces"]), torch.from_numpy(fed["mask"])


def _padded(states: list[Tensor]) -> tuple[Tensor, Tensor]:
    longest = max(map(len, states))
    mask = torch.zeros(len(states), longest)
    for row, state in enumerate(states):
        mask[row, : len(state)] = 1
    return nn.utils.rnn.pad_sequence(states, batch_first=True).float(), mask


def _batches(pieces: list[list[int]], tuning: Tuning) -> Iterator[NDArray[np.intp]]:
    """Random texts, but of about one length in a batch: shuffled, sorted within 50 batches, batches shuffled."""
    random, lengths = np.random.default_rng(tuning.seed), np.array([len(row) for row in pieces])
    for _ in range(tuning.epochs):
        parts = np.array_split(random.permutation(len(pieces)), max(1, len(pieces) // (50 * tuning.batch)))
        order = np.concatenate([part[np.argsort(lengths[part], kind="stable")] for part in parts])
        starts = np.arange(0, len(order), tuning.batch)
        for start in random.permutation(starts):
            yield order[start : start + tuning.batch]


def _stepper(
    model: Classifier, tuning: Tuning, steps: int
) -> Callable[[int, tuple[Tensor, Tensor], Tensor], float]:
    upper = [value for value in model.bert.parameters() if value.requires_grad]
    groups = [
        {"params": upper, "lr": tuning.rate},
        {"params": model.head.parameters(), "lr": tuning.head_rate},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda done: min((done + 1) / (0.1 * steps), 1) * (1 - done / steps)
    )
    wrong = nn.BCEWithLogitsLoss()

    def step(_: int, states: tuple[Tensor, Tensor], labels: Tensor) -> float:
        model.train()
        optimizer.zero_grad()
        loss = wrong(model.upper(*states), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(upper, 1.0)
        optimizer.step()
        schedule.step()
        return float(loss.detach())

    return step


def _odds(model: Classifier, pieces: list[list[int]], batch: int) -> NDArray[np.float64]:
    model.eval()
    found = np.zeros(len(pieces))
    with torch.no_grad():
        for rows in _by_length(pieces, batch):
            tokens, mask = _tokens([pieces[row] for row in rows])
            found[rows] = model.upper(model.lower(tokens, mask), mask).numpy()
    return found


def _as_arrays(config: dict[str, Any], model: Classifier) -> Encoder:
    tensors = {name: value.detach().numpy().copy() for name, value in model.bert.named_parameters()}
    head = model.head.weight.detach().numpy()[0].copy()
    return Encoder(config, tensors, head, float(model.head.bias))


def _say(line: str) -> None:
    sys.stdout.write(f"sentiment train: {line}\n")
    sys.stdout.flush()
