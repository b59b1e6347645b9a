"""Images and texts as findings: what cannot be decoded, is of a wrong size, or says nothing."""

import io
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trainkit.checks import Finding, finding

CONTROL = {chr(code) for code in range(32)} - set("\t\n\r") | {"\x7f", "\ufffd"}
TOLD = 3  # rows named in a finding


@dataclass(frozen=True)
class ImageBounds:
    """Sides in pixels, formats in Pillow's words; a header that says more is refused before a pixel is decoded."""

    min_side: int
    max_side: int
    max_bytes: int
    formats: tuple[str, ...] = ("JPEG", "PNG")


@dataclass(frozen=True)
class TextBounds:
    """In characters, without the blanks around them."""

    shortest: int
    longest: int


def check_images(images: Sequence[bytes | None], bounds: ImageBounds) -> list[Finding]:
    """Every image is decoded whole: half a file is no image."""
    faults = [(row, fault) for row, image in enumerate(images) if (fault := image_fault(image, bounds))]
    return [finding("images", _told(faults, len(images)))]


def image_fault(content: bytes | None, bounds: ImageBounds) -> str | None:
    """Why these bytes are not an image within the bounds; None if they are."""
    if not content:
        return "empty"
    if len(content) > bounds.max_bytes:
        return f"{len(content)} bytes, at most {bounds.max_bytes}"
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the bounds are tighter
            with Image.open(io.BytesIO(content), formats=bounds.formats) as image:
                if not all(bounds.min_side <= side <= bounds.max_side for side in image.size):
                    size = "x".join(map(str, image.size))
                    return f"{size} pixels, sides of {bounds.min_side} to {bounds.max_side} are taken"
                image.load()
    except UnidentifiedImageError:
        return f"not {' or '.join(bounds.formats)}"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return f"broken: {str(error)[:80]}"
    return None


def check_texts(texts: Sequence[object], bounds: TextBounds) -> list[Finding]:
    faults = [(row, fault) for row, text in enumerate(texts) if (fault := text_fault(text, bounds))]
    return [finding("texts", _told(faults, len(texts)))]


def text_fault(text: object, bounds: TextBounds) -> str | None:
    if not isinstance(text, str):
        return f"a {type(text).__name__}, not a text"
    length = len(text.strip())
    if not length:
        return "empty"
    if not bounds.shortest <= length <= bounds.longest:
        return f"{length} characters, {bounds.shortest} to {bounds.longest} are taken"
    if wrong := CONTROL.intersection(text):
        return f"the character {min(wrong)!r}: was it read in the right encoding?"
    return None


def _told(faults: Sequence[tuple[int, str]], count: int) -> str | None:
    if not count:
        return "there is none"
    return f"{len(faults)} of {count}, first {_rows(faults[:TOLD])}" if faults else None


def _rows(faults: Iterable[tuple[int, str]]) -> str:
    return "; ".join(f"row {row + 1}: {fault}" for row, fault in faults)
