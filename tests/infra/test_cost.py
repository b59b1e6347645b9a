"""Bills are sums that can be checked by hand, rise with what is declared, and name what has no price."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.cost.bill import Money, grouped
from infra.cost.price import bill, difference, overruns
from infra.declarations.errors import DeclarationError
from infra.declarations.repository import load
from infra.declarations.tree import read_tree
from mainline.cost import priced, read_prices
from tests.infra.prices import ASSUMED, BOOK, NOTHING, assumed, book
from tests.infra.samples import JOB, MODEL, RELEASES, STACK, edited, tree
from tests.repository.tracked import ROOT

POOLS = "pools: {main: {instances: [m7i.large], nodes: {max: 4}}}"
TRAINS = f"{STACK}  mainline:trains: true\n"
SERVER = f"111111111111.dkr.ecr.eu-central-1.amazonaws.com/mainline/v2serve@{'sha256:' + 'e' * 64}"
OWN_IMAGE = f"{STACK}  mainline:images: {{v2serve: '{SERVER}'}}\n"  # functions run no other


def _repository(stack=STACK, release="direct", model=MODEL, job=JOB):
    return load(tree(RELEASES[release] if release else None, stack=stack, model=model, job=job))


def _bill(*, prices=None, told=None, **texts):
    return bill(_repository(**texts), "dev", prices or book(), told or assumed())


def _line(found, what):
    (money,) = (line.money for line in found.lines if line.what == what)
    return money


def _near(money, *amounts):
    assert (money.min, money.typical, money.max) == pytest.approx(amounts)


def test_the_control_plane_costs_its_hours():
    _near(_line(_bill(), "control plane"), 10, 10, 10)


def test_a_gateway_in_each_zone_costs_three_times_the_hours_and_the_same_traffic():
    _near(_line(_bill(), "NAT gateways (3)"), 15, 16, 25)
    single = edited(STACK, "network: {", "network: {nat: single, ")
    _near(_line(_bill(stack=single), "NAT gateways (1)"), 5, 6, 15)


def test_endpoints_cost_one_interface_a_service_and_zone():
    _near(_line(_bill(), "endpoints of AWS services"), 9, 9, 9)


def test_system_machines_range_from_the_fewest_to_the_most():
    _near(_line(_bill(), "system machines"), 2 * (10 + 5), 2 * (10 + 5), 4 * (10 + 5))


def test_spot_machines_cost_a_part_of_the_price_and_whole_disks():
    spot = edited(STACK, "pools:", "system: {capacity: spot}, pools:")
    _near(_line(_bill(stack=spot), "system machines"), 2 * (2 + 5), 2 * (5 + 5), 4 * (10 + 5))


def test_a_database_in_two_zones_costs_twice_its_hours_and_disks():
    two = edited(STACK, "pools:", "database: {storage: 20, storage_max: 100}, pools:")
    _near(_line(_bill(stack=two), "database"), 2 * (10 + 2), 2 * (10 + 2), 2 * (10 + 10))
    one = edited(two, "storage: 20", "multi_az: false, storage: 20")
    _near(_line(_bill(stack=one), "database"), 12, 12, 20)


def test_a_model_pays_its_part_of_a_machine_and_nobody_the_rest():
    found = _bill()
    _near(_line(found, "servers"), *(3 * [(10 + 1) * 0.125]))
    _near(_line(found, "idle machines of the pools"), *(3 * [(10 + 1) * 0.875]))


def test_more_replicas_cost_more_in_the_busiest_month():
    """One to eight of a core each: half a machine, then two and a quarter, then four."""
    model = f"{MODEL}resources: {{cpu: '1', memory: 256Mi}}\nreplicas: {{max: 8}}\n"
    found = _bill(model=model)
    _near(_line(found, "servers"), 11 * 0.5, 11 * 4.5 / 2, 11 * 4)


def test_a_canary_runs_two_versions_and_costs_both():
    once, twice = _bill(), _bill(release="canary")
    assert _line(twice, "servers").max == pytest.approx(2 * _line(once, "servers").max)


def _function(told=None, release="direct", **fields):
    sizes = ", ".join(f"{name}: {value}" for name, value in fields.items())
    model = f"{MODEL}target: lambda\nfunction: {{{sizes}}}\n"
    return _bill(stack=OWN_IMAGE, model=model, release=release, told=told)


def test_calls_of_a_function_cost_each_and_by_the_memory_for_as_long_as_they_take():
    """None; a million of 0.02 s with 2 GB are $1 and 40,000 GB-seconds; ten of 0.1 s are $10 and 2,000,000."""
    found = _function(memory=2048)
    _near(_line(found, "calls of its function"), 0, 1 + 400, 10 + 20_000)
    _near(_line(found, "HTTP API"), 0, 1, 10)


def test_instances_that_are_kept_started_cost_their_memory_all_month():
    """Three of half a GB in 100 hours: 540,000 GB-seconds."""
    _near(_line(_function(memory=512, provisioned=3), "instances kept started"), *(3 * [540]))
    assert "instances kept started" not in {line.what for line in _function().lines}


def test_no_more_calls_are_paid_than_the_ceiling_s_instances_answer():
    """One instance has 360,000 seconds: 3,600,000 calls of 0.1 s, though 10 million come to the HTTP API."""
    found = _function(memory=1024, ceiling=1)
    assert _line(found, "calls of its function").max == pytest.approx(3.6 + 3600)
    assert _line(found, "HTTP API").max == pytest.approx(10)


def test_calls_that_take_no_time_cost_only_their_number():
    told = assumed(edited(ASSUMED, "{min: 0.01, typical: 0.02, max: 0.1}", NOTHING))
    _near(_line(_function(told), "calls of its function"), 0, 1, 10)


def test_a_model_behind_lambda_takes_no_machine_and_its_team_pays_for_calls_and_artifacts():
    found = _function()
    lines = [(line.what, line.team) for line in found.lines if line.model == "iris"]
    assert lines == [(what, "flowers") for what in ("calls of its function", "HTTP API", "artifacts")]
    assert "servers" not in {line.what for line in found.lines}


def test_a_canary_shares_the_calls_of_a_function_and_costs_no_more():
    assert _function(release="canary").total == _function().total


def test_a_function_without_a_release_costs_nothing():
    assert [line for line in _function(release=None).lines if line.model] == []


def test_a_model_without_a_release_costs_nothing():
    assert [line for line in _bill(release=None).lines if line.model] == []


def test_pools_are_filled_in_their_order():
    base = "base: {instances: [m7i.large], nodes: {min: 1, max: 1}}"
    burst = "burst: {instances: [m7i.xlarge], capacity: spot, nodes: {max: 9}}"
    pools = f"pools: {{{base}, {burst}}}"
    model = f"{MODEL}resources: {{cpu: '2', memory: 256Mi}}\nreplicas: {{max: 3}}\n"
    found = _bill(stack=edited(STACK, POOLS, pools), model=model)
    _near(_line(found, "servers"), 11, 4 / 6 * (11 + 11), 11 + 21)


def test_a_run_costs_its_part_of_the_cheapest_machine_that_it_fits_on():
    """Ten runs of half an hour at half a core's price, the busiest month twenty runs to the end."""
    job = f"{JOB}resources: {{cpu: '1', memory: 1Gi}}\ndeadline: 3600\n"
    found = _bill(stack=TRAINS, job=job)
    _near(_line(found, "runs of iris"), 0, 10 * 0.5 * 0.05, 20 * 0.05)
    assert {line.model for line in found.lines if line.group == "training"} == {"iris"}


def test_a_run_on_gpus_costs_its_part_of_a_machine_that_has_some_for_every_node():
    gpu = "gpu: {instances: [g5.xlarge], gpus: true, nodes: {max: 2}}"
    pools = POOLS.removesuffix("}") + f", {gpu}}}"
    job = f"{JOB}image: fleet\ngpus: 1\nnodes: 2\nresources: {{cpu: '1', memory: 1Gi}}\ndeadline: 3600\n"
    found = _bill(stack=edited(TRAINS, POOLS, pools), job=job)
    _near(_line(found, "runs of iris"), 0, 2 * 10 * 0.5 * 1, 2 * 20 * 1)
    assert any(
        "job iris asks for 1 cores, 1 GiB and 1 GPUs" in note for note in _bill(stack=TRAINS, job=job).notes
    )


def test_suspended_jobs_cost_nothing():
    assert [line for line in _bill().lines if line.group == "training"] == []


def test_models_and_teams_are_sums_of_their_lines():
    found = _bill(stack=TRAINS)
    teams = grouped(found.lines, lambda line: line.team)
    models = grouped(found.lines, lambda line: line.model)
    assert set(teams) == {"flowers", "platform"}
    assert set(models) == {"iris"}
    assert sum(money.typical for money in teams.values()) == pytest.approx(found.total.typical)
    assert teams["flowers"] == models["iris"]


@pytest.mark.parametrize("cluster", ["existing", "embedded"])
def test_what_makes_nothing_in_aws_has_no_price(cluster):
    stack = f"config:\n  mainline:cluster: {cluster}\n  mainline:store: s3://a\n  mainline:registry: https://a.example\n"
    found = _bill(stack=stack)
    assert found.lines == ()
    assert found.notes == (f"dev makes nothing in AWS (cluster: {cluster}): no price",)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            "instances: [m7i.large]",
            "instances: [m7i.larg]",
            "cloud.pools.main.instances: 'm7i.larg' is not a known instance type of the price book; did you",
        ),
        (
            "pools:",
            "system: {instances: [x9.huge]}, pools:",
            "cloud.system.instances: 'x9.huge' is not a known",
        ),
        (
            "pools:",
            "database: {instance: db.x1.huge}, pools:",
            "cloud.database.instance: 'db.x1.huge' is not a known database class of",
        ),
        (
            "region: eu-central-1",
            "region: us-east-1",
            "cloud.region: no price book for 'us-east-1'; add infra/prices/aws-us-east-1-<date>.yaml",
        ),
    ],
)
def test_what_the_book_does_not_have_is_named_with_the_fix(old, new, reason):
    with pytest.raises(DeclarationError, match=re.escape(reason)) as refused:
        _bill(stack=edited(STACK, old, new))
    assert str(refused.value).startswith("Pulumi.dev.yaml: ")


def test_an_environment_that_nobody_declared_is_refused():
    with pytest.raises(DeclarationError, match="'prd' is not a known environment"):
        bill(_repository(), "prd", book(), assumed())


def test_what_the_pools_cannot_hold_is_noted():
    model = f"{MODEL}resources: {{cpu: '2', memory: 1Gi}}\nreplicas: {{max: 6}}\n"
    notes = _bill(model=model).notes
    assert "at its most, dev lacks 4.0 cores and 0.0 GiB: more pods wait than the pools may hold" in notes[1]
    large = f"{MODEL}resources: {{cpu: '3', memory: 1Gi}}\n"
    said = "iris asks for 3 cores and 1 GiB, which no machine of dev's pools has"
    assert any(said in note for note in _bill(model=large).notes)
    job = f"{JOB}resources: {{cpu: '16', memory: 1Gi}}\n"
    assert any("job iris asks for 16 cores" in note for note in _bill(stack=TRAINS, job=job).notes)


def test_a_book_says_which_prices_nobody_looked_up():
    assert "all prices are written from memory" in _bill().notes[0]
    half = book(edited(BOOK, "region:", "refreshed: [instances, databases]\nregion:"))
    assert "the prices of eks, nat, endpoint" in _bill(prices=half).notes[0]
    every = book(edited(BOOK, "region:", f"refreshed: [{', '.join(book().remembered)}]\nregion:"))
    assert _bill(prices=every).notes == ()


def test_a_budget_that_a_usual_month_breaks_is_said_with_the_figures_and_the_largest_line():
    declared = _repository(edited(STACK, "monthly: 500", "monthly: 50, teams: {flowers: 1}"))
    cloud = declared.environments["dev"].cloud
    first, second = overruns(bill(declared, "dev", book(), assumed()), cloud.budget)
    assert first == (
        "cloud.budget.monthly: a usual month costs $81, the budget is $50 (most of it system machines at $30); "
        "declare less, or raise the budget in a reviewed commit"
    )
    assert second.startswith(
        "cloud.budget.teams.flowers: a usual month of team flowers costs $3, its budget is $1"
    )


def test_a_budget_as_large_as_a_usual_month_holds():
    declared = _repository(edited(STACK, "monthly: 500", "monthly: 81, teams: {nobody: 1}"))
    assert (
        list(overruns(bill(declared, "dev", book(), assumed()), declared.environments["dev"].cloud.budget))
        == []
    )


def test_a_change_is_the_lines_that_differ():
    before, after = _bill(), _bill(stack=edited(STACK, "network: {", "network: {nat: single, "))
    change = {line.what: line.money.typical for line in difference(before, after)}
    assert change == {"NAT gateways (3)": pytest.approx(-16), "NAT gateways (1)": pytest.approx(6)}
    assert difference(before, before) == ()


def test_a_promotion_costs_what_it_declares():
    change = difference(_bill(release=None), _bill())
    assert {line.model for line in change} == {"", "iris"}
    assert [line.what for line in change if line.model] == ["servers", "artifacts"]


@given(low=st.integers(1, 20), more=st.integers(0, 20), cpu=st.sampled_from(["100m", "500m", "1", "2"]))
def test_a_bill_rises_from_the_quietest_to_the_busiest_month_and_with_replicas(low, more, cpu):
    def served(most):
        model = f"{MODEL}resources: {{cpu: '{cpu}', memory: 256Mi}}\nreplicas: {{min: {low}, max: {most}}}\n"
        return _bill(model=model, stack=edited(STACK, "max: 4", "max: 100")).total

    small, large = served(low + more), served(low + more + 1)
    assert small.min <= small.typical <= small.max
    assert large.max >= small.max - 1e-9


def test_the_months_of_money_add_up_and_have_differences():
    assert Money(1, 2, 3) + Money(1, 1, 1) == Money(2, 3, 4)
    assert Money(1, 2, 3) - Money(1, 1, 4) == Money(0, 1, -1)
    assert Money(1, 2, 3) * 2 == Money(2, 4, 6)
    assert Money().free
    assert not Money(0, 0, 1).free


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("hour: 0.1, cpu: 2", "hour: -0.1, cpu: 2", "instances.types.m7i.large.hour: -0.1 does not fit"),
        ("hour: 0.1, cpu: 2", "cpu: 2", "instances.types.m7i.large.hour: is missing; add 'hour:'"),
        ("m7i.large:", "m7ilarge:", "'m7ilarge' is not an instance type; write it like 'm7i.large'"),
        ("eks: {source: https://example.com/eks, ", "eks: {", "eks.source: is missing; add 'source:'"),
        ("nat:", "natt:", "'natt' is not a known field; did you mean 'nat'?"),
        ('"2026-01-01"', '"January"', "date: 'January' is not a day; write it like"),
    ],
)
def test_a_bad_book_is_refused_with_its_line_and_its_fix(old, new, reason):
    with pytest.raises(DeclarationError, match=re.escape(reason)) as refused:
        book(edited(BOOK, old, new))
    assert all(
        line.startswith("infra/prices/aws-eu-central-1-2026-01-01.yaml:") for line in refused.value.problems
    )


def test_an_assumption_that_falls_is_refused():
    with pytest.raises(
        DeclarationError, match=r"load.typical: 2.0 is not between min 0.0 and max 1.0; mend one"
    ):
        assumed(edited(ASSUMED, "typical: 0.5, max: 1}", "typical: 2, max: 1}"))


def test_the_committed_book_prices_every_environment_of_this_repository_within_its_budget():
    declared, prices = load(read_tree(ROOT)), read_prices(ROOT)
    for env in declared.environments:
        assert priced(declared, env, prices).over == ()


def test_every_price_of_the_committed_book_names_its_page():
    (found,) = read_prices(ROOT).books.values()
    parts = [getattr(found, name) for name in type(found).model_fields]
    pages = [part.source for part in parts if hasattr(part, "source")]
    assert len(pages) == 17
    assert all(page.startswith("https://aws.amazon.com/") for page in pages)
