"""mainline cost: bills of the working tree, what a commit changes, budgets, and new books from price list files."""

import json
import subprocess

import pytest
from typer.testing import CliRunner

from infra.declarations.errors import DeclarationError
from mainline.bills import show_priced
from mainline.check import check
from mainline.cli import app
from mainline.cost import cost, read_prices, refresh
from mainline.errors import Refusal
from mainline.places import Places
from tests.infra.prices import ASSUMED, BOOK
from tests.infra.samples import RELEASES, STACK, edited, tree
from tests.infra.test_offers import MACHINE, offer_file
from tests.policies.rules import OWN

STACK_FILE = "Pulumi.dev.yaml"


def _git(root, *arguments):
    told = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(root), *told, *arguments], check=True, capture_output=True)


def _write(root, files):
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


@pytest.fixture
def places(tmp_path):
    """A repository with one environment, one released model, round prices, and one commit."""
    prices = {"infra/prices/aws-eu-central-1-2026-01-01.yaml": BOOK, "infra/prices/assumptions.yaml": ASSUMED}
    _write(tmp_path, {**tree(RELEASES["direct"]), **prices, **OWN})
    _git(tmp_path, "init", "-q")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-qm", "first", "--date=2026-05-05T12:00:00Z")
    return Places(tmp_path)


def _stack(places, old, new):
    (places.root / STACK_FILE).write_text(edited(STACK, old, new))


def _run(places, *arguments):
    return CliRunner().invoke(app, ["--repo", str(places.root), "cost", *arguments])


def test_the_table_has_lines_a_sum_and_the_sums_of_models_and_teams(places):
    done = _run(places, "dev")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "dev: US dollars a month, prices of aws-eu-central-1-2026-01-01, budget 500"
    assert "cluster   control plane               " in done.stdout
    assert next(line for line in lines if line.startswith("total")).split() == ["total", "79", "81", "121"]
    assert next(line for line in lines if line.startswith("iris")).split() == ["iris", "2.4", "3.4", "4.4"]
    assert next(line for line in lines if line.startswith("flowers")).split()[-1] == "4.4"
    assert lines[-1].startswith("! aws-eu-central-1-2026-01-01: all prices are written from memory")


def test_a_table_fits_eighty_columns(places, monkeypatch, capsys):
    monkeypatch.setattr("mainline.console.width", lambda: 80)
    show_priced(cost(places, ["dev"]))
    table = capsys.readouterr().out.split("! ")[0]
    assert max(len(line.rstrip()) for line in table.splitlines()) <= 80


def test_machines_get_the_same_unrounded(places):
    (found,) = json.loads(_run(places, "--json").stdout)
    assert found["total"] == {
        "min": pytest.approx(79),
        "typical": pytest.approx(81),
        "max": pytest.approx(121),
    }
    assert sum(line["typical"] for line in found["lines"]) == pytest.approx(81)
    assert found["book"]["date"] == "2026-01-01"
    assert "instances" in found["book"]["remembered"]
    assert (found["budget"], found["over"], found["change"]) == (500, [], None)


def test_a_change_is_priced_against_a_revision(places):
    _stack(places, "network: {", "network: {nat: single, ")
    done = _run(places, "dev", "--against", "HEAD")
    assert done.exit_code == 0
    total = next(line for line in done.stdout.splitlines() if line.startswith("total"))
    assert total.split() == ["total", "since", "HEAD", "-10", "-10", "-10"]
    assert "NAT gateways (3)" in done.stdout
    assert "control plane" not in done.stdout


def test_no_change_is_said(places):
    assert "costs what it cost at HEAD" in _run(places, "dev", "--against", "HEAD").stdout


def test_an_environment_that_is_new_counts_whole(places):
    _write(
        places.root, {"Pulumi.next.yaml": STACK.replace("10.0.0.0", "10.9.0.0").replace("1" * 12, "2" * 12)}
    )
    (found,) = cost(places, ["next"], "HEAD")
    assert sum(line.money.typical for line in found.change) == pytest.approx(found.bill.total.typical)


@pytest.mark.parametrize("revision", ["nowhere", "--upload-pack=x", "HEAD~9"])
def test_a_revision_that_is_none_is_refused(places, revision):
    with pytest.raises(Refusal, match=r"^--against .* is no commit here; name a branch, a tag or a commit"):
        cost(places, ["dev"], revision)


def test_a_revision_whose_declarations_are_not_understood_is_refused(places):
    _stack(places, "mainline:registry", "mainline:registri")
    _git(places.root, "commit", "-qam", "broken")
    _stack(places, "monthly: 500", "monthly: 501")
    with pytest.raises(
        Refusal, match=r"--against HEAD: its declarations are not understood now: Pulumi.dev.yaml:"
    ):
        cost(places, ["dev"], "HEAD")


def test_beyond_the_budget_the_exit_code_is_1_and_the_figures_are_said(places):
    _stack(places, "monthly: 500", "monthly: 50")
    done = _run(places, "dev")
    assert done.exit_code == 1
    assert "! cloud.budget.monthly: a usual month costs $81, the budget is $50" in done.stdout


def _checked(places):
    rendered = CliRunner().invoke(app, ["--repo", str(places.root), "render"])
    assert rendered.exit_code == 0, rendered.output
    (found,) = check(places, ["dev"])
    return [(one.object, one.rule, one.message) for one in found.violations]


def test_a_commit_beyond_the_budget_is_refused_by_the_check(places):
    assert _checked(places) == []
    _stack(places, "monthly: 500", "monthly: 50")
    ((where, rule, message),) = _checked(places)
    assert (where, rule) == ("Pulumi.dev.yaml", "budget")
    assert message.startswith("cloud.budget.monthly: a usual month costs $81, the budget is $50")


def test_a_budget_may_be_waived_up_to_a_day(places):
    _stack(places, "monthly: 500", "monthly: 50")
    waiver = "{rule: budget, object: Pulumi.dev.yaml, owner: platform, reason: A month of tests., until: 2126-01-01}"
    _write(places.root, {"policies/waivers.yaml": f"waivers:\n- {waiver}\n"})
    assert _checked(places) == []


def test_a_waiver_is_held_against_the_day_of_the_commit_or_the_day_that_is_given(places):
    rule = "- {rule: network-policies, object: Pod/a/b, owner: platform, reason: Soon., until: 2026-05-05}\n"
    _write(places.root, {"policies/waivers.yaml": f"waivers:\n{rule}"})
    CliRunner().invoke(app, ["--repo", str(places.root), "render"])
    _git(places.root, "add", ".")
    told = ["commit", "-qm", "a waiver"]
    subprocess.run(
        ["git", "-C", str(places.root), "-c", "user.name=a", "-c", "user.email=a@example.com", *told],
        check=True,
        env={"GIT_COMMITTER_DATE": "2026-05-05T23:59:00+0000", "PATH": "/usr/bin:/bin"},
    )
    asked = ["--repo", str(places.root), "check", "dev"]
    assert CliRunner().invoke(app, asked).exit_code == 0
    late = CliRunner().invoke(app, [*asked, "--today", "2026-05-06"])
    assert isinstance(late.exception, Refusal)
    assert "waivers[0].until: 2026-05-05 is over on 2026-05-06" in str(late.exception)


def test_a_waiver_of_a_rule_that_nobody_has_is_refused(places):
    rule = "- {rule: network-policy, object: Pod/a/b, owner: platform, reason: Soon., until: 2126-05-05}\n"
    _write(places.root, {"policies/waivers.yaml": f"waivers:\n{rule}"})
    with pytest.raises(
        Refusal, match=r"'network-policy' is not a known rule; did you mean 'network-policies'\?"
    ):
        check(places, ["dev"])


def test_an_instance_type_without_a_price_is_refused_before_anything_is_made(places):
    _stack(places, "[m7i.large]", "[m7i.larg]")
    reason = "Pulumi.dev.yaml: cloud.pools.main.instances: 'm7i.larg' is not a known instance type"
    with pytest.raises(DeclarationError, match=reason):
        cost(places, [])


def test_an_unknown_environment_is_refused(places):
    with pytest.raises(Refusal, match="unknown environment 'prd'; there are dev"):
        cost(places, ["prd"])


def test_the_newest_book_of_a_region_is_taken(places):
    newer = edited(BOOK, "2026-01-01", "2026-02-02")
    _write(places.root, {"infra/prices/aws-eu-central-1-2026-02-02.yaml": newer})
    assert str(read_prices(places.root).books["eu-central-1"].date) == "2026-02-02"


def test_without_assumptions_it_is_said_where_they_are(places):
    (places.root / "infra/prices/assumptions.yaml").unlink()
    with pytest.raises(Refusal, match=r"infra/prices/assumptions.yaml is missing; git checkout infra/prices"):
        cost(places, [])


def test_a_price_list_file_becomes_the_next_book(places, tmp_path):
    file = tmp_path / "index.csv"
    file.write_text("".join(offer_file(MACHINE)))
    done = _run(places, "--refresh", str(file))
    assert done.stdout == "wrote infra/prices/aws-eu-central-1-2026-03-04.yaml\n"
    assert read_prices(places.root).books["eu-central-1"].instances.types["m7i.large"].hour == 0.1234
    (found,) = cost(places, ["dev"])
    assert found.book.name == "aws-eu-central-1-2026-03-04"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a,b\n", "is no price list file of AWS"),
        (
            "".join(offer_file({**MACHINE, "Region Code": "us-east-1"})),
            "there is no book of us-east-1 to begin with; copy a book",
        ),
    ],
)
def test_another_file_is_refused(places, tmp_path, text, reason):
    (tmp_path / "other.csv").write_text(text)
    with pytest.raises((Refusal, DeclarationError), match=reason):
        refresh(places, tmp_path / "other.csv")


def test_a_file_that_is_not_there_is_refused(places, tmp_path):
    with pytest.raises(Refusal, match=r"--refresh .*none.csv: No such file or directory; name a file"):
        refresh(places, tmp_path / "none.csv")
