"""One row of an input, as often as it has parts, each time with another part hidden."""

import base64
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from v2serve.code import BadInput
from v2serve.explain.plan import Plan
from v2serve.tensors import Array

_MOST_BYTES = 64 << 20  # of the images that one is made into
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
    """Without each word in turn: of the first `plan.words`, split at white space, that of Unicode too."""
    parts = [word.encode(errors="surrogateescape") for word in row.decode(errors="surrogateescape").split()]
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
    values = _upright(row, _MOST_BYTES // (3 * (1 + plan.grid**2)))
    mean = values.mean(axis=(0, 1)).round().astype(np.uint8)
    hidden = []
    for down, across in _cells(values.shape[0], values.shape[1], plan.grid):
        changed = values.copy()
        changed[down, across] = mean
        hidden.append(_png(changed))
    return Hidden(_objects([_png(values), *hidden]), (plan.grid, plan.grid))


def _upright(row: bytes, most: int) -> Array:
    """[height, width, 3], turned as Exif says; BadInput above `most` pixels, before they are read."""
    from PIL import Image, ImageOps  # only where images are explained

    try:
        with Image.open(io.BytesIO(_content(row)), formats=("JPEG", "PNG")) as opened:
            width, height = opened.size
            if width * height > most:
                raise BadInput(
                    f"parameter explain: an image of {width}x{height}; at most {most} pixels are explained"
                )
            upright = ImageOps.exif_transpose(opened)
            if upright.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255
                upright = Image.fromarray((np.asarray(upright) >> 8).clip(0, 255).astype(np.uint8))
            return np.asarray(upright.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadInput(f"parameter explain: the image cannot be read: {error}") from None


def _content(row: bytes) -> bytes:
    """JSON has no bytes: callers without binary data send images as base64, and models that read images take it."""
    return row if row.startswith(_MAGIC) else base64.b64decode(row, validate=True)


def _png(values: Array) -> bytes:
    """Uncompressed: who reads it is in this process."""
    from PIL import Image

    target = io.BytesIO()
    Image.fromarray(values).save(target, "PNG", compress_level=0)
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
