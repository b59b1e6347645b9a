"""Blur, from photographs to the answers of its artifact, on drawn ones."""

import base64
import hashlib
import io
import json
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.jobs.conftest import ROOT, Run, checkout
from tests.jobs.conftest import run as run_fixture
from tests.jobs.explaining import explained, golden_explained
from tests.jobs.job_modules import job_alone, modules_of, with_data, with_params
from tests.jobs.miniature_photographs import Rows, blurred, drawn, encoded, parquet, photographs
from trainkit.errors import TrainError
from trainkit.served import served_code
from v2serve.artifact import verify
from v2serve.call import Call
from v2serve.model import Runtime
from v2serve.observe.reference import load_reference
from v2serve.pipeline import BadInput, Pipeline, load_pipeline

STAGES = ("validate.py", "train.py", "evaluate.py", "export.py")


def miniature(
    root: Path, variant: str = "advanced", train: Rows | None = None, test: Rows | None = None
) -> Path:
    files = {
        "train.parquet": parquet(photographs(range(24)) if train is None else train),
        "test.parquet": parquet(photographs(range(24, 36)) if test is None else test),
    }
    job = with_data(root, "blur", files)
    with_params(job, validate={"min_images_per_class": 8}, train={"variant": variant}, evaluate={"folds": 3})
    return job


def pipeline_of(factory: pytest.TempPathFactory, variant: str) -> tuple[Path, Pipeline]:
    run = run_fixture.__wrapped__(factory.mktemp("blur"), factory)  # type: ignore[attr-defined]
    job = miniature(checkout(factory.mktemp("jobs") / "clone"), variant)
    for stage in STAGES:
        done = run(job, stage)
        assert done.returncode == 0, done.stderr
    return job, load_pipeline(job / "artifact", "blur", Runtime())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Pipeline]:
    return pipeline_of(tmp_path_factory, "advanced")


@pytest.fixture(scope="module")
def blur(made: tuple[Path, Pipeline]) -> Pipeline:
    return made[1]


def ask(pipeline: Pipeline, *images: bytes) -> dict[str, Any]:
    given = np.empty(len(images), np.object_)
    given[:] = images
    specs = list(pipeline.contract.outputs)
    answers = pipeline.run(Call({"image": given}, specs))
    return {spec.name: values for spec, values in zip(specs, answers, strict=True)}


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises so many pixels and has none."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"")
    parts = [
        struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (head, data)
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def rescanned(progressive: bytes, times: int) -> bytes:
    """The last scan of a JPEG again and again: a few bytes each, and each goes over all pixels."""
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    return progressive[:-2] + scan * times + progressive[-2:]


def test_the_pipeline_makes_an_artifact_that_tells_sharp_from_blurred(made: tuple[Path, Pipeline]) -> None:
    job, blur = made
    sums = (job / "artifact/SHA256SUMS").read_bytes()
    verify(job / "artifact", f"sha256:{hashlib.sha256(sums).hexdigest()}")
    metrics = json.loads((job / "metrics.json").read_text("utf-8"))
    assert metrics["accuracy"] >= 0.9
    assert (
        metrics["baseline_accuracy_low"] <= metrics["baseline_accuracy"] <= metrics["baseline_accuracy_high"]
    )
    found = ask(blur, encoded(drawn(99)), encoded(blurred(drawn(99))))
    assert found["blurred"].tolist() == [False, True]
    assert found["score"][0] < 0.5 < found["score"][1]


def test_its_answers_are_watched_for_nobody_could_compare_photographs(
    made: tuple[Path, Pipeline], blur: Pipeline
) -> None:
    found = load_reference(made[0] / "artifact", blur.contract)
    assert found is not None
    reference, place = found
    assert (place.inputs, place.label) == ((), "blurred")
    assert [name for name, _ in place.outputs] == ["score", "variance_of_laplacian"]
    assert reference.expected_classes == {"false": 0.5, "true": 0.5}


def test_the_variance_of_the_laplacian_is_the_textbooks(blur: Pipeline) -> None:
    image = drawn(5).convert("L")
    grey = np.asarray(image, np.float64)
    inner = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    assert ask(blur, encoded(image, "PNG"))["variance_of_laplacian"][0] == pytest.approx(
        laplacian.var(), rel=1e-4
    )


@pytest.mark.parametrize("size", [(64, 64), (97, 65), (200, 130)])
def test_energies_are_mean_squares_of_differences(size: tuple[int, int]) -> None:
    code = served_code(ROOT / "training-jobs/blur")
    grey = np.random.default_rng(3).integers(0, 256, size[::-1]).astype(np.float32)
    steps = [
        grey[:, 1:] - grey[:, :-1],
        grey[1:] - grey[:-1],
        grey[1:, 1:] - grey[:-1, :-1],
        grey[1:, :-1] - grey[:-1, 1:],
    ]
    wanted = [float((step.astype(np.float64) ** 2).sum()) / grey.size for step in steps]
    sizes = [float(np.abs(step.astype(np.float64)).sum()) / grey.size for step in steps[:2]]
    assert code._measured(grey)[3:] == pytest.approx([*wanted, *sizes], rel=1e-5)


@pytest.mark.parametrize("size", [(64, 64), (300, 512), (509, 503), (512, 512)])
def test_every_flat_grey_has_the_same_features_but_for_its_brightness(size: tuple[int, int]) -> None:
    code = served_code(ROOT / "training-jobs/blur")
    black, *others = [code.features(Image.new("L", size, level)) for level in range(256)]
    for level, found in enumerate(others, start=1):
        assert np.array_equal(found[:-1], black[:-1])
        assert found[-1] == pytest.approx(level / 255, abs=1e-6)


def test_the_variance_of_a_bright_picture_is_as_exact_as_of_a_dark_one() -> None:
    code = served_code(ROOT / "training-jobs/blur")
    noise = np.random.default_rng(5).integers(0, 2, (512, 512))
    for level in (0, 100, 250, 254):
        mean, variance = code._moments((noise + level).astype(np.float32))
        assert mean == pytest.approx(noise.mean() + level, rel=1e-6)
        assert variance == pytest.approx(noise.var(), rel=1e-4)


def test_a_flat_diagonal_has_no_energy_below_zero() -> None:
    code = served_code(ROOT / "training-jobs/blur")
    down, right = np.mgrid[0:64, 0:64].astype(np.float32)
    falling, rising = code._measured((down - right) * 3 + 128)[5:7]
    assert falling == pytest.approx(0, abs=1e-3)
    assert falling >= 0
    assert rising > 30


def test_the_baseline_is_one_threshold_on_the_variance(tmp_path_factory: pytest.TempPathFactory) -> None:
    job, baseline = pipeline_of(tmp_path_factory, "baseline")
    metrics = json.loads((job / "metrics.json").read_text("utf-8"))
    assert metrics["accuracy"] == metrics["baseline_accuracy"]
    found = ask(baseline, *[encoded(blurred(drawn(7), sigma), "PNG") for sigma in (0.4, 0.8, 1.6, 3.2)])
    assert np.all(np.diff(found["variance_of_laplacian"]) < 0)
    assert np.all(np.diff(found["score"]) > 0)


def test_a_batch_is_answered_as_its_images_are_alone(blur: Pipeline) -> None:
    images = [encoded(drawn(1)), encoded(blurred(drawn(2), 1.0), "PNG"), encoded(drawn(3, (70, 200)))]
    together = ask(blur, *images)["score"]
    assert together == pytest.approx([ask(blur, image)["score"][0] for image in images], abs=1e-6)


def test_base64_is_answered_as_the_bytes_it_stands_for(blur: Pipeline) -> None:
    for kind in ("JPEG", "PNG"):
        image = encoded(drawn(4), kind)
        assert ask(blur, base64.b64encode(image))["score"] == ask(blur, image)["score"]


def test_a_turned_photograph_is_judged_as_it_is_seen(blur: Pipeline) -> None:
    image = drawn(6, (120, 90)).convert("L")
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(image, "JPEG", exif=exif, quality=100)
    seen = ImageOps.exif_transpose(Image.open(io.BytesIO(turned)))
    assert ask(blur, turned)["score"][0] == pytest.approx(
        ask(blur, encoded(seen, "PNG"))["score"][0], abs=0.02
    )


def test_kinds_of_pixels_that_are_answered(blur: Pipeline) -> None:
    image = drawn(8)
    grey = encoded(image.convert("L"), "PNG")
    deep = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 256)
    assert ask(blur, encoded(deep, "PNG"))["score"] == ask(blur, grey)["score"]
    for mode, kind in (("CMYK", "JPEG"), ("P", "PNG"), ("1", "PNG"), ("RGBA", "PNG"), ("LA", "PNG")):
        found = ask(blur, encoded(image.convert(mode), kind))
        assert np.isfinite(found["score"]).all()


def test_a_large_photograph_is_reduced_and_its_middle_judged(blur: Pipeline) -> None:
    small = drawn(9, (640, 640))
    large = small.resize((2560, 2560), Image.Resampling.BOX)
    found = ask(blur, encoded(small, "PNG"), encoded(large, "PNG", compress_level=1))
    assert found["score"][1] == pytest.approx(found["score"][0], abs=1e-3)


def test_a_flat_picture_has_an_answer(blur: Pipeline) -> None:
    found = ask(blur, encoded(Image.new("L", (64, 64), 128), "PNG"))
    assert found["variance_of_laplacian"][0] == 0
    assert 0 <= found["score"][0] <= 1


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (b"", r"image\[0\]: empty; send the bytes"),
        (b"GIF89a....", r"image\[0\]: begins with b'GIF8'; send the bytes of a JPEG or PNG"),
        (
            b"iVBORw0KGgo?",
            r"image\[0\]: begins as base64 of an image, but is not .*; send it without line breaks",
        ),
        (b"\xff\xd8\xff" + b"x" * 64, r"image\[0\]: its header cannot be read"),
        (
            b"\x89PNG\r\n\x1a\n",
            r"header cannot be read \(UnidentifiedImageError: not one that Pillow knows\)",
        ),
        (rescanned(encoded(drawn(1), progressive=True), 64), r"image\[0\]: a JPEG of 74 scans; at most 64"),
        (b"\xff\xd8\xff" + bytes(4 << 20), r"image\[0\]: 4194307 bytes; at most 4194304 are taken"),
        (encoded(drawn(1))[:1500], r"image\[0\]: cannot be decoded, it is broken or cut off"),
        (encoded(drawn(1), "PNG")[:-900], r"image\[0\]: cannot be decoded, it is broken or cut off"),
        (encoded(Image.new("L", (1, 1)), "PNG"), r"image\[0\]: 1 x 1 pixels; both sides need 64"),
        (png_header(5000, 3000), r"image\[0\]: 5000 x 3000 pixels; at most 12000000 pixels are taken"),
        (png_header(60_000, 60_000), r"image\[0\]: its header says more than 12000000 pixels"),
        (png_header(200, 200), r"image\[0\]: cannot be decoded, it is broken or cut off"),
        (
            encoded(drawn(1), "PNG", save_all=True, append_images=[drawn(2)]),
            r"image\[0\]: an animation of 2 pictures; send one",
        ),
    ],
)
def test_what_is_no_photograph_is_refused(blur: Pipeline, image: bytes, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        ask(blur, image)


def test_too_many_images_or_pixels_in_a_request_are_refused(blur: Pipeline) -> None:
    image = encoded(Image.new("L", (3000, 2001)), "PNG")
    with pytest.raises(BadInput, match=r"12006000 pixels in 2 images; a request may have 12000000"):
        ask(blur, image, image)
    with pytest.raises(BadInput, match=r"image: 33 elements; send 1 to 32"):
        ask(blur, *[encoded(drawn(1))] * 33)


def objects(*images: bytes) -> np.ndarray:
    found = np.empty(len(images), np.object_)
    found[:] = images
    return found


def test_an_explanation_says_by_how_much_the_score_falls_without_each_cell(
    made: tuple[Path, Pipeline],
) -> None:
    (golden,) = golden_explained(made[0] / "artifact", "blur")
    assert golden["explanation"].shape == (2, 4, 4)
    assert golden["explanation_base"] == pytest.approx(golden["score"], abs=1e-3)
    half = drawn(6, (256, 256))
    half.paste(blurred(half, 4.0).crop((0, 0, 256, 128)), (0, 0))
    images = objects(encoded(half, "PNG"))
    told = explained(made[0] / "artifact", "blur", image=images)
    hidden = np.asarray(half).copy()
    hidden[64:128, 128:192] = hidden.mean(axis=(0, 1)).round()
    alone = ask(made[1], encoded(Image.fromarray(hidden), "PNG"))["score"][0]
    assert told["explanation"][0, 1, 2] == pytest.approx(told["score"][0] - alone, abs=1e-6)


def test_a_photograph_too_large_to_be_explained_is_refused_before_it_is(made: tuple[Path, Pipeline]) -> None:
    image = objects(encoded(drawn(1)), encoded(Image.new("L", (1000, 701)), "PNG"))
    with pytest.raises(BadInput, match=r"image\[1\]: 1000 x 701 pixels; at most 700000 pixels are explained"):
        explained(made[0] / "artifact", "blur", image=image)
    largest = objects(encoded(drawn(1, (1000, 700)), "PNG"))
    assert np.isfinite(explained(made[0] / "artifact", "blur", image=largest)["explanation"]).all()


def test_the_same_commit_and_data_make_the_same_bytes(
    made: tuple[Path, Pipeline], tmp_path: Path, run: Run
) -> None:
    again = miniature(checkout(tmp_path / "again"))
    for stage in STAGES:
        assert run(again, stage).returncode == 0
    first = (made[0] / "artifact/SHA256SUMS").read_text("utf-8")
    assert (again / "artifact/SHA256SUMS").read_text("utf-8") == first


def changed(rows: Rows, **values: object) -> Rows:
    return [{**rows[0], **values}, *rows[1:]]


@pytest.mark.parametrize(
    ("train", "test", "reason"),
    [
        (changed(photographs(range(24)), label=2), None, "train.parquet: label of row 1 is 2, wanted 0"),
        (photographs(range(24))[::2], None, "train.parquet: only one class, sharp"),
        (photographs(range(24)), photographs(range(20, 32)), "4 scenes are in both splits, first scene 20"),
        (
            changed(photographs(range(24)), image=b"GIF89a"),
            None,
            "train.parquet: image of row 1: begins with b'GIF8'",
        ),
        (changed(photographs(range(24)), image=None), None, "train.parquet: 1 rows have no image"),
        (None, photographs(range(24, 27)), "test.parquet: 3 images of a class, at least 8 are needed"),
        (photographs(range(24)) + photographs(range(2)), None, "train.parquet: 4 images are there twice"),
        ([], None, "data/train.parquet: no rows"),
    ],
)
def test_photographs_that_must_not_be_learnt_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: Rows | None, test: Rows | None, reason: str
) -> None:
    monkeypatch.chdir(miniature(job_alone(tmp_path, "blur"), "advanced", train, test))
    with modules_of("blur") as get, pytest.raises(TrainError) as refused:
        get("validate").validate()
    assert reason in str(refused.value)


def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = miniature(job_alone(tmp_path, "blur"))
    monkeypatch.chdir(job)
    (job / "data/test.parquet").write_bytes(b"not parquet at all")
    with modules_of("blur") as get:
        with pytest.raises(TrainError, match=r"data/test.parquet is not parquet"):
            get("validate").validate()
        (job / "data/test.parquet").unlink()
        with pytest.raises(TrainError, match=r"data/test.parquet is missing: python -m trainkit fetch \."):
            get("validate").validate()


@pytest.mark.parametrize(
    ("section", "name", "value", "reason"),
    [
        ("train", "ridge", 0.0, r"train\.ridge is 0\.0; write a number above 0"),
        ("train", "softness", -3.0, r"train\.softness is -3\.0; write a number above 0"),
        ("evaluate", "folds", 1, "evaluate.folds is 1; write 2 to 1000000"),
        ("evaluate", "folds", 25, "evaluate.folds is 25; write 2 to 24"),
    ],
)
def test_parameters_that_fit_nothing_are_refused(
    made: tuple[Path, Pipeline],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    section: str,
    name: str,
    value: float,
    reason: str,
) -> None:
    job = miniature(job_alone(tmp_path, "blur"))
    shutil.copytree(made[0] / "work", job / "work")
    with_params(job, **{section: {name: value}})
    monkeypatch.chdir(job)
    with modules_of("blur") as get, pytest.raises(TrainError, match=reason):
        getattr(get(section), section)()


def test_a_refused_stage_prints_one_line(tmp_path: Path, run: Run) -> None:
    job = miniature(checkout(tmp_path / "clone"), "advanced")
    with_params(job, train={"variant": "best"})
    done = run(job, "train.py")
    assert done.returncode == 1
    assert done.stderr == "trainkit: params.yaml: train.variant is 'best'; write advanced or baseline\n"
