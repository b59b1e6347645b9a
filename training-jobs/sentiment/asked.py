"""Graphs asked about texts as the server asks them: one thread, a text at a time."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from encoder import TOKENIZER
from graph import Trained
from numpy.typing import NDArray
from texts import Texts

from trainkit.limits import OneOf, Tolerance
from trainkit.served import served_code


@dataclass(frozen=True)
class ExportParams:
    """`weights` of the encoder; `tolerance` is the largest difference of a score in float32."""

    weights: Annotated[str, OneOf("float32", "int8")]
    tolerance: Tolerance

    def small(self) -> bool:
        return self.weights == "int8"


@dataclass(frozen=True)
class Asked:
    """Probability of positive of each text, and the mean milliseconds of the graph for one."""

    scores: NDArray[np.float64]
    milliseconds: float


def asked(graph: bytes, model: Trained, texts: Texts, length: int) -> Asked:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    scores, seconds = [], 0.0
    for feeds in _feeds(model, texts, length):
        begin = time.perf_counter()
        (score,) = session.run(["score"], feeds)
        seconds += time.perf_counter() - begin
        scores.append(float(score[0]))
    return Asked(np.array(scores), 1000 * seconds / len(texts))


def _feeds(model: Trained, texts: Texts, length: int) -> Iterator[dict[str, NDArray[np.generic]]]:
    code, numbers = served_code(), {term: number for number, term in enumerate(model.words.terms)}
    tokenizer = None if model.encoder is None else code.pieces_of(TOKENIZER, length)
    for text in texts.texts:
        pieces = {} if tokenizer is None else code.as_pieces([tokenizer.encode(text).ids])
        least = code.TERMS_A_PIECE * pieces["pieces"].shape[1] if pieces else code.TERM_STEP // 2
        yield pieces | code.as_terms([code.known(text, numbers)], len(numbers), least)
