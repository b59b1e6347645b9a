"""The recommender as an artifact: `user` [-1], `seen` [-1,-1] -> `items`, `scores` [-1,-1], `personalized` [-1]."""

import json
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import onnxruntime
from graph import LONGEST, recommender_graph
from histories import Histories
from model import Recommender
from numpy.typing import NDArray
from ratings import read_ratings

from trainkit.documents import rounded
from trainkit.limits import Between, Tolerance
from trainkit.params import read_params
from trainkit.release import Asked, Parity, Release, Tensor, write_release
from trainkit.stage import load_model, run_stage

LIMITS = {"default_k": 10, "largest_k": LONGEST, "largest_rows": 64, "longest_seen": 1000}
ABOUT = {
    "title": "Films for a user",
    "summary": "EASE, a linear item-to-item model: the films that people with this history watched as well; for short "
    "histories the popular ones count too, and without one they are all there is.",
    "use": "lists of films for known users, and for new ones from a few films that they have seen.",
    "limits": "671 users until October 2016 and the films they rated most; it knows what was watched, "
    "not what was liked, and nothing newer. The artifact holds the histories of the users that it was trained on.",
    "source": "MovieLens ml-latest-small (October 2016), GroupLens: Harper and Konstan, The MovieLens Datasets, 2015.",
    "licence": "GroupLens terms: research use, no commercial use without permission.",
}
METHOD = (
    "Of each user the newest ratings (evaluate.test_share) are test; models fitted on the older ones rank all films of "
    "the catalogue that the user had not rated. Every rating counts as watched. Recall is hits by min(10, test films). "
    "Strangers: every fifth user, left out of training, is met with their first films and judged on the later ones. "
    "95% intervals: bootstrap over users. The served model is fitted on all ratings."
)


@dataclass(frozen=True)
class Limits:
    golden_users: Annotated[int, Between(1, 64)]  # rows of one request
    tolerance: Tolerance


def export() -> str:
    model, limits = load_model(), read_params("export", Limits)
    content = recommender_graph(model)
    found = answers(content, model.known.seen)
    return write_release(
        Release(
            graph=content,
            inputs=(Tensor("user", "INT64", (-1,)), Tensor("seen", "INT64", (-1, -1), optional=True)),
            outputs=(
                Tensor("items", "INT64", (-1, -1)),
                Tensor("scores", "FP32", (-1, -1)),
                Tensor("personalized", "BOOL", (-1,)),
            ),
            parameters={**LIMITS, "items": "MovieLens movieId", "catalogue": len(model.known.items)},
            golden=golden(model.known, limits.golden_users),
            golden_tolerance=limits.tolerance,
            reference=reference(),
            about=ABOUT,
            method=METHOD,
            parity=parity(found, model, limits.tolerance),
            answers={"scores": found[1][:, : LIMITS["default_k"]]},
            files={"catalogue.json": catalogue(model.known)},
        )
    )


def answers(content: bytes, seen: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """By ONNX Runtime: every known user's list, as columns of the catalogue, and its scores."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    feeds = {"films": np.arange(seen.shape[1]), "history": seen, "seen": seen > 0}
    best, score = session.run(["best", "score"], feeds)
    return best, score


def parity(
    found: tuple[NDArray[np.int64], NDArray[np.float32]], model: Recommender, tolerance: float
) -> Parity:
    """The scores of every known user's whole list, against numpy in float64, largest difference."""
    (best, score), seen = found, model.known.seen
    expected = np.take_along_axis(model.scores(seen), best, axis=1)
    finite = np.isfinite(expected)
    same = np.array_equal(finite, np.isfinite(score))
    # Films that were seen are minus infinity on both sides.
    largest = float(np.abs(score[finite] - expected[finite]).max()) if same else np.inf
    return Parity(largest, tolerance, len(seen))


def golden(known: Histories, users: int) -> list[Asked]:
    """Known users; a stranger; a stranger who says what they have seen."""
    asked = known.users[np.linspace(0, len(known.users) - 1, users).astype(np.intp)]
    stranger = np.array([known.users.max() + 1])
    liked = known.items[np.argsort(-known.seen.sum(axis=0), kind="stable")[:3]]
    return [
        Asked({"user": asked}),
        Asked({"user": stranger}, {"k": 5}),
        Asked({"user": stranger, "seen": liked[None]}, {"k": 5}),
    ]


def catalogue(known: Histories) -> bytes:
    """The ids of the graph's columns, and the columns that each user has seen."""
    seen = {
        str(user): np.flatnonzero(row).tolist() for user, row in zip(known.users, known.seen, strict=True)
    }
    document: dict[str, Any] = {"items": known.items.tolist(), "users": seen}
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def reference() -> dict[str, Any]:
    """What the ratings looked like; no feature of a request is a measurement, so only scores are watched for drift."""
    ratings = read_ratings()
    counts = ratings.userId.value_counts()
    return {
        "rows": len(ratings),
        "features": [],
        "classes": {},
        "users": len(counts),
        "ratings_per_user": {"median": rounded(counts.median()), "largest": int(counts.max())},
    }


if __name__ == "__main__":
    run_stage(export)
