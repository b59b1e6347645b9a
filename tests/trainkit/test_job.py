"""job.yaml and params.yaml: typos are refused, never defaulted."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.trainkit.toy import CSV_SHA256, declare
from trainkit.checks import Limits
from trainkit.errors import TrainError
from trainkit.job import read_job
from trainkit.limits import Batch, Penalty, Share, Variant
from trainkit.params import all_params, flat, read_params

FILE = {"name": "a.csv", "sha256": CSV_SHA256, "url": "https://data.example/a.csv"}
DERIVED = {"name": "a.csv", "sha256": CSV_SHA256, "source": "https://data.example/page"}


@dataclass(frozen=True)
class TrainParams:
    trees: int
    rate: float
    shuffle: bool


def test_a_declaration_is_read_with_its_data_and_deadline(tmp_path: Path) -> None:
    job = read_job(declare(tmp_path, deadline=90))
    assert (job.name, job.model, job.deadline) == ("toy", "toy-model", 90)
    assert job.digests() == {"toy.csv": f"sha256:{CSV_SHA256}"}
    assert job.path_of(job.data[0]) == job.folder / "data/toy.csv"


def test_a_file_is_in_the_mirror_under_its_name_unless_told(tmp_path: Path) -> None:
    told = {
        **DERIVED,
        "name": "b.csv",
        "mirror": "set/part.1/b.csv",
        "licence": "CC BY 4.0 (the authors' page)",
    }
    plain, moved = read_job(declare(tmp_path, data=[FILE, told])).data
    assert (plain.mirror, plain.licence, plain.source) == ("a.csv", None, None)
    assert (moved.mirror, moved.licence) == ("set/part.1/b.csv", "CC BY 4.0 (the authors' page)")
    assert (moved.source, moved.url) == ("https://data.example/page", None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"modle": "x"}, "unknown field 'modle'; known: data, deadline, gpus, image"),
        ({"name": "other"}, "name is 'other'; it must be the folder's name, 'toy'"),
        ({"model": "Toy Model"}, "model is 'Toy Model'; write lower-case letters"),
        ({"model": None}, "model is None"),
        ({"deadline": "soon"}, "deadline is 'soon'; write a whole number of seconds"),
        ({"deadline": True}, "deadline is True"),
        ({"data": []}, "data is empty"),
        ({"data": ["a.csv"]}, "data must be a mapping of names to values, not str"),
        ({"data": [FILE, FILE]}, "data has two files named 'a.csv'"),
        ({"data": [{**FILE, "package": "p/a.csv"}]}, "one of package:, url: and source:, exactly one"),
        (
            {"data": [{"name": "a.csv", "sha256": CSV_SHA256}]},
            "one of package:, url: and source:, exactly one",
        ),
        ({"data": [{**FILE, "url": "http://data.example/a.csv"}]}, "only https:// is fetched"),
        ({"data": [{**FILE, "sha256": 12}]}, "sha256 is 12; write the 64 lower-case hex digits"),
        ({"data": [{**FILE, "name": "../a.csv"}]}, "name is '../a.csv'; write a plain file name"),
        ({"data": [{**FILE, "md5": "x"}]}, "data: unknown field 'md5'"),
        ({"data": [{**FILE, "source": "https://a.example"}]}, "package:, url: and source:, exactly one"),
        ({"data": [{**DERIVED, "source": "http://a.example"}]}, "source is 'http://a.example'; only https"),
        ({"data": [{**FILE, "mirror": "../a.csv"}]}, "mirror is '../a.csv'; write a path below the mirror's"),
        ({"data": [{**FILE, "mirror": "a/../../b.csv"}]}, "mirror is 'a/../../b.csv'; write a path below"),
        ({"data": [{**FILE, "mirror": "/etc/passwd"}]}, "mirror is '/etc/passwd'; write a path below"),
        ({"data": [{**FILE, "mirror": None}]}, "mirror is None; write a path below"),
        ({"data": [{**FILE, "licence": "two\nlines"}]}, "licence is 'two\\nlines'; write one line of text"),
        ({"data": [{**FILE, "licence": ""}]}, "licence is ''; write one line of text"),
    ],
)
def test_a_wrong_declaration_is_refused_by_field_and_value(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(TrainError, match=re.escape(reason)):
        read_job(declare(tmp_path, **changes))


def test_a_folder_without_a_declaration_is_no_job(tmp_path: Path) -> None:
    with pytest.raises(TrainError, match=r"is not a training job: there is no .*job\.yaml"):
        read_job(tmp_path)


def test_a_declaration_that_is_not_yaml_is_refused_in_one_line(tmp_path: Path) -> None:
    (declare(tmp_path) / "job.yaml").write_text("name: [toy\nmodel: x", encoding="utf-8")
    with pytest.raises(TrainError, match=r"job\.yaml is not YAML: [^\n]*$"):
        read_job(tmp_path / "toy")


def test_parameters_come_typed(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("train: {trees: 3, rate: 1, shuffle: false}", encoding="utf-8")
    assert read_params("train", TrainParams, tmp_path) == TrainParams(3, 1.0, False)
    assert flat(all_params(tmp_path)) == {"train.trees": "3", "train.rate": "1", "train.shuffle": "False"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "train: {trees: 3, rate: 1, shuffle: true, tress: 4}",
            "train.tress is not a parameter; known: rate, sh",
        ),
        ("train: {trees: 3, rate: 1}", "train.shuffle is missing"),
        ("train: {trees: many, rate: 1, shuffle: true}", "train.trees is 'many'; write a value of type int"),
        ("train: {trees: true, rate: 1, shuffle: true}", "train.trees is True; write a value of type int"),
        ("train: {trees: 2.5, rate: 1, shuffle: true}", "train.trees is 2.5; write a value of type int"),
        ("train: {trees: 3, rate: .nan, shuffle: true}", "train.rate is nan; write a number that is finite"),
        (
            "train: {trees: 3, rate: -.inf, shuffle: true}",
            "train.rate is -inf; write a number that is finite",
        ),
        ("trian: {trees: 3}", "trian is not a stage; known: validate, train, evaluate, export"),
        ("train: 3", "train is 3; write parameters under it"),
        ("- train", "must be a mapping of stages to parameters"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(TrainError, match=re.escape(reason)):
        read_params("train", TrainParams, tmp_path)


@dataclass(frozen=True)
class Drawn:
    golden_seed: int


@pytest.mark.parametrize("seed", [-1, 1 << 32])
def test_a_seed_that_no_generator_takes_is_refused(tmp_path: Path, seed: int) -> None:
    (tmp_path / "params.yaml").write_text(f"export: {{golden_seed: {seed}}}", encoding="utf-8")
    with pytest.raises(TrainError, match=f"export.golden_seed is {seed}; write 0 to 4294967295"):
        read_params("export", Drawn, tmp_path)


@dataclass(frozen=True)
class Limited:
    variant: Variant
    batch: Batch
    penalty: Penalty
    share: Share


LIMITED = {"variant": "baseline", "batch": 8, "penalty": 0.5, "share": 0.25}


def limited(folder: Path, **changes: object) -> Limited:
    (folder / "params.yaml").write_text(yaml.safe_dump({"train": {**LIMITED, **changes}}), encoding="utf-8")
    return read_params("train", Limited, folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("variant", "advanced"),
        ("batch", 1),
        ("batch", 100_000),
        ("penalty", 1e-300),
        ("share", 0),
        ("share", 1),
    ],
)
def test_a_value_on_its_limit_is_taken(tmp_path: Path, name: str, value: object) -> None:
    assert getattr(limited(tmp_path, **{name: value}), name) == value


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("variant", "Advanced", "'Advanced'; write advanced or baseline"),
        ("variant", 1, "1; write a value of type str"),
        ("batch", 0, "0; write 1 to 100000"),
        ("batch", 100_001, "100001; write 1 to 100000"),
        ("batch", True, "True; write a value of type int"),
        ("batch", 1.0, "1.0; write a value of type int"),
        ("batch", 10**200, f"1{'0' * 76}...; write 1 to 100000"),
        ("penalty", 0, "0; write a number above 0, at most 1000000000"),
        ("penalty", -0.0, "-0.0; write a number above 0"),
        ("penalty", 10**400, f"1{'0' * 76}...; write a number that is finite"),
        ("penalty", float("nan"), "nan; write a number that is finite"),
        ("penalty", float("inf"), "inf; write a number that is finite"),
        ("share", -1e-9, "-1e-09; write 0 to 1"),
        ("share", 1.5, "1.5; write 0 to 1"),
        ("share", True, "True; write a value of type float"),
        ("share", None, "None; write a value of type float"),
        ("share", "0.5", "'0.5'; write a value of type float"),
    ],
)
def test_a_value_beyond_its_limits_is_refused_with_what_is_taken(
    tmp_path: Path, name: str, value: object, told: str
) -> None:
    with pytest.raises(TrainError, match=re.escape(f"params.yaml: train.{name} is {told}")):
        limited(tmp_path, **{name: value})


def test_a_warning_that_no_drift_could_raise_is_refused() -> None:
    with pytest.raises(TrainError, match=r"validate\.drift_warn is 0\.3; write at most drift_fail, 0\.25"):
        Limits(10, 0.1, 0.1, drift_warn=0.3, drift_fail=0.25)
