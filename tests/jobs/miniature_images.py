"""CIFAR-10 in miniature: as many small pictures as are asked, each class of its own colour and stripes."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32


def picture(label: int, draw: np.random.Generator, side: int = SIDE) -> NDArray[np.uint8]:
    """uint8 [side,side,3]: stripes whose width and colour tell the class, and noise."""
    waves = np.sin(np.arange(side) * (label + 2) / 4) * 60
    colour = np.array([label * 20, 250 - label * 20, (label * 70) % 250])
    found = colour + waves[:, None, None] + draw.normal(0, 12, (side, side, 3))
    return found.clip(0, 255).astype(np.uint8)


def encoded(pixels: NDArray[np.uint8], kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def pictures(count: int, seed: int) -> pa.Table:
    """`count` rows, the classes in turn."""
    draw = np.random.default_rng(seed)
    labels = [row % len(CLASSES) for row in range(count)]
    return pa.table(
        {
            "image": pa.array([encoded(picture(label, draw)) for label in labels], pa.binary()),
            "label": pa.array(labels, pa.int8()),
            "class": pa.array([CLASSES[label] for label in labels], pa.string()),
            "file": pa.array([f"{row}.png" for row in range(count)], pa.string()),
        }
    )


def parquet(table: pa.Table) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream)
    return stream.getvalue()


def changed(table: pa.Table, row: int, **values: object) -> pa.Table:
    """The table with other values in one row."""
    for name, value in values.items():
        column = table[name].to_pylist()
        column[row] = value
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, pa.array(column, table.schema.field(name).type))
    return table
