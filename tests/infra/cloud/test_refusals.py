"""What a stack file cannot ask of AWS, refused with its line, its value and what to do, before anything is made."""

from collections.abc import Mapping

import pulumi
import pytest

from infra.declarations.errors import DeclarationError
from tests.infra.cloud.graph import STACKS, fleet, graph
from tests.infra.samples import STACK, edited, only, problems, tree

REFUSED: dict[str, tuple[str, str, str]] = {
    "an unknown region": (
        "region: eu-central-1",
        "region: eu-centrl-1",
        "cloud.region: 'eu-centrl-1' is not a known region of AWS; did you mean 'eu-central-1'?",
    ),
    "an account with a digit too few": (
        '"111111111111"',
        '"11111111111"',
        "cloud.account: '11111111111' is not an AWS account; write its 12 digits, in quotes",
    ),
    "an account that is a number": ('"111111111111"', "111111111111", "put it in quotes"),
    "no region": ("region: eu-central-1, ", "", "cloud.region: is missing; add 'region:'"),
    "no account": ('account: "111111111111", ', "", "cloud.account: is missing; add 'account:'"),
    "no budget": (", budget: {monthly: 500, emails: [ml@example.com]}", "", "cloud.budget: is missing"),
    "no tags": ("tags: {team: platform, cost_centre: ml}, ", "", "cloud.tags: is missing"),
    "no cost centre": (", cost_centre: ml", "", "cloud.tags.cost_centre: is missing"),
    "a typo": ("pools:", "pool:", "cloud.pool: 'pool' is not a known field; did you mean 'pools'?"),
    "no network": ("cidr: 10.0.0.0/16", "cidr: 10.0.0.0/33", "'10.0.0.0/33' is not a network;"),
    "bits beyond the mask": ("cidr: 10.0.0.0/16", "cidr: 10.0.0.1/16", "has host bits set"),
    "a network that is too small": (
        "cidr: 10.0.0.0/16",
        "cidr: 10.0.0.0/24",
        "cloud.network.cidr: '10.0.0.0/24' does not fit; a VPC of EKS takes /16",
    ),
    "a public network": ("cidr: 10.0.0.0/16", "cidr: 8.8.0.0/16", "'8.8.0.0/16' is public; take one of 10/8"),
    "a network that overlaps the services'": (
        "cidr: 10.0.0.0/16",
        "cidr: 172.20.0.0/20",
        "cloud.control_plane.services: '172.20.0.0/16' overlaps network.cidr '172.20.0.0/20'; take a network",
    ),
    "too few zones": (
        "cidr: 10.0.0.0/16",
        "cidr: 10.0.0.0/16, zones: [a, b]",
        "cloud.network.zones: ['a', 'b'] are too few; write at least 3",
    ),
    "a zone twice": (
        "cidr: 10.0.0.0/16",
        "cidr: 10.0.0.0/16, zones: [a, b, b]",
        "cloud.network.zones: ['a', 'b', 'b'] has a zone twice",
    ),
    "a cluster open to the world": (
        "control_plane: {admins: [admin]}",
        "control_plane: {admins: [admin], public: [0.0.0.0/0]}",
        "cloud.control_plane.public[0]: '0.0.0.0/0' is a large part of the Internet",
    ),
    "a cluster without anybody": (
        "control_plane: {admins: [admin]}, ",
        "",
        "cloud.control_plane: nobody could use the cluster; name roles in control_plane.admins",
    ),
    "a role by its ARN": (
        "admins: [admin]",
        "admins: ['arn:aws:iam::1:role/x']",
        "is not a role; write its path and name, without the ARN",
    ),
    "more machines at least than at most": (
        "nodes: {max: 4}",
        "nodes: {min: 5, max: 4}",
        "cloud.pools.main.nodes.min: 5 is above max 4",
    ),
    "no instance type": ("m7i.large", "large", "'large' is not an instance type; write it like 'm7i.large'"),
    "a budget of nothing": ("monthly: 500", "monthly: 0", "cloud.budget.monthly: 0 does not fit"),
    "a budget that nobody hears of": ("emails: [ml@example.com]", "emails: []", "cloud.budget.emails: "),
    "a database that cannot grow": (
        "budget:",
        "database: {storage: 50, storage_max: 51}, budget:",
        "cloud.database.storage_max: 51 is too near to 50; RDS wants",
    ),
    "a store that S3 would not name so": (
        "s3://models-dev",
        "s3://Models.Dev",
        "store: 'Models.Dev' is no name that S3 takes for a bucket; use 3 to 63",
    ),
    "a store with too long a name": (
        "s3://models-dev",
        f"s3://{'m' * 64}",
        "is no name that S3 takes for a bucket; use 3 to 63",
    ),
    "no cloud at all": (
        "mainline:cluster: existing",
        "mainline:trains: true",
        "cluster: 'eks' has no account to be made in; add 'mainline:cloud:'",
    ),
}
EXISTING = "config:\n  mainline:cluster: existing\n  mainline:store: s3://models\n  mainline:registry: https://m.example.com\n"


@pytest.mark.parametrize(("old", "new", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_cloud_is_refused(old: str, new: str, reason: str) -> None:
    base = EXISTING if old in EXISTING else STACK
    found = problems(tree(stack=edited(base, old, new)))
    assert any(line.startswith("Pulumi.dev.yaml:") and reason in line for line in found), found


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            "region: eu-central-1",
            "region: eu-centrl-1",
            ":2: cloud.region: 'eu-centrl-1' is not a known region",
        ),
        ("config:\n", "config:\n  mainline:cluster: ekss\n", ":2: cluster: 'ekss' is not one of them; write"),
        (
            "config:\n",
            "config:\n  mainline:images: own\n",
            ":2: images: 'own' is not a mapping; write the fields",
        ),
        ("config:\n", "config:\n  mainline:images:\n", ":2: images: None is not a mapping; write the fields"),
        ("mainline:cloud: {", "example:cloud: {", ":1: cluster: 'eks' has no account to be made in; add"),
    ],
)
def test_a_store_that_would_be_named_after_a_wrong_cloud_is_no_second_mistake(
    old: str, new: str, reason: str
) -> None:
    unnamed = edited(STACK, "  mainline:store: s3://models-dev\n", "")
    assert only(problems(tree(stack=edited(unnamed, old, new)))).startswith(f"Pulumi.dev.yaml{reason}")


def _two(**changes: str) -> Mapping[str, str]:
    """Staging beside dev, with a line of its cloud changed."""
    files = dict(STACKS)
    for old, new in changes.items():
        files["Pulumi.staging.yaml"] = edited(files["Pulumi.staging.yaml"], old, new)
    return files


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            '"222222222222"',
            '"111111111111"',
            "cloud.account: '111111111111' is the account of dev too; a slip in one would reach the other",
        ),
        (
            "10.20.0.0/16",
            "10.10.128.0/20",
            "cloud.network.cidr: '10.10.128.0/20' overlaps '10.10.0.0/16' of dev, and could never be connected",
        ),
        (
            'replicate_from: ["111111111111"]',
            "replicate_from: []",
            "cloud.images.replicate_to[0]: '222222222222' is staging, which does not take images of 111111111111",
        ),
    ],
)
def test_environments_that_would_get_into_each_other_s_way_are_refused(
    old: str, new: str, reason: str
) -> None:
    with pytest.raises(DeclarationError) as refused:
        fleet(0, dict(_two(**{old: new})))
    assert any(reason in line for line in refused.value.problems), refused.value.problems


def test_credentials_of_another_account_stop_it_before_anything_is_registered() -> None:
    with pytest.raises(DeclarationError) as refused:
        graph(fleet(1), "dev", account="999999999999")
    (line,) = refused.value.problems
    assert line == (
        "Pulumi.dev.yaml:1: config.mainline:cloud.account: '111111111111' is not the account of these credentials,"
        " '999999999999'; use credentials of 111111111111, or correct the stack file"
    )


def test_without_credentials_it_says_how_to_get_some() -> None:
    with pytest.raises(
        pulumi.RunError, match=r"AWS does not say whose .*: no credentials .*; log in to .*Pulumi.dev.y"
    ):
        graph(fleet(1), "dev", account="")


def test_other_clusters_ask_nothing_of_aws() -> None:
    stacks = {"Pulumi.yaml": STACKS["Pulumi.yaml"], "Pulumi.dev.yaml": EXISTING}
    assert graph(fleet(1, stacks), "dev").resources == ()
