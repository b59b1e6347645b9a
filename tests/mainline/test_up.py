"""mainline up over several jobs: what is chosen, what fails, and what that hides (nothing)."""

import pytest

from infra.declarations.model import Gate
from mainline import up as module
from mainline.asked import bars, golden_request, shown
from mainline.errors import Refusal
from mainline.train import Trained
from mainline.up import Outcome, _chosen, _train_all, reasons


class _Said:
    def __init__(self):
        self.lines = []

    def step(self, name, detail):
        self.lines.append(("step", name, detail))

    note = done = step


def _job(world, name, deadline=60):
    folder = world.places.root / "training-jobs" / name
    folder.mkdir()
    (folder / "job.yaml").write_text(
        f"name: {name}\nowner: a\nmodel: {name}\ndeadline: {deadline}\n"
        f"data:\n  - {{name: a.csv, sha256: {'a' * 64}, url: 'https://example.com/a.csv'}}\n"
    )


def test_without_names_only_jobs_of_packages_are_chosen_and_the_others_are_named(world):
    _job(world, "remote")
    said = _Said()
    assert _chosen(world.places, [], False, said) == ["iris", "production-tabular"]
    assert said.lines[0][2] == "iris, production-tabular; by name or with --all: remote"
    assert _chosen(world.places, [], True, said) == ["iris", "production-tabular", "remote"]
    assert _chosen(world.places, ["remote", "remote"], False, said) == ["remote"]


def test_an_unknown_job_is_refused_before_anything_runs(world):
    with pytest.raises(Refusal, match=r"unknown job 'irsi': no training-jobs/irsi/job.yaml; there are iris"):
        _chosen(world.places, ["irsi"], False, _Said())


def test_a_job_that_fails_does_not_hide_the_others(world, monkeypatch):
    def train(places, job, on_line):
        on_line(f"{job} train: 3 trees")
        if job == "iris":
            raise Refusal("job iris failed: the data are wrong")
        return Trained(job, job, 1, "run", f"sha256:{'0' * 64}", {}, True)

    monkeypatch.setattr(module, "train", train)
    outcome, said = Outcome(), _Said()
    made = _train_all(world.places, ["iris", "production-tabular"], said, outcome)
    assert [one.job for one in made] == ["production-tabular"]
    assert reasons(outcome) == "job iris failed: the data are wrong"
    assert ("step", "train iris", "FAILED: job iris failed: the data are wrong") in said.lines


def test_what_may_take_longest_begins_first_and_answers_are_in_the_order_of_the_names(world, monkeypatch):
    _job(world, "long", deadline=7200)
    begun = []

    def train(places, job, on_line):
        begun.append(job)
        return Trained(job, job, 1, "run", f"sha256:{'0' * 64}", {}, True)

    monkeypatch.setattr(module, "train", train)
    monkeypatch.setattr(module, "_AT_ONCE", 1)
    made = _train_all(world.places, ["iris", "long"], _Said(), Outcome())
    assert begun == ["long", "iris"]
    assert [one.job for one in made] == ["iris", "long"]


def test_a_defect_is_not_taken_for_a_refusal(world, monkeypatch):
    def train(places, job, on_line):
        raise ZeroDivisionError

    monkeypatch.setattr(module, "train", train)
    with pytest.raises(ZeroDivisionError):
        _train_all(world.places, ["iris"], _Said(), Outcome())


def test_reasons_are_told_once():
    assert reasons(Outcome([], {"a": "the registry is down", "b": "the registry is down", "c": "x"})) == (
        "the registry is down\nx"
    )


def test_a_bar_shows_what_was_measured_against_it():
    gates = [
        Gate(metric="accuracy", at_least=0.95),
        Gate(metric="loss", at_most=0.5),
        Gate(metric="auc", at_least=0),
    ]
    found = bars(gates, {"accuracy": 0.957047, "loss": 0.1})
    assert [str(bar) for bar in found] == [
        "accuracy 0.957 >= 0.95",
        "loss 0.1 <= 0.5",
        "auc not measured >= 0",
    ]


def test_the_first_of_several_golden_requests_is_asked(world):
    folder = world.places.store / "iris" / ("a" * 64)
    folder.mkdir(parents=True)
    (folder / "golden.json").write_text('[{"request": {"id": "golden-1"}}, {"request": {"id": "golden-2"}}]')
    assert golden_request(world.places, "iris", f"sha256:{'a' * 64}") == {"id": "golden-1"}


def test_an_answer_shows_the_first_of_each_output_even_of_none():
    outputs = [
        {"name": "items", "data": []},
        {"name": "score", "data": [[0.123456]]},
        {"name": "ok", "data": [True]},
    ]
    assert shown(outputs) == "items nothing, score 0.1235, ok True"
