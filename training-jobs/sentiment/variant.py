"""Section `train` of params.yaml, and what it makes of the training texts."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from graph import Trained
from numpy.typing import NDArray
from texts import Texts
from words import fitted_words

from trainkit.errors import TrainError

if TYPE_CHECKING:
    from fine_tune import Tuning

VARIANTS = ("advanced", "baseline")
OWN = ("variant", "min_texts", "smoothing", "ridge", "words_weight")


@dataclass(frozen=True)
class TrainParams:
    variant: str
    min_texts: int
    smoothing: float
    ridge: float
    words_weight: float
    length: int
    frozen_layers: int
    epochs: int
    batch: int
    rate: float
    head_rate: float
    dropout: float
    precision: str
    seed: int

    def tuning(self) -> "Tuning":
        from fine_tune import Tuning  # torch: not for the baseline

        return Tuning(**{name: value for name, value in asdict(self).items() if name not in OWN})


def trained(params: TrainParams, train: Texts, validation: Texts) -> tuple[Trained, str]:
    """The model, and a line on how it does on the validation texts."""
    if params.variant not in VARIANTS:
        raise TrainError(f"params.yaml: train.variant is {params.variant!r}; known: {', '.join(VARIANTS)}")
    words = fitted_words(train, params.min_texts, params.smoothing, params.ridge)
    odds = words.odds(validation.texts)
    found = f"words {_accuracy(odds, validation):.4f}"
    if params.variant == "baseline":
        return Trained(words, None, 1.0), found
    from fine_tune import tuned

    encoder, encoded = tuned(train, validation, params.tuning())
    both = params.words_weight * odds + encoded
    found += f", encoder {_accuracy(encoded, validation):.4f}, both {_accuracy(both, validation):.4f}"
    return Trained(words, encoder, params.words_weight), found


def native_scores(model: Trained, params: TrainParams, texts: Texts) -> NDArray[np.float64]:
    """Probability of positive by scikit-learn's and torch's own arithmetic."""
    odds = model.words_weight * model.words.odds(texts.texts)
    if model.encoder is not None:
        from fine_tune import native_odds

        odds = odds + native_odds(model.encoder, texts.texts, params.tuning())
    return 1 / (1 + np.exp(-odds))


def _accuracy(odds: NDArray[np.float64], texts: Texts) -> float:
    return float(((odds > 0) == (texts.labels == 1)).mean())
