"""The model as an artifact: `text` BYTES [-1] -> `label` BYTES [-1], `score` FP32 [-1], of positive."""

import json
from typing import Any

import numpy as np
from asked import ExportParams, asked
from encoder import TOKENIZER
from graph import Trained, sentiment_graph
from texts import CLASSES, TEST, TRAIN, VALIDATION, Texts, joined, read_texts
from variant import TrainParams, native_scores

from trainkit.explain import explained
from trainkit.params import read_params
from trainkit.release import Parity, Release, Tensor, write_release
from trainkit.served import served_code
from trainkit.stage import load_model, run_stage

ABOUT = {
    "title": "Sentiment of sentences",
    "summary": "Says whether an English sentence on a film likes it, and how likely that is.",
    "use": "sorting reviews and comments in English, a sentence or a short paragraph at a time.",
    "limits": (
        "other languages, irony, long texts (the encoder reads the beginning), neutral texts: it knows two classes "
        "only, and was taught by sentences of film critics from before 2005."
    ),
    "source": "rt-polarity, Pang and Lee, ACL 2005; encoder all-MiniLM-L6-v2 (sentence-transformers).",
    "licence": "data: unclear, public for research, citation asked; encoder: Apache-2.0",
}
METHOD = (
    "1,056 test texts that neither training nor the choice of parameters saw; the baseline is words alone."
)
GOLDEN = (
    "A moving, funny film that stays with you.",
    "Dull, far too long, and not nearly as clever as it thinks it is.",
    "the camera work is fine",
)


def export() -> str:
    params, limits, model = (
        read_params("train", TrainParams),
        read_params("export", ExportParams),
        load_model(),
    )
    test, graph = read_texts(TEST), sentiment_graph(model, limits.small())
    scores = asked(graph, model, test, params.length).scores
    return write_release(
        Release(
            graph=graph,
            inputs=(Tensor("text", "BYTES", (-1,)),),
            outputs=(Tensor("label", "BYTES", (-1,)), Tensor("score", "FP32", (-1,))),
            parameters=_parameters(model, params.length),
            golden=[{"text": np.array([text], object)} for text in GOLDEN],
            golden_tolerance=1e-3,
            reference=_reference(_taught(params)),
            about=ABOUT,
            method=METHOD,
            answers={"label": np.array(CLASSES)[(scores > 0.5).astype(int)], "score": scores},
            parity=_parity(model, params, test, limits.tolerance),
            files=_files(model, params.length),
            evidence={"weights": limits.weights if model.encoder is not None else "float32"},
        )
    )


def _parameters(model: Trained, length: int) -> dict[str, Any]:
    code = served_code()
    found = {"labels": list(CLASSES), "texts": [1, code.MAX_TEXTS], "max_bytes": code.MAX_BYTES}
    return found | ({"pieces": length} if model.encoder is not None else {})


def _parity(model: Trained, params: TrainParams, test: Texts, tolerance: float) -> Parity:
    """The graph in float32 against its source; what int8 changes is in the metrics."""
    found = asked(sentiment_graph(model, small=False), model, test, params.length).scores
    return Parity(float(np.abs(found - native_scores(model, params, test)).max()), tolerance, len(test))


def _files(model: Trained, length: int) -> dict[str, bytes]:
    found = {
        "vocabulary.json": _json(model.words.terms),
        "reader.json": _json({"pieces": length if model.encoder is not None else 0}),
        **explained("words", ["text"], "score"),
    }
    return found | ({"tokenizer.json": TOKENIZER.read_bytes()} if model.encoder is not None else {})


def _json(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _taught(params: TrainParams) -> Texts:
    train = read_texts(TRAIN)
    return joined(train, read_texts(VALIDATION)) if params.with_validation else train


def _reference(train: Texts) -> dict[str, Any]:
    sizes = np.array([len(text.split()) for text in train.texts])
    shares = np.bincount(train.labels) / len(train)
    return {
        "rows": len(train),
        "words": {"min": int(sizes.min()), "max": int(sizes.max()), "mean": round(float(sizes.mean()), 3)},
        "classes": dict(zip(CLASSES, shares.round(6).tolist(), strict=True)),
    }


if __name__ == "__main__":
    run_stage(export)
