"""Pixels to features: what the graph of the blur model takes, computed by this file in training and in serving.

An image is judged at the scale of the training photographs: halved (1, 2, 4 or 8 times fewer pixels a side) while its
shorter side stays at 640 pixels or more, then its middle, at most 512 x 512 pixels, in grey.
"""

import base64
import binascii
import math
from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from v2serve.pipeline import BadInput

Vector = NDArray[np.float32]
Matrix = NDArray[np.float64]

MAX_IMAGES = 32
MAX_BYTES = 4 << 20
MAX_PIXELS = 12_000_000  # of all images of a request together, by their headers: 4000 x 3000
MAX_EXPLAINED = 700_000  # of one image: it is asked about 17 times together, as PNGs of three bytes a pixel
MIN_SIDE = 64
MAX_SCANS = 64  # of a progressive JPEG; cameras write 10, and each goes over all pixels again
SHORT_SIDE = 640
MIDDLE = 512
SCALES = 3
MEASURES = 9  # of a scale
JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
SCAN = b"\xff\xda"  # never among the coded pixels
BASE64 = (b"/9j/", b"iVBORw0KGgo")  # how these two begin where JSON had to carry them
FLOOR = np.float32(0.01)  # of energies in grey levels squared: flat areas have a logarithm, too
AXES_SWAPPED = (5, 6, 7, 8)  # of EXIF orientation; mirrors and half turns leave the features as they are
ORIENTATION = 0x0112
DIAGONAL = np.log([1.0, 1.0, 2.0, 2.0])  # a diagonal step is longer
DEEP = ("I", "I;16", "I;16B", "F")


def preprocess(inputs: dict[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """`image` BYTES [n] -> `features` FP32 [n, features]; BadInput names the element and what is taken."""
    images = inputs["image"].tolist()
    if not 0 < len(images) <= MAX_IMAGES:
        raise BadInput(f"image: {len(images)} elements; send 1 to {MAX_IMAGES} in a request")
    opened = [_opened(content, f"image[{number}]") for number, content in enumerate(images)]
    pixels = sum(image.width * image.height for image in opened)
    if pixels > MAX_PIXELS:
        raise BadInput(
            f"image: {pixels} pixels in {len(opened)} images; a request may have {MAX_PIXELS}, send fewer"
        )
    if parameters.get("explain") is True:
        _check_explained(opened)
    rows = [features(_grey(image, f"image[{number}]")) for number, image in enumerate(opened)]
    return {"features": np.stack(rows)}


def features_of(content: bytes, where: str) -> Vector:
    """The features of one image, encoded; how training asks. `where` names it in a refusal."""
    return features(_grey(_opened(content, where), where))


def _opened(content: bytes, where: str) -> Image.Image:
    """The image, its header read and believed to be bounded, its pixels not decoded yet."""
    content = _raw(content, where)
    if not content.startswith((JPEG, PNG)):
        raise BadInput(f"{where}: begins with {content[:4]!r}; send the bytes of a JPEG or PNG file")
    try:
        image = Image.open(BytesIO(content), formats=("JPEG", "PNG"))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadInput(f"{where}: its header says more than {MAX_PIXELS} pixels; reduce it") from None
    except Exception as error:  # Pillow has no one error for a broken header
        raise BadInput(f"{where}: its header cannot be read ({_reason(error)}); send a JPEG or PNG") from None
    _check_header(image, where)
    if image.format == "JPEG" and (scans := content.count(SCAN)) > MAX_SCANS:
        raise BadInput(f"{where}: a JPEG of {scans} scans; at most {MAX_SCANS} are taken, save it again")
    return image


def _raw(content: bytes, where: str) -> bytes:
    if not content:
        raise BadInput(f"{where}: empty; send the bytes of a JPEG or PNG file")
    if len(content) > MAX_BYTES:
        raise BadInput(f"{where}: {len(content)} bytes; at most {MAX_BYTES} are taken")
    if not content.startswith(BASE64):
        return content
    try:
        return base64.b64decode(content, validate=True)
    except binascii.Error as error:
        raise BadInput(
            f"{where}: begins as base64 of an image, but is not ({error}); send it without line breaks"
        ) from None


def _check_header(image: Image.Image, where: str) -> None:
    if min(image.size) < MIN_SIDE:
        raise BadInput(f"{where}: {_size(image)}; both sides need {MIN_SIDE} pixels to say what is sharp")
    if image.width * image.height > MAX_PIXELS:
        raise BadInput(f"{where}: {_size(image)}; at most {MAX_PIXELS} pixels are taken, reduce it")
    if image.format == "PNG" and getattr(image, "is_animated", False):
        raise BadInput(f"{where}: an animation of {image.n_frames} pictures; send one picture")


def _check_explained(opened: list[Image.Image]) -> None:
    """Before anything is hidden in it: the pictures that are made for that take memory."""
    for number, image in enumerate(opened):
        if image.width * image.height > MAX_EXPLAINED:
            raise BadInput(
                f"image[{number}]: {_size(image)}; at most {MAX_EXPLAINED} pixels are explained, reduce it"
            )


def _grey(image: Image.Image, where: str) -> Image.Image:
    """The part that is judged, as an `L` image of 64 to 512 pixels a side."""
    try:
        factor = _factor(image.size)
        if image.format == "PNG":
            return _middle(image, factor).reduce(factor)
        swapped = "exif" in image.info and image.getexif().get(ORIENTATION) in AXES_SWAPPED
        image.draft("L", (image.width // factor, image.height // factor))
        part = _middle(image, 1)
        return part.transpose(Image.Transpose.TRANSPOSE) if swapped else part
    except Exception as error:  # Pillow has no one error for broken pixels
        raise BadInput(
            f"{where}: cannot be decoded, it is broken or cut off ({_reason(error)}); send the whole file"
        ) from None


def _factor(size: tuple[int, int]) -> int:
    return max(factor for factor in (1, 2, 4, 8) if factor == 1 or min(size) // factor >= SHORT_SIDE)


def _middle(image: Image.Image, factor: int) -> Image.Image:
    """The middle MIDDLE * factor pixels, in grey; deep pixels (16 bits) lose their lower half."""
    image.load()
    width, height = (min(side, MIDDLE * factor) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    if image.size != (width, height):
        image = image.crop((left, top, left + width, top + height))
    if image.mode not in DEEP:
        return image.convert("L")
    return Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))


def features(grey: Image.Image) -> Vector:
    """[variance of the Laplacian, then logarithms of energies at three scales, of variance and brightness]."""
    scales = [_pixels(grey)]
    for _ in range(SCALES - 1):
        grey = grey.reduce(2)
        scales.append(_pixels(grey))
    found = np.array([_measured(pixels) for pixels in scales])
    brightness, spread = _moments(scales[0])
    row = np.empty(3 + SCALES * _mix().shape[1], np.float32)
    row[0] = found[0, 0]
    row[1:-2] = _described(np.log(found + FLOOR)).reshape(-1)
    row[-2:] = math.log(spread + 1.0), brightness / 255.0
    return row


def _pixels(grey: Image.Image) -> Vector:
    return np.asarray(grey).astype(np.float32)


def _moments(grey: Vector) -> tuple[float, float]:
    """Mean and variance; of differences from a middle, for squares of 250 need more digits than float32 has."""
    flat = grey.reshape(-1)
    ones = _ones(flat.size)
    middle = round(_dot(flat, ones) / flat.size)
    flat = flat - np.float32(middle)
    mean = _dot(flat, ones) / flat.size
    return middle + mean, max(_dot(flat, flat) / flat.size - mean * mean, 0.0)


def _measured(grey: Vector) -> list[float]:
    """Of one scale: variance, mean square and size of the Laplacian, energies of four directions, sizes of two."""
    (height, width), count, ones = grey.shape, grey.size, _ones(grey.size)
    right, down, laplacian = np.empty((3, count), np.float32)
    _differences(grey, right, down)
    _laplacian(right, down, width, laplacian)
    inner = (height - 2) * (width - 2)
    square, mean = _dot(laplacian, laplacian) / inner, _dot(laplacian, ones) / inner
    energies = _energies(right, down, width)
    sizes = [_dot(np.abs(values, out=values), ones) for values in (laplacian, right, down)]
    found = [*energies, *sizes[1:]]
    return [max(square - mean * mean, 0.0), square, sizes[0] / inner, *(value / count for value in found)]


def _differences(grey: Vector, right: Vector, down: Vector) -> None:
    """To the next pixel on the right and below, flat; 0 where that is outside."""
    flat, width = grey.reshape(-1), grey.shape[1]
    np.subtract(flat[1:], flat[:-1], out=right[:-1])
    right[width - 1 :: width] = 0  # the next row begins where this one ends
    np.subtract(flat[width:], flat[:-width], out=down[:-width])
    down[-width:] = 0


def _energies(right: Vector, down: Vector, width: int) -> list[float]:
    """Sums of squared differences to the side, down and along both diagonals.

    A diagonal difference is one to the side and one down: |r + d|^2 = |r|^2 + |d|^2 + 2 r.d saves making it.
    """
    side, below = _dot(right, right), _dot(down, down)
    rows = side - _dot(right[-width:], right[-width:])  # the last row has no diagonal
    first, last = down[::width], down[width - 1 :: width]
    falling = rows + below - _dot(first, first) + 2 * _dot(right[:-1], down[1:])
    rising = rows + below - _dot(last, last) - 2 * _dot(right, down)
    return [side, below, max(falling, 0.0), max(rising, 0.0)]


def _dot(one: Vector, other: Vector) -> float:
    return float(np.dot(one, other))


def _described(logs: Matrix) -> Matrix:
    """What is told of each scale: `_combined` of its logarithms and of its energies by size, in one product."""
    directions = np.sort(logs[:, 3:7] - DIAGONAL, axis=1)
    return np.concatenate((logs, directions), axis=1) @ _mix()


@lru_cache(maxsize=1)
def _mix() -> Matrix:
    """`_combined` is linear: what it makes of ones is its matrix."""
    return _combined(np.eye(MEASURES + len(DIAGONAL)))


def _combined(logs: Matrix) -> Matrix:
    """Sums and differences of logarithms, a row for each scale: levels, and ratios that do not change with contrast."""
    variance, square, size = logs[:, 0:1], logs[:, 1:2], logs[:, 2:3]
    straight, sizes, directions = logs[:, 3:5], logs[:, 7:9], logs[:, 9:]
    return np.hstack(
        [
            *(variance, size, variance - 2 * size, square - straight.mean(axis=1, keepdims=True)),
            *(directions, directions[:, 3:] - directions[:, :1]),
            *(straight, 2 * sizes - straight),
        ]
    )


def _laplacian(right: Vector, down: Vector, width: int, out: Vector) -> None:
    """The four-neighbour Laplacian, flat; 0 on the border."""
    out[:width] = out[-width:] = 0
    inner = out[width:-width]
    np.subtract(right[width:-width], right[width - 1 : -width - 1], out=inner)
    inner += down[width:-width]
    inner -= down[: -2 * width]
    inner.reshape(-1, width)[:, :: width - 1] = 0


@lru_cache(maxsize=16)
def _ones(count: int) -> Vector:
    """A sum is a dot product with ones: three times as fast."""
    return np.ones(count, np.float32)


def _size(image: Image.Image) -> str:
    return f"{image.width} x {image.height} pixels"


def _reason(error: Exception) -> str:
    told = "not one that Pillow knows" if isinstance(error, UnidentifiedImageError) else str(error)[:100]
    return f"{type(error).__name__}: {told}"
