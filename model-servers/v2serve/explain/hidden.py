"""One row of an input, as often as it has parts, each time with another part hidden."""

import base64
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from v2serve.code import BadInput
from v2serve.explain.plan import Plan
from v2serve.tensors import Array

_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n")


class Hidden(NamedTuple):
    """`rows`: the row as it is, then without each part; `shape` is that of the parts; `words` names them."""

    rows: Array
    shape: tuple[int, ...]
    words: tuple[bytes, ...] = ()


def hide(row: Any, plan: Plan) -> Hidden:
    """Of a text its words, of an image (its bytes, or its values) the cells of a grid."""
    if plan.kind == "words":
        return _words(row, plan)
    return _picture(row, plan) if isinstance(row, bytes) else _pixels(row, plan)


def _words(row: bytes, plan: Plan) -> Hidden:
    """Without each word in turn: of the first `plan.words`, split at white space."""
    parts = row.split()
    weighed = parts[: plan.words]
    # A text of one word has nothing left without it, and models refuse empty texts: a dot stands for nothing.
    shorter = [b" ".join(parts[:at] + parts[at + 1 :]) or b"." for at in range(len(weighed))]
    return Hidden(_objects([row, *shorter]), (len(weighed),), tuple(weighed))


def _pixels(row: Array, plan: Plan) -> Hidden:
    """[channels, height, width] with each cell of the grid in the image's mean colour."""
    mean = row.mean(axis=(1, 2), keepdims=True)
    rows = np.repeat(row[None], 1 + plan.grid**2, axis=0)
    for at, (down, across) in enumerate(_cells(row.shape[1], row.shape[2], plan.grid)):
        rows[1 + at, :, down, across] = mean
    return Hidden(rows, (plan.grid, plan.grid))


def _picture(row: bytes, plan: Plan) -> Hidden:
    """The bytes of an image, as PNGs with each cell of the grid in the image's mean colour."""
    from PIL import Image  # only where images are explained

    try:
        with Image.open(io.BytesIO(_content(row))) as opened:
            image = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInput(f"parameter explain: the image cannot be read: {error}") from None
    values = np.asarray(image)
    mean = values.mean(axis=(0, 1)).round().astype(np.uint8)
    hidden = []
    for down, across in _cells(values.shape[0], values.shape[1], plan.grid):
        changed = values.copy()
        changed[down, across] = mean
        hidden.append(_png(Image.fromarray(changed)))
    return Hidden(_objects([_png(image), *hidden]), (plan.grid, plan.grid))


def _content(row: bytes) -> bytes:
    """JSON has no bytes: callers without binary data send images as base64, and models that read images take it."""
    return row if row.startswith(_MAGIC) else base64.b64decode(row, validate=True)


def _png(image: object) -> bytes:
    """Uncompressed: who reads it is in this process."""
    target = io.BytesIO()
    image.save(target, "PNG", compress_level=0)  # type: ignore[attr-defined]
    return target.getvalue()


def _cells(height: int, width: int, grid: int) -> Sequence[tuple[slice, slice]]:
    """Row by row; of an image smaller than the grid some cells are empty."""
    return [
        (
            slice(height * i // grid, height * (i + 1) // grid),
            slice(width * j // grid, width * (j + 1) // grid),
        )
        for i in range(grid)
        for j in range(grid)
    ]


def _objects(items: Sequence[bytes]) -> Array:
    array = np.empty(len(items), np.object_)
    array[:] = items
    return array
