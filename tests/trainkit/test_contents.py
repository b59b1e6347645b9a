"""Images that are none, texts that say nothing, and rows that are in two splits."""

import io
import struct
import zlib

import pytest
from PIL import Image

from trainkit.contents import ImageBounds, TextBounds, check_images, check_texts, image_fault
from trainkit.leakage import check_copies, check_leakage, content_key

BOUNDS = ImageBounds(min_side=8, max_side=64, max_bytes=5000)
TEXTS = TextBounds(shortest=3, longest=20)


def picture(width: int = 16, height: int = 16, kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.effect_noise((width, height), 50).convert("RGB").save(content, kind)
    return content.getvalue()


def bomb(side: int) -> bytes:
    """A PNG of some bytes whose header says that it has side x side pixels."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)), (b"IDAT", b"")]
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_an_image_within_the_bounds_has_no_fault(kind: str) -> None:
    assert image_fault(picture(kind=kind), BOUNDS) is None


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"GIF89a and more", "not JPEG or PNG"),
        (picture(kind="BMP"), "not JPEG or PNG"),
        (picture()[:-40], "broken: "),
        (picture(kind="JPEG")[:-100], "broken: "),
        (picture(7, 16), "7x16 pixels, sides of 8 to 64 are taken"),
        (picture(16, 65), "16x65 pixels"),
        (picture(60, 60), " bytes, at most 5000"),
        (bomb(10_000), "10000x10000 pixels, sides of 8 to 64 are taken"),
        (bomb(60_000), "broken: Image size (3600000000 pixels) exceeds"),
    ],
)
def test_what_is_no_image_for_the_model_is_told(content: bytes | None, fault: str) -> None:
    assert fault in (image_fault(content, BOUNDS) or "")


def test_images_are_told_by_row_with_the_number_of_all() -> None:
    (found,) = check_images([picture(), b"x", None, picture(7, 7), b"y"], BOUNDS)
    assert (found.check, found.passed) == ("images", False)
    assert found.detail == (
        "4 of 5, first row 2: not JPEG or PNG; row 3: empty; row 4: 7x7 pixels, sides of 8 to 64 are taken"
    )
    assert check_images([picture()], BOUNDS)[0].passed
    assert check_images([], BOUNDS)[0].detail == "there is none"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("ab ", "2 characters, 3 to 20 are taken"),
        ("a" * 21, "21 characters, 3 to 20 are taken"),
        ("nul \x00 in it", r"the character '\x00': was it read in the right encoding?"),
        ("a \ufffd of it", "was it read in the right encoding?"),
        (float("nan"), "a float, not a text"),
        (None, "a NoneType, not a text"),
    ],
)
def test_a_text_that_says_nothing_is_told(text: object, fault: str) -> None:
    (found,) = check_texts(["a good text", text], TEXTS)
    assert found.detail == f"1 of 2, first row 2: {fault}" or fault in found.detail
    assert not found.passed


def test_texts_within_the_bounds_pass() -> None:
    assert check_texts(["three", "tab\tand\nline", "ünïcode"], TEXTS)[0].passed


def test_a_key_in_two_splits_is_leakage() -> None:
    found = check_leakage("scenes", {"train": [1, 2, 2], "validation": [3], "test": [2, 4]})
    assert (found.check, found.passed) == ("split leakage by scenes", False)
    assert found.detail == "1 scenes are in train and in test, first 2"
    assert check_leakage("scenes", {"train": [1, 1], "test": [2]}).passed


def test_texts_leak_whatever_their_case_and_blanks() -> None:
    splits = {"train": ["A good  film ."], "test": ["a GOOD film .\n", "another"]}
    keyed = {name: map(content_key, texts) for name, texts in splits.items()}
    assert check_leakage("texts", keyed).detail == "1 texts are in train and in test"


def test_images_leak_by_their_bytes() -> None:
    assert content_key(b"A") != content_key(b"a")
    assert not check_leakage("images", {"train": [content_key(b"A")], "test": [content_key(b"A")]}).passed


def test_copies_are_refused_above_their_share() -> None:
    assert check_copies("texts", ["a", "b", "b", "b"], 0.5).passed
    found = check_copies("texts", ["a", "b", "b", "b"], 0.4)
    assert found.detail == "2 texts are copies of others, share 0.500 is above 0.4"
