"""Photographs of the blur job's schema, drawn: rectangles and grain, sharp or behind a Gaussian."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw, ImageFilter

TYPES = {"image": pa.binary(), "label": pa.int8(), "scene": pa.int16(), "file": pa.string()}
Rows = list[dict[str, object]]


def drawn(seed: int, size: tuple[int, int] = (96, 96)) -> Image.Image:
    random = np.random.default_rng(seed)
    grain = random.integers(90, 130, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(grain)
    draw = ImageDraw.Draw(image)
    for _ in range(25):
        left, top = (int(random.integers(0, side)) for side in size)
        right, bottom = left + int(random.integers(4, 40)), top + int(random.integers(4, 40))
        draw.rectangle((left, top, right, bottom), fill=tuple(random.integers(0, 255, 3).tolist()))
    return image


def blurred(image: Image.Image, sigma: float = 2.5) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(sigma))


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def photographs(scenes: range) -> Rows:
    """A sharp and a blurred photograph of each scene."""
    rows: Rows = []
    for scene in scenes:
        image = drawn(scene)
        for label, shown in enumerate((image, blurred(image, 1.5 + scene % 3))):
            rows.append(
                {"image": encoded(shown), "label": label, "scene": scene, "file": f"{scene}-{label}.jpg"}
            )
    return rows


def parquet(rows: Rows) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(list(TYPES.items()))), out)
    return out.getvalue()
