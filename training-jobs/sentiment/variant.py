"""Section `train` of params.yaml, and what it makes of the texts."""

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from encoder import Encoder
from graph import Trained
from numpy.typing import NDArray
from texts import Texts, joined
from words import fitted_words

from trainkit.limits import Batch, Between, Count, Epochs, OneOf, Penalty, Rate, Seed, Variant


@dataclass(frozen=True)
class TrainParams:
    """params.yaml says what each is; beyond these limits `length` and `frozen_layers` must fit the encoder."""

    variant: Variant
    with_validation: bool
    min_texts: Count
    smoothing: Penalty
    ridge: Penalty
    words_weight: Annotated[float, Between(0, 1000)]
    encoder_weight: Penalty
    length: Annotated[int, Between(8, 100_000)]
    frozen_layers: Annotated[int, Between(0, 1000)]
    epochs: Epochs
    batch: Batch
    rate: Rate
    decay: Annotated[float, Between(0.01, 1)]
    head_rate: Rate
    dropout: Annotated[float, Between(0, 0.9)]
    precision: Annotated[str, OneOf("bfloat16", "float32")]
    seed: Seed


def trained(params: TrainParams, train: Texts, validation: Texts) -> tuple[Trained, str]:
    """The model, and a line on what it was taught and how it does on the validation texts."""
    texts = joined(train, validation) if params.with_validation else train
    words = fitted_words(texts, params.min_texts, params.smoothing, params.ridge)
    encoder = None
    if params.variant == "advanced":
        from fine_tune import tuned  # torch: not for the baseline

        encoder = _weighed(tuned(texts, params), params.encoder_weight)
    model = Trained(words, encoder, params.words_weight)
    return model, f"{len(words.terms)} terms, {len(texts)} texts{_judged(model, params, validation)}"


def _weighed(encoder: Encoder, weight: float) -> Encoder:
    """Its log-odds times `weight`, in the line on top of it."""
    return replace(encoder, head=encoder.head * np.float32(weight), bias=encoder.bias * weight)


def native_scores(model: Trained, params: TrainParams, texts: Texts) -> NDArray[np.float64]:
    """Probability of positive by scikit-learn's and torch's own arithmetic."""
    words, encoder = _odds(model, params, texts)
    return 1 / (1 + np.exp(-words - encoder))


def _judged(model: Trained, params: TrainParams, validation: Texts) -> str:
    if params.with_validation:
        return ", those of validation among them"
    words, encoder = _odds(model, params, validation)
    found = {"words": words, "encoder": encoder, "both": words + encoder}
    if model.encoder is None:
        found = {"words": words}
    said = (f"{name} {_accuracy(odds, validation):.4f}" for name, odds in found.items())
    return f"; accuracy on the validation texts: {', '.join(said)}"


def _odds(
    model: Trained, params: TrainParams, texts: Texts
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log-odds by the words, weighed as they are beside an encoder, and by the encoder."""
    words = model.words.odds(texts.texts)
    if model.encoder is None:
        return words, np.zeros(len(texts))
    from classifier import native_odds

    return model.words_weight * words, native_odds(model.encoder, texts.texts, params.length)


def _accuracy(odds: NDArray[np.float64], texts: Texts) -> float:
    return float(((odds > 0) == (texts.labels == 1)).mean())
