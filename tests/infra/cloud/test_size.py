"""How many resources an environment has, and how long registering them takes."""

import gc
import time

import pytest

from infra.declarations.release import dump_release, release_path
from infra.declarations.repository import Repository
from infra.render import applications
from tests.infra.cloud.graph import ENVIRONMENTS, STACKS, Graph, fleet, graph, own
from tests.infra.samples import RELEASES

_EACH = 2  # resources of a model: its role, and the association that gives the role to its pods
_GOAL = 30.0  # seconds for 500 models
_NOISE = 3  # what else this machine may be doing


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_an_environment_is_some_two_hundred_resources(env: str) -> None:
    assert 100 < len(list(own(env).aws())) < 250


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_every_policy_fits_into_what_iam_takes(env: str) -> None:
    """IAM counts no white space: 10,240 characters of a role's own policies, 2,048 of its trust, 6,144 of a policy."""
    for role in own(env).of("iam.Role"):
        policies = role.inputs.get("inlinePolicies", [])
        assert sum(_counted(policy["policy"]) for policy in policies) <= 10_240, role.name
        assert _counted(role.inputs["assumeRolePolicy"]) <= 2_048, role.name
    for policy in own(env).of("iam.Policy"):
        assert _counted(policy.inputs["policy"]) <= 6_144
    for bucket in own(env).of("s3.BucketPolicy"):
        assert len(bucket.inputs["policy"]) <= 20_480


def _counted(policy: str) -> int:
    return len("".join(policy.split()))


@pytest.mark.slow
def test_500_models_register_within_half_a_minute() -> None:
    found, seconds = _registered(fleet(500))
    assert len(found.resources) == len(own("prod", 7).resources) + _EACH * (500 - 7)
    assert seconds < _GOAL * _NOISE


@pytest.mark.slow
def test_500_released_models_register_with_all_their_manifests_within_half_a_minute() -> None:
    release = dump_release(RELEASES["direct"])
    releases = {release_path(name, "prod"): release for name in fleet(500).models}
    repository = fleet(500, {**STACKS, **releases})
    found, seconds = _registered(repository, manifests=True)
    folders = applications(repository, "prod")
    objects = sum(map(len, folders.values())) + len(folders)  # each folder has a provider of its own
    assert objects > 500 * 10
    assert len(found.resources) == len(own("prod", 7).resources) + _EACH * (500 - 7) + objects
    assert seconds < _GOAL * _NOISE


def _registered(repository: Repository, manifests: bool = False) -> tuple[Graph, float]:
    """And the seconds that it took."""
    gc.disable()  # as the program does
    try:
        started = time.monotonic()
        found = graph(repository, "prod", manifests=manifests)
        return found, time.monotonic() - started
    finally:
        gc.enable()
