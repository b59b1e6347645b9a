"""The rules and what is rendered fit: Argo CD may bring every object, a person may touch none that serves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.manifests.manifest import identity
from mainline.check import create
from policies.evaluate import refusals
from policies.request import ARGO_CD, ORDINARY, Request, User
from tests.infra.samples import RELEASES, STACK
from tests.policies.rules import folders, rules

GUARDED = {
    "ClusterServingRuntime",
    "ClusterStorageContainer",
    "HTTPRoute",
    "InferenceService",
    "Job",
    "NetworkPolicy",
    "PodDisruptionBudget",
}
OBJECTS = [item for objects in folders("canary").values() for item in objects]
ONLY_GIT = rules("canary")["only-git"]


def _changes(item, user):
    space = create(user, item, OBJECTS).namespace
    yield Request("CREATE", user, item, namespace=space)
    yield Request("UPDATE", user, item, item, namespace=space)
    yield Request("DELETE", user, None, item, namespace=space)


@pytest.mark.parametrize("mode", RELEASES)
def test_argo_cd_may_create_and_change_every_object_of_every_rollout(mode):
    objects = [item for folder in folders(mode).values() for item in folder]
    for policy in rules(mode).values():
        for item in objects:
            for request in list(_changes(item, ARGO_CD))[:2]:
                assert refusals(policy, request) == [], identity(item)


def test_argo_cd_may_prune_every_object():
    for policy in rules("canary").values():
        for item in OBJECTS:
            assert refusals(policy, Request("DELETE", ARGO_CD, None, item)) == [], identity(item)


@pytest.mark.parametrize("item", [item for item in OBJECTS if item["kind"] in GUARDED], ids=identity)
def test_a_person_may_neither_create_nor_change_nor_delete_what_serves(item):
    for request in _changes(item, ORDINARY):
        (said,) = refusals(ONLY_GIT, request)
        name, kind = item["metadata"]["name"], item["kind"]
        assert said.startswith(f"{request.operation} of {kind} {name} by alice: only a commit changes it")


def test_every_kind_that_is_guarded_is_rendered():
    assert {item["kind"] for item in OBJECTS} >= GUARDED


@given(
    name=st.text(min_size=1, max_size=80),
    groups=st.lists(st.sampled_from(["system:authenticated", "system:serviceaccounts", "mainline:platform"])),
)
def test_no_name_that_is_not_listed_passes(name, groups):
    agents = next(v for v in ONLY_GIT["spec"]["variables"] if v["name"] == "agents")["expression"]
    item = next(item for item in OBJECTS if item["kind"] == "InferenceService")
    request = Request("DELETE", User(name, tuple(groups)), None, item)
    assert bool(refusals(ONLY_GIT, request)) is (f"'{name}'" not in agents)


def test_images_with_a_port_and_a_digest_are_known_without_their_tag():
    images = "{v2serve: 'localhost:5000/a/v2serve:1', training: 'training@sha256:%s', fleet: 'f:1'}" % (
        "a" * 64
    )
    stack = f"{STACK}  mainline:images: {images}\n"
    first = rules(stack=stack)["known-images"]["spec"]["variables"][0]
    assert first == {"name": "repositories", "expression": "['f', 'localhost:5000/a/v2serve', 'training']"}


def test_the_rules_come_before_the_namespaces_they_guard():
    waves = {
        item["kind"]: int(item["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"])
        for item in folders()["platform"]
        if "argocd.argoproj.io/sync-wave" in item["metadata"].get("annotations", {})
    }
    assert (
        waves["ValidatingAdmissionPolicy"] == waves["ValidatingAdmissionPolicyBinding"] < waves["Namespace"]
    )
