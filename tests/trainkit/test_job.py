"""job.yaml and params.yaml: typos are refused, never defaulted."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.trainkit.toy import CSV_SHA256, declare
from trainkit.errors import TrainError
from trainkit.job import read_job
from trainkit.params import all_params, flat, read_params

FILE = {"name": "a.csv", "sha256": CSV_SHA256, "url": "https://data.example/a.csv"}


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


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"modle": "x"}, "unknown field 'modle'; known: data, deadline, model"),
        ({"name": "other"}, "name is 'other'; it must be the folder's name, 'toy'"),
        ({"model": "Toy Model"}, "model is 'Toy Model'; write lower-case letters"),
        ({"model": None}, "model is None"),
        ({"deadline": "soon"}, "deadline is 'soon'; write a whole number of seconds"),
        ({"deadline": True}, "deadline is True"),
        ({"data": []}, "data is empty"),
        ({"data": ["a.csv"]}, "data must be a mapping of names to values, not str"),
        ({"data": [FILE, FILE]}, "data has two files named 'a.csv'"),
        ({"data": [{**FILE, "package": "p/a.csv"}]}, "either package: or url:, exactly one"),
        ({"data": [{"name": "a.csv", "sha256": CSV_SHA256}]}, "either package: or url:, exactly one"),
        ({"data": [{**FILE, "url": "http://data.example/a.csv"}]}, "only https:// is fetched"),
        ({"data": [{**FILE, "sha256": 12}]}, "sha256 is 12; write the 64 lower-case hex digits"),
        ({"data": [{**FILE, "name": "../a.csv"}]}, "name is '../a.csv'; write a plain file name"),
        ({"data": [{**FILE, "md5": "x"}]}, "data: unknown field 'md5'"),
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
        ("trian: {trees: 3}", "trian is not a stage; known: validate, train, evaluate, export"),
        ("train: 3", "train is 3; write parameters under it"),
        ("- train", "must be a mapping of stages to parameters"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(TrainError, match=re.escape(reason)):
        read_params("train", TrainParams, tmp_path)
