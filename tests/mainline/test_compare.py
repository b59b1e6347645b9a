"""mainline train --compare: which version is the other one, what differs, and a plot of it."""

import pytest

from mainline.compare import compare, plot
from mainline.errors import Refusal
from mainline.promote import promote
from mainline.train import Trained


def _made(world, version):
    return Trained("iris", "iris", version, "run", world.digests[version], {}, True)


def test_a_new_version_is_compared_with_the_one_that_serves(world):
    promote(world.places, "iris", "local", 1, None, lambda _: None)
    found = compare(world.places, _made(world, 6), None)
    assert (found.before.version, found.after.version) == (1, 6)
    assert [(row.name, row.before, row.after, row.change) for row in found.metrics()] == [
        ("accuracy", "0.96", "0.98", "+0.02"),
        ("log_loss", "0.15", "0.1", "-0.05"),
    ]


def test_what_serves_is_compared_with_the_version_before_it(world):
    promote(world.places, "iris", "local", 2, None, lambda _: None)
    assert compare(world.places, _made(world, 2), None).before.version == 1


def test_another_version_may_be_asked_for(world):
    found = compare(world.places, _made(world, 4), 2)
    assert found.before.version == 2
    assert [row.change for row in found.metrics()] == ["gone", "-0.02"]
    assert found.as_dict()["changed"] == {"params": [], "metrics": ["accuracy", "log_loss"]}


@pytest.mark.parametrize(
    ("number", "reason"),
    [(None, "version 1 is the only one, and there is nothing to compare it with"), (9, "has no version 9")],
)
def test_a_version_that_is_not_there_is_refused(world, number, reason):
    with pytest.raises(Refusal, match=reason):
        compare(world.places, _made(world, 1), number)


def test_intervals_stand_behind_their_metric(world):
    found = compare(world.places, _made(world, 2), 1)
    after = {"accuracy": 0.97, "accuracy_low": 0.95, "accuracy_high": 0.99, "yield_low": 1.0}
    found = type(found)("iris", found.before, type(found.after)(2, "sha256:0", {"train.seed": "8"}, after))
    assert {row.name: row.after for row in found.metrics()} == {
        "accuracy": "0.97 (0.95 to 0.99)",
        "log_loss": "-",
        "yield_low": "1",
    }
    assert [(row.name, row.change) for row in found.params()] == [("train.seed", "changed")]


@pytest.mark.parametrize("name", ["a/plot.svg", "plot.png"])
def test_a_plot_is_written_where_it_is_wanted(world, tmp_path, name):
    plot(compare(world.places, _made(world, 2), 1), tmp_path / name)
    head = (tmp_path / name).read_bytes()[:8]
    assert head.startswith(b"<?xml" if name.endswith("svg") else b"\x89PNG")


def test_a_plot_of_an_unknown_kind_is_refused(world, tmp_path):
    with pytest.raises(Refusal, match=r"plot\.txt: give a file that ends in \.png, \.svg or \.pdf"):
        plot(compare(world.places, _made(world, 2), 1), tmp_path / "plot.txt")
