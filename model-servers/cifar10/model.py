"""Images as clients have them: float RGB in 0..1, or JPEG and PNG files; the class by name beside the probabilities."""

import base64
import binascii
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from v2serve.pipeline import BadInput

SIDE = 32
LARGEST_SIDE = 2048  # pixels; the header says it before anything is decoded
LARGEST_EXPLAINED = (
    512 * 512
)  # pixels of a file: it is asked about 17 times together, as PNGs of 3 bytes a pixel
LARGEST_FILE = 1 << 20  # bytes
MOST_FILES = 64
MOST_PIXELS = 8 << 20  # of all files of a request
MOST_IMAGES = 1024
MOST_SCANS = 64  # of a progressive JPEG; cameras write 10, and each goes over all pixels again
MODES = ("RGB", "L")
_SCAN = b"\xff\xda"  # never among the coded pixels
_BASE64 = (b"/9j/", b"iVBORw0KGgo")  # how JPEG and PNG begin in base64
_BROKEN = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)

Arrays = dict[str, np.ndarray]
labels = np.array([], object)


def load(folder: Path) -> None:
    global labels
    names = json.loads((folder / "contract.json").read_text("utf-8"))["parameters"]["labels"]
    labels = np.array([name.encode() for name in names], object)


def preprocess(inputs: Arrays, parameters: Mapping[str, Any]) -> Arrays:
    given = [name for name in ("image", "image_bytes") if name in inputs]
    if len(given) != 1:
        told = "both" if given else "neither"
        raise BadInput(
            f"inputs: {told} of 'image' (FP32) and 'image_bytes' (JPEG or PNG) given; give one of them"
        )
    if given == ["image"]:
        return {"image": checked(inputs["image"])}
    largest = LARGEST_EXPLAINED if parameters.get("explain") is True else LARGEST_SIDE**2
    return {"image": decoded(inputs["image_bytes"], largest)}


def postprocess(outputs: Arrays, inputs: Arrays, parameters: Mapping[str, Any]) -> Arrays:  # noqa: ARG001
    probabilities = outputs["probabilities"]
    return {"label": labels[probabilities.argmax(axis=1)], "probabilities": probabilities}


def checked(image: np.ndarray) -> np.ndarray:
    """The tensor itself; BadInput for a value that is no intensity, NaN too."""
    if not 0 < len(image) <= MOST_IMAGES:
        raise BadInput(f"input 'image': {len(image)} images; from 1 to {MOST_IMAGES} are taken")
    low, high = image.min(), image.max()
    if not (low >= 0 and high <= 1):
        wrong = np.flatnonzero(~((image >= 0) & (image <= 1)))[0]
        raise BadInput(
            f"input 'image': value {wrong} is {image.flat[wrong]:g}; red, green and blue are taken from 0 to 1: "
            "divide bytes by 255"
        )
    return image


def decoded(files: np.ndarray, largest: int = LARGEST_SIDE**2) -> np.ndarray:
    """float32 [n,3,32,32] of the files; one of another size is cut to its middle square and averaged down.

    `largest`: pixels of a file, fewer where it is explained.
    """
    if not 0 < len(files) <= MOST_FILES:
        raise BadInput(f"input 'image_bytes': {len(files)} images; from 1 to {MOST_FILES} are taken")
    pixels = np.empty((len(files), SIDE, SIDE, 3), np.uint8)
    left = MOST_PIXELS
    for place, content in enumerate(files):
        with _opened(place, content) as image:
            _check_pixels(place, image, largest)
            left -= image.width * image.height
            if left < 0:
                raise BadInput(
                    f"input 'image_bytes': more than {MOST_PIXELS} pixels in one request; send fewer images"
                )
            pixels[place] = _pixels(place, image)
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32) / np.float32(255)


def _opened(place: int, content: bytes) -> Image.Image:
    """The file with its header read and found fit."""
    content = _binary(place, content)
    if len(content) > LARGEST_FILE:
        raise _bad(place, f"{len(content)} bytes; at most {LARGEST_FILE} are taken")
    try:
        image = Image.open(io.BytesIO(content), formats=("JPEG", "PNG"))
    except Image.DecompressionBombError:
        raise _bad(place, f"far too many pixels; sides from {SIDE} to {LARGEST_SIDE} are taken") from None
    except _BROKEN:
        raise _bad(place, "not a JPEG or PNG file") from None
    if not (SIDE <= image.width <= LARGEST_SIDE and SIDE <= image.height <= LARGEST_SIDE):
        size = f"{image.width}x{image.height} pixels"
        raise _bad(place, f"{size}; sides from {SIDE} to {LARGEST_SIDE} are taken")
    if image.mode not in MODES:
        raise _bad(
            place, f"mode {image.mode}; 8-bit RGB or grey (L) is taken, without transparency or palette"
        )
    if image.format == "JPEG" and (scans := content.count(_SCAN)) > MOST_SCANS:
        raise _bad(place, f"a JPEG of {scans} scans; at most {MOST_SCANS} are taken: save it again")
    if getattr(image, "n_frames", 1) != 1:
        raise _bad(place, f"{image.n_frames} frames; one is taken")
    return image


def _check_pixels(place: int, image: Image.Image, largest: int) -> None:
    if image.width * image.height > largest:
        size = f"{image.width}x{image.height} pixels"
        raise _bad(place, f"{size}; files of at most {largest} pixels are explained: reduce it")


def _binary(place: int, content: bytes) -> bytes:
    """JSON has no bytes: a file may come as base64."""
    if not content.startswith(_BASE64):
        return content
    try:
        return base64.b64decode(content, validate=True)
    except binascii.Error:
        raise _bad(
            place, "begins as base64 of an image and is not base64 to its end; send it without line breaks"
        ) from None


def _pixels(place: int, image: Image.Image) -> np.ndarray:
    """uint8 [32,32,3], upright."""
    try:
        image.draft("RGB", (SIDE, SIDE))  # a JPEG of twice the side and more is decoded smaller
        upright = ImageOps.exif_transpose(image) if "exif" in image.info else image
        fitted = (
            upright
            if upright.size == (SIDE, SIDE)
            else ImageOps.fit(upright, (SIDE, SIDE), Image.Resampling.BOX)
        )
        return np.asarray(fitted.convert("RGB"))
    except _BROKEN as error:
        raise _bad(place, f"cannot be decoded: {error}") from None


def _bad(place: int, what: str) -> BadInput:
    return BadInput(f"input 'image_bytes': element {place}: {what}")
