"""Texts to what the graph of the sentiment model takes: word terms with their counts, and an encoder's word pieces.

Training asks this file for the same terms and pieces. Sizes are rounded up, so that requests of about the same length
can share a run.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from v2serve.pipeline import BadInput

MAX_TEXTS = 128
MAX_BYTES = 16_384  # of a text; longer ones are refused
STEP = 8  # pieces are padded to a multiple of it
TERMS_A_PIECE = 3  # most texts have fewer
TERM_STEP = 128  # and terms beyond them to a multiple of this
BEGINNINGS = (4, 5, 6)  # letters of a word
WORD = re.compile(r"\w+(?:'\w+)*|[!?]")
VOCABULARY, TOKENIZER, SETTINGS = "vocabulary.json", "tokenizer.json", "reader.json"


class Reader:
    """`terms` are numbered from 0; their count is the number of "none", which the graph weighs with 0."""

    def __init__(self, folder: Path) -> None:
        names = json.loads((folder / VOCABULARY).read_text("utf-8"))
        self.numbers = {name: number for number, name in enumerate(names)}
        settings = json.loads((folder / SETTINGS).read_text("utf-8"))
        self.pieces = pieces_of(folder / TOKENIZER, settings["pieces"]) if settings["pieces"] else None


_reader: list[Reader] = []


def load(folder: Path) -> None:
    _reader[:] = [Reader(folder)]


def preprocess(inputs: dict[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - v2serve's
    """`text` BYTES [n] -> terms, counts [n, t] and, for an encoder, pieces, mask [n, p]."""
    given = inputs["text"].tolist()
    if not 0 < len(given) <= MAX_TEXTS:
        raise BadInput(f"text: {len(given)} elements; send 1 to {MAX_TEXTS} in a request")
    texts = [checked(content, f"text[{number}]") for number, content in enumerate(given)]
    reader = _reader[0]
    found = {} if reader.pieces is None else as_pieces([reader.pieces.encode(text).ids for text in texts])
    least = TERMS_A_PIECE * found["pieces"].shape[1] if found else TERM_STEP // 2
    return found | as_terms([known(text, reader.numbers) for text in texts], len(reader.numbers), least)


def checked(content: bytes, where: str) -> str:
    """The text; BadInput for what is empty, long, or not UTF-8."""
    if len(content) > MAX_BYTES:
        raise BadInput(
            f"{where}: {len(content)} bytes; at most {MAX_BYTES} are taken, send the part that matters"
        )
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"{where}: byte {error.start} is not UTF-8; send UTF-8") from None
    if not text.strip():
        raise BadInput(f"{where}: empty; send a text")
    return text


def terms(text: str) -> list[str]:
    """Words in lower case, `!`, `?`, each pair of neighbours, and how longer words begin: `movi-` of movies, moving."""
    words = WORD.findall(text.lower())
    begun = [f"{word[:size]}-" for word in words for size in BEGINNINGS if len(word) > size]
    return words + [f"{one} {two}" for one, two in pairwise(words)] + begun


def known(text: str, numbers: Mapping[str, int]) -> Counter[int]:
    return Counter(numbers[term] for term in terms(text) if term in numbers)


def as_terms(counted: Sequence[Counter[int]], none: int, least: int) -> dict[str, Any]:
    """`terms` INT64 and `counts` FP32, both [n, t]; padded with the number `none`, once."""
    most = max(len(count) for count in counted)
    size = least if most <= least else -(-most // TERM_STEP) * TERM_STEP
    numbers, counts = np.full((len(counted), size), none), np.ones((len(counted), size), np.float32)
    for row, count in enumerate(counted):
        numbers[row, : len(count)] = list(count)
        counts[row, : len(count)] = list(count.values())
    return {"terms": numbers, "counts": counts}


def pieces_of(path: Path, length: int) -> Any:
    """A tokenizer that keeps the first `length` pieces, its own two marks among them."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.enable_truncation(length)
    return tokenizer


def as_pieces(rows: Sequence[Sequence[int]]) -> dict[str, Any]:
    """`pieces` INT64 and `mask` FP32 (1: a piece, 0: padding), both [n, p]."""
    size = -(-max(map(len, rows)) // STEP) * STEP
    pieces, mask = np.zeros((len(rows), size), np.int64), np.zeros((len(rows), size), np.float32)
    for number, row in enumerate(rows):
        pieces[number, : len(row)] = row
        mask[number, : len(row)] = 1
    return {"pieces": pieces, "mask": mask}
