"""Pixels to features: what the graph of the blur model takes, computed by this file in training and in serving.

An image is judged at the scale of the training photographs: halved (1, 2, 4 or 8 times fewer pixels a side) while its
shorter side stays at 640 pixels or more, then its middle, at most 512 x 512 pixels, in grey.
"""

import base64
import binascii
from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from v2serve.pipeline import BadInput

Vector = NDArray[np.float32]

MAX_IMAGES = 32
MAX_BYTES = 4 << 20
MAX_PIXELS = 12_000_000  # of all images of a request together, by their headers: 4000 x 3000
MAX_EXPLAINED = 700_000  # of one image: it is asked about 17 times together, as PNGs of three bytes a pixel
MIN_SIDE = 64
MAX_SCANS = 64  # of a progressive JPEG; cameras write 10, and each goes over all pixels again
SHORT_SIDE = 640
MIDDLE = 512
SCALES = 3
JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
SCAN = b"\xff\xda"  # never among the coded pixels
BASE64 = (b"/9j/", b"iVBORw0KGgo")  # how these two begin where JSON had to carry them
FLOOR = np.float32(0.01)  # of energies in grey levels squared: flat areas have a logarithm, too
AXES_SWAPPED = (5, 6, 7, 8)  # of EXIF orientation; mirrors and half turns leave the features as they are
ORIENTATION = 0x0112
STEPS = ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0))  # (down, right)
STRAIGHT = (0, 1, 4, 5)  # of STEPS: to the side and down, by one and by two
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
    pixels = _pixels(grey)
    variance, found = _scale(pixels)
    mean = pixels.mean()
    spread = np.vdot(pixels, pixels) / pixels.size - mean * mean
    for _ in range(SCALES - 1):
        grey = grey.reduce(2)
        found = found + _scale(_pixels(grey))[1]
    return np.array([variance, *found, np.log(spread + 1.0), mean / 255.0], np.float32)


def _pixels(grey: Image.Image) -> Vector:
    return np.asarray(grey).astype(np.float32)


def _scale(grey: Vector) -> tuple[float, list[float]]:
    """The variance of the Laplacian, and what one scale says about edges, by direction and by distance."""
    width, ones = grey.shape[1], _ones(grey.size)
    inner = (grey.shape[0] - 2) * (width - 2)
    right, down, other = np.empty((3, grey.size), np.float32)  # three that fit the cache, used again
    _laplacian(_step(grey, (0, 1), right), _step(grey, (1, 0), down), width, other)
    square = np.dot(other, other) / inner
    variance = square - (np.dot(other, ones) / inner) ** 2
    mean = np.dot(np.abs(other, out=other), ones) / inner
    found = [
        _sizes(right, ones),
        _sizes(down, ones),
        *(_sizes(_step(grey, by, other), ones) for by in STEPS[2:]),
    ]
    energies, means = zip(*found, strict=True)
    logs = np.log(np.array([variance, square, mean, *energies, *(means[at] for at in STRAIGHT)]) + FLOOR)
    return float(variance), _described(logs)


def _sizes(step: Vector, ones: Vector) -> tuple[float, float]:
    """Mean square and mean size; the step is used up."""
    square = float(np.dot(step, step))
    return square / step.size, float(np.dot(np.abs(step, out=step), ones)) / step.size


def _described(logs: Vector) -> list[float]:
    """Sums and differences of logarithms: levels, and ratios that do not change with contrast."""
    variance, square, mean = logs[:3]
    energy, absolute = logs[3:9], logs[9:13]
    directions = np.sort(energy[:4] - DIAGONAL)
    lags = energy[4:] - energy[:2]
    return [
        *(variance, mean, variance - 2 * mean),
        *(*directions, directions[3] - directions[0]),
        *(*energy[:2], *lags, lags.mean()),
        *(absolute[2:] - absolute[:2]),
        *(2 * absolute[:2] - energy[:2]),
        square - energy[:2].mean(),
    ]


def _step(grey: Vector, by: tuple[int, int], out: Vector) -> Vector:
    """grey[y + down, x + right] - grey[y, x], flat; 0 where the neighbour is outside."""
    (down, right), flat = by, grey.reshape(-1)
    shift = down * grey.shape[1] + right
    np.subtract(flat[shift:], flat[:-shift], out=out[:-shift])
    out[-shift:] = 0
    if right:  # the next row begins where this one ends
        columns = slice(0, 1) if right < 0 else slice(-right, None)
        out.reshape(grey.shape)[:, columns] = 0
    return out


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
