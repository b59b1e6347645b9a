"""The scorer as an artifact: `image` BYTES [-1] -> `blurred` BOOL, `score` FP32, `variance_of_laplacian` FP32."""

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from graph import scorer_graph
from numpy.typing import NDArray
from photographs import CLASSES, TEST, TRAIN, Photographs, features, read_photographs
from PIL import Image, ImageFilter

from trainkit.explain import explained
from trainkit.graph import infer
from trainkit.limits import Tolerance
from trainkit.params import read_params
from trainkit.release import Parity, Release, Tensor, write_release
from trainkit.served import served_code
from trainkit.stage import load_model, run_stage

ABOUT = {
    "title": "Blurred photographs",
    "summary": "Says whether the middle of a photograph is blurred, and how sure that is.",
    "use": "sorting out photographs before people or other models look at them.",
    "limits": (
        "documents, microscopy, faces alone, pictures that were sharpened or upscaled: it learnt from 524 street and "
        "indoor scenes. Blur outside of the judged middle is not seen; what is blurred on purpose counts as blurred."
    ),
    "source": "github.com/3azzoozz/Blur-Classification, a course's data set of 2023; 256 x 256 cuts of its images.",
    "licence": "unclear (no licence file in the repository); not redistributed with this project",
}
METHOD = "158 test photographs of 44 scenes, none of which was trained on; the baseline is one threshold."
BINS = 10
GRID = 4  # cells a side: 17 images of one request, which is below what model.py takes


@dataclass(frozen=True)
class Limits:
    tolerance: Tolerance


def export() -> str:
    limits, scorer = read_params("export", Limits), load_model()
    train, test = read_photographs(TRAIN), read_photographs(TEST)
    graph, points = scorer_graph(scorer), features(test, TEST.name)
    answers = infer(graph, points)
    return write_release(
        Release(
            graph=graph,
            inputs=(Tensor("image", "BYTES", (-1,)),),
            outputs=(
                Tensor("blurred", "BOOL", (-1,)),
                Tensor("score", "FP32", (-1,)),
                Tensor("variance_of_laplacian", "FP32", (-1,)),
            ),
            parameters=_parameters(),
            golden=[{"image": _golden()}],
            golden_tolerance=1e-3,
            reference=_reference(train),
            about=ABOUT,
            method=METHOD,
            parity=_parity(answers["score"], scorer.scores(points), limits.tolerance),
            answers=answers,
            files=explained("occlusion", ["image"], "score", grid=GRID),
        )
    )


def _parameters() -> dict[str, Any]:
    code = served_code()
    return {
        "labels": list(CLASSES),
        "threshold": 0.5,
        "formats": ["JPEG", "PNG"],
        "images": [1, code.MAX_IMAGES],
        "max_bytes": code.MAX_BYTES,
        "max_pixels": code.MAX_PIXELS,
        "max_explained_pixels": code.MAX_EXPLAINED,
        "min_side": code.MIN_SIDE,
    }


def _golden() -> NDArray[np.object_]:
    """Drawn, not taken: nobody's photograph travels with the artifact. A sharp PNG and a blurred JPEG."""
    blocks = np.random.default_rng(7).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    sharp = Image.fromarray(blocks).resize((256, 256), Image.Resampling.NEAREST)
    found = np.empty(2, np.object_)
    found[:] = [_encoded(sharp, "PNG"), _encoded(sharp.filter(ImageFilter.GaussianBlur(3)), "JPEG")]
    return found


def _encoded(image: Image.Image, kind: str) -> bytes:
    out = BytesIO()
    image.save(out, kind)
    return out.getvalue()


def _parity(found: NDArray[Any], expected: NDArray[Any], tolerance: float) -> Parity:
    return Parity(float(np.abs(found - expected).max()), tolerance, len(expected))


def _reference(train: Photographs) -> dict[str, Any]:
    variance = features(train, TRAIN.name)[:, 0].astype(np.float64)
    edges = np.quantile(variance, np.linspace(0, 1, BINS + 1))
    shares = np.bincount(train.labels) / len(train)
    return {
        "rows": len(train),
        "variance_of_laplacian": {"deciles": [round(float(edge), 3) for edge in edges]},
        "classes": dict(zip(CLASSES, shares.round(6).tolist(), strict=True)),
    }


if __name__ == "__main__":
    run_stage(export)
