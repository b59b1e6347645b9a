"""What sentiment refuses of its parameters, and of an encoder that they or its own files do not fit."""

import json
from pathlib import Path

import pytest

from tests.jobs.job_modules import job_alone, modules_of, with_params
from tests.jobs.miniature_texts import CONFIG
from tests.jobs.test_sentiment import miniature
from trainkit.errors import TrainError

NUMBER = "write a number that is finite"
OUT_OF_RANGE = [
    ("train", "variant", "best", "write advanced or baseline"),
    ("train", "with_validation", 1, "write a value of type bool"),
    ("train", "min_texts", 0, "write 1 to 1000000"),
    ("train", "smoothing", 0.0, "write a number above 0"),
    ("train", "smoothing", -1.0, "write a number above 0"),
    ("train", "ridge", 0, "write a number above 0"),
    ("train", "ridge", float("nan"), NUMBER),
    ("train", "words_weight", -0.1, "write 0 to 1000"),
    ("train", "words_weight", float("inf"), NUMBER),
    ("train", "encoder_weight", 0, "write a number above 0"),
    ("train", "length", 0, "write 8 to 100000"),
    ("train", "frozen_layers", -1, "write 0 to 1000"),
    ("train", "epochs", 0, "write 1 to 10000"),
    ("train", "epochs", -3, "write 1 to 10000"),
    ("train", "batch", 0, "write 1 to 100000"),
    ("train", "rate", 0, "write a number above 0"),
    ("train", "rate", -6.0e-5, "write a number above 0"),
    ("train", "rate", float("nan"), NUMBER),
    ("train", "decay", 0, "write 0.01 to 1"),
    ("train", "decay", 1.1, "write 0.01 to 1"),
    ("train", "head_rate", -1, "write a number above 0"),
    ("train", "dropout", 1, "write 0 to 0.9"),
    ("train", "dropout", -0.1, "write 0 to 0.9"),
    ("train", "precision", "float8", "write bfloat16 or float32"),
    ("train", "seed", -1, "write 0 to 4294967295"),
    ("export", "weights", "int4", "write float32 or int8"),
    ("export", "tolerance", -1.0e-4, "write 0 to 1"),
    ("export", "tolerance", float("nan"), NUMBER),
    ("validate", "min_rows_per_class", 0, "write 1 to 1000000"),
    ("validate", "min_class_share", 1.5, "write 0 to 1"),
    ("validate", "max_duplicate_share", -0.1, "write 0 to 1"),
]
STAGE_OF = {"train": "train", "export": "evaluate", "validate": "validate"}


@pytest.mark.parametrize(("section", "name", "value", "fix"), OUT_OF_RANGE)
def test_parameters_out_of_range_are_refused_with_their_value_and_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, section: str, name: str, value: object, fix: str
) -> None:
    monkeypatch.chdir(job := job_alone(tmp_path, "sentiment") / "training-jobs/sentiment")
    with_params(job, **{section: {name: value}})
    stage = STAGE_OF[section]
    with modules_of("sentiment") as get, pytest.raises(TrainError) as refused:
        getattr(get(stage), stage)()
    assert str(refused.value).startswith(f"params.yaml: {section}.{name} is {value!r}; {fix}")


def test_a_term_that_no_text_can_have_often_enough_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = miniature(job_alone(tmp_path, "sentiment"), "baseline")
    with_params(job, train={"min_texts": 201})
    monkeypatch.chdir(job)
    reason = "train.min_texts is 201; no term is in so many of 200 texts, write less"
    with modules_of("sentiment") as get, pytest.raises(TrainError, match=reason):
        get("train").train()


@pytest.mark.fleet
@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("frozen_layers", 2, "train.frozen_layers is 2; write 0 to 1: the encoder has 2 layers"),
        ("length", 65, "train.length is 65; write 8 to 64, the encoder's positions"),
    ],
)
def test_parameters_that_do_not_fit_the_encoder_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: object, reason: str
) -> None:
    job = miniature(job_alone(tmp_path, "sentiment"))
    with_params(job, train={name: value})
    monkeypatch.chdir(job)
    with modules_of("sentiment") as get, pytest.raises(TrainError) as refused:
        get("train").train()
    assert reason in str(refused.value)


def encoder_of(**changes: object) -> dict[str, bytes]:
    return {"config": json.dumps({**CONFIG, **changes}).encode()}


@pytest.mark.fleet
@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (encoder_of(model_type="roberta"), "data/config.json: model_type must be bert and hidden_act gelu"),
        (
            encoder_of(hidden_size=17),
            "data/config.json: hidden_size is not a multiple of num_attention_heads",
        ),
        (encoder_of(num_hidden_layers=0), "data/config.json: num_hidden_layers is 0"),
        (encoder_of(num_hidden_layers=3), "encoder.layer.2.attention.self.query.weight is missing"),
        (encoder_of(intermediate_size=64), "is [32, 16], data/config.json wants [64, 16]"),
        ({"encoder": b"no weights"}, "data/encoder.safetensors is not safetensors"),
        (
            {"tokenizer": b'{"model": {"vocab": {"a": 0}}}'},
            "data/tokenizer.json has 1 pieces, data/config.json has 30",
        ),
    ],
)
def test_an_encoder_that_does_not_fit_together_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes], reason: str
) -> None:
    monkeypatch.chdir(miniature(job_alone(tmp_path, "sentiment"), **files))
    with modules_of("sentiment") as get, pytest.raises(TrainError) as refused:
        get("train").train()
    assert reason in str(refused.value)
