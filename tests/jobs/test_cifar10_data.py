"""What cifar10 refuses to learn from, and what its server makes of the images of a request: no torch is needed."""

import base64
import importlib.util
import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from tests.jobs.conftest import ROOT, Run, checkout
from tests.jobs.job_modules import with_data, with_params
from tests.jobs.miniature_images import CLASSES, changed, encoded, parquet, picture, pictures
from v2serve.pipeline import BadInput

TRAIN, TEST = pictures(40, seed=1), pictures(20, seed=2)
DRAW = np.random.default_rng(3)
Change = Callable[[pa.Table], pa.Table]


def job_with(folder: Path, train: bytes, test: bytes) -> Path:
    job = with_data(checkout(folder), "cifar10", {"train.parquet": train, "test.parquet": test})
    with_params(job, validate={"min_images_per_class": 2})
    return job


def test_images_that_pass_are_decoded_once(tmp_path: Path, run: Run) -> None:
    job = job_with(tmp_path / "clone", parquet(TRAIN), parquet(TEST))
    done = run(job, "validate.py")
    assert done.stdout == "cifar10 validate: 40 + 20 images, 15 checks passed\n", done.stderr
    with np.load(job / "work/pixels.npz") as found:
        assert found["train_pixels"].shape == (40, 32, 32, 3)
        assert found["test_labels"].tolist() == [row % 10 for row in range(20)]
    report = json.loads((job / "work/report.json").read_text("utf-8"))
    assert all(check["passed"] for check in report["checks"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda t: changed(t, 3, image=b"no image"),
            "images of train.parquet: 1 rows are not what the network",
        ),
        (lambda t: changed(t, 3, image=TRAIN["image"][3].as_py()[:-40]), "first row 4 (not an image ("),
        (lambda t: changed(t, 3, image=None), "first row 4 (empty)"),
        (
            lambda t: changed(t, 3, image=encoded(picture(1, DRAW, 40))),
            "first row 4 (40x40 RGB instead of 32x32 RGB)",
        ),
        (lambda t: changed(t, 0, label=10), "1 rows have no label of 0 to 9, first row 1"),
        (lambda t: changed(t, 0, label=None), "1 rows have no label of 0 to 9, first row 1"),
        (
            lambda t: changed(t, 5, **{"class": "cat"}),
            "class names of train.parquet: 1 rows name another class, first row 6 (cat)",
        ),
        (
            lambda t: t.filter(pa.compute.equal(t["label"], 2)),
            "classes of train.parquet: only one class, bird",
        ),
        (lambda t: t.slice(0, 9), "truck has 0, 2 asked; balance of train.parquet: share of truck is below"),
        (
            lambda t: changed(t, 0, image=t["image"][10].as_py()),
            "copies: train: share 0.025 of copies is above",
        ),
        (
            lambda t: changed(t, 0, image=TEST["image"][0].as_py()),
            "split leakage: 1 test images are in training",
        ),
        (lambda t: t.drop_columns(["label"]), "column label is missing, int8 is asked"),
        (lambda t: t.slice(0, 0), "train.parquet has no rows"),
    ],
)
def test_images_that_nothing_should_learn_from_are_refused(
    tmp_path: Path, run: Run, change: Change, reason: str
) -> None:
    job = job_with(tmp_path / "clone", parquet(change(TRAIN)), parquet(TEST))
    done = run(job, "validate.py")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert reason in done.stderr
    assert not (job / "work/pixels.npz").exists()


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path, run: Run) -> None:
    done = run(job_with(tmp_path / "clone", b"label,image\n", parquet(TEST)), "validate.py")
    assert done.returncode == 1
    assert done.stderr.startswith("trainkit: data/train.parquet is not parquet: ")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """model.py of the server, its labels loaded."""
    folder = tmp_path_factory.mktemp("artifact")
    (folder / "contract.json").write_text(json.dumps({"parameters": {"labels": CLASSES}}), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("cifar10_served", ROOT / "model-servers/cifar10/model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.load(folder)
    return module


def files(*contents: bytes) -> dict[str, Any]:
    array = np.empty(len(contents), object)
    array[:] = contents
    return {"image_bytes": array}


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def claimed(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is this large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


def test_a_file_is_what_its_pixels_are(served: ModuleType) -> None:
    pixels = picture(4, DRAW)
    raw = encoded(pixels)
    expected = pixels.transpose(2, 0, 1).astype(np.float32) / 255
    for content in (raw, base64.b64encode(raw)):
        found = served.preprocess(files(content), {})["image"]
        assert found.dtype == np.float32
        assert np.abs(found[0] - expected).max() < 1e-6


def test_numbers_pass_as_they_are(served: ModuleType) -> None:
    image = np.linspace(0, 1, 2 * 3072, dtype=np.float32).reshape(2, 3, 32, 32)
    assert served.preprocess({"image": image}, {})["image"] is image


def test_a_larger_photograph_is_cut_to_its_middle_and_averaged(served: ModuleType) -> None:
    wide = np.zeros((64, 128, 3), np.uint8)
    wide[:, 32:96] = (200, 100, 50)
    found = served.preprocess(files(saved(Image.fromarray(wide))), {})["image"]
    assert found.shape == (1, 3, 32, 32)
    assert np.unique((found[0] * 255).round(), axis=None).tolist() == [50, 100, 200]


def test_a_photograph_on_its_side_is_turned_upright(served: ModuleType) -> None:
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:16] = 255  # the upper half is bright
    exif = Image.Exif()
    exif[0x0112] = 6  # a viewer turns it a quarter clockwise
    found = served.preprocess(files(saved(Image.fromarray(pixels), "JPEG", quality=95, exif=exif)), {})[
        "image"
    ][0]
    assert found[0, :, 16:].mean() > 0.9
    assert found[0, :, :16].mean() < 0.1


def test_a_file_too_large_to_be_explained_is_refused_before_it_is(served: ModuleType) -> None:
    image = saved(Image.new("RGB", (600, 500)))
    assert served.preprocess(files(image), {})["image"].shape == (1, 3, 32, 32)
    with pytest.raises(
        BadInput, match=r"element 0: 600x500 pixels; files of at most 262144 pixels are explained"
    ):
        served.preprocess(files(image), {"explain": True})


def test_seventeen_noisy_files_at_the_limit_of_an_explanation_are_taken(served: ModuleType) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    image = saved(Image.fromarray(noise), compress_level=0)
    assert served.preprocess(files(*[image] * 17), {"explain": True})["image"].shape == (17, 3, 32, 32)


def test_grey_is_three_equal_channels(served: ModuleType) -> None:
    found = served.preprocess(files(saved(Image.new("L", (32, 32), 51))), {})["image"]
    assert np.allclose(found, 0.2)


def test_the_likeliest_class_is_named(served: ModuleType) -> None:
    answer = np.eye(10, dtype=np.float32)[[3, 9]]
    found = served.postprocess({"probabilities": answer}, {}, {})
    assert found["label"].tolist() == [b"cat", b"truck"]
    assert found["probabilities"] is answer


def rescanned(times: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again: a few bytes each, and each goes over all pixels."""
    whole = saved(Image.new("L", (32, 32)), "JPEG", progressive=True)
    return whole[:-2] + whole[whole.rindex(b"\xff\xda") : -2] * times + whole[-2:]


GOOD = encoded(picture(0, DRAW))
NAN = np.full((1, 3, 32, 32), np.nan, np.float32)


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({}, "inputs: neither of 'image' (FP32) and 'image_bytes' (JPEG or PNG) given; give one of them"),
        ({"image": NAN, **files(GOOD)}, "inputs: both of 'image'"),
        ({"image": NAN}, "input 'image': value 0 is nan; red, green and blue are taken from 0 to 1"),
        ({"image": np.full((1, 3, 32, 32), 255, np.float32)}, "input 'image': value 0 is 255;"),
        ({"image": np.full((1, 3, 32, 32), -0.1, np.float32)}, "input 'image': value 0 is -0.1;"),
        (
            {"image": np.zeros((0, 3, 32, 32), np.float32)},
            "input 'image': 0 images; from 1 to 1024 are taken",
        ),
        ({"image": np.zeros((1025, 3, 32, 32), np.float32)}, "input 'image': 1025 images"),
        (files(), "input 'image_bytes': 0 images; from 1 to 64 are taken"),
        (files(*[GOOD] * 65), "input 'image_bytes': 65 images"),
        (files(GOOD, b""), "element 1: not a JPEG or PNG file"),
        (files(b"GIF89a" + bytes(100)), "element 0: not a JPEG or PNG file"),
        (files(saved(Image.new("RGB", (32, 32)), "GIF")), "element 0: not a JPEG or PNG file"),
        (files(GOOD[:-60]), "element 0: cannot be decoded: "),
        (
            files(b"/9j/4AAQ$$$"),
            "begins as base64 of an image and is not base64 to its end; send it without",
        ),
        (files(bytes((1 << 20) + 1)), "element 0: 1048577 bytes; at most 1048576 are taken"),
        (files(claimed(60_000, 60_000)), "element 0: far too many pixels; sides from 32 to 2048 are taken"),
        (files(claimed(9000, 9000)), "element 0: 9000x9000 pixels; sides from 32 to 2048 are taken"),
        (files(claimed(32, 2049)), "element 0: 32x2049 pixels"),
        (files(saved(Image.new("RGB", (1, 1)))), "element 0: 1x1 pixels; sides from 32"),
        (files(*[claimed(2048, 2048)]), "element 0: cannot be decoded: "),
        (files(*[saved(Image.new("RGB", (2048, 2048)))] * 3), "more than 8388608 pixels in one request"),
        (files(saved(Image.new("I;16", (32, 32)))), "element 0: mode I;16; 8-bit RGB or grey (L) is taken"),
        (files(saved(Image.new("RGBA", (32, 32)))), "element 0: mode RGBA;"),
        (files(rescanned(64)), "element 0: a JPEG of 70 scans; at most 64 are taken: save it again"),
        (files(saved(Image.new("CMYK", (32, 32)), "JPEG")), "element 0: mode CMYK;"),
        (
            files(
                saved(
                    Image.new("RGB", (32, 32)), save_all=True, append_images=[Image.new("RGB", (32, 32), 9)]
                )
            ),
            "element 0: 2 frames; one is taken",
        ),
    ],
)
def test_a_bad_request_names_the_input_the_element_and_what_is_taken(
    served: ModuleType, inputs: dict[str, Any], reason: str
) -> None:
    with pytest.raises(BadInput) as refused:
        served.preprocess(inputs, {})
    assert reason in str(refused.value)
