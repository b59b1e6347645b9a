"""Each rule lets its allowed samples pass and refuses the others for the reason that they name."""

import re

import pytest

from infra.declarations.repository import load
from infra.render import applications
from policies.evaluate import bound, matches, refusals
from policies.request import ARGO_CD, Request, plural
from tests.infra.samples import tree
from tests.policies.rules import FILES, OWN, ROOT, rules, sample

RULES = rules()


@pytest.mark.parametrize(
    "path", FILES, ids=lambda path: f"{path.parents[1].name}/{path.parent.name}/{path.stem}"
)
def test_a_sample_is_answered_as_its_folder_says(path):
    shown = sample(path)
    said = refusals(RULES[shown.rule], shown.request)
    if shown.allowed:
        assert said == []
    else:
        assert shown.reason
        assert any(message.startswith(shown.reason) for message in said), said
        assert matches(RULES[shown.rule], shown.request)


def test_no_message_has_two_lines_because_the_api_server_would_drop_it():
    refused = [sample(path) for path in FILES if path.parent.name == "refused"]
    said = [message for one in refused for message in refusals(RULES[one.rule], one.request)]
    assert len(said) >= len(refused)
    assert [message for message in said if "\n" in message] == []


@pytest.mark.parametrize("rule", sorted(path.split("/")[1] for path in OWN))
def test_a_rule_is_in_force_and_has_samples_of_both_kinds(rule):
    assert rule in RULES
    for kind in ("allowed", "refused"):
        assert list((ROOT / "policies" / rule / kind).glob("*.yaml")), kind


@pytest.mark.parametrize("rule", sorted(RULES))
def test_each_validation_of_a_rule_is_what_refuses_some_sample(rule):
    """A validation that no sample trips could be wrong, and nobody would notice."""
    policy = RULES[rule]
    refused = [
        sample(path) for path in FILES if path.parents[1].name == rule and path.parent.name == "refused"
    ]
    for validation in policy["spec"]["validations"]:
        alone = {**policy, "spec": {**policy["spec"], "validations": [validation]}}
        assert any(refusals(alone, one.request) for one in refused), validation["expression"]


@pytest.mark.parametrize(
    ("kind", "resource"),
    [
        ("InferenceService", "inferenceservices"),
        ("Gateway", "gateways"),
        ("NetworkPolicy", "networkpolicies"),
        ("HTTPRoute", "httproutes"),
        ("Ingress", "ingresses"),
        ("ValidatingAdmissionPolicy", "validatingadmissionpolicies"),
    ],
)
def test_kinds_become_the_resources_that_rules_name(kind, resource):
    assert plural(kind) == resource


def test_the_rule_that_the_document_shows_is_one():
    shown = re.search(
        r"^```yaml\n(name:.*?)^```", (ROOT / "docs/policies.md").read_text(), re.M | re.S
    ).group(1)
    declared = load({**tree(), "policies/small-jobs/policy.yaml": shown})
    (policy,) = bound(applications(declared, "dev")["platform"])
    for cpu, said in (("4", []), ("8", ["Job big asks for too much; ask for 1, 2 or 4 cores"])):
        containers = [{"name": "train", "resources": {"requests": {"cpu": cpu}}}]
        job = {
            "spec": {"template": {"spec": {"containers": containers}}},
            "apiVersion": "batch/v1",
            "kind": "Job",
        }
        job["metadata"] = {"name": "big", "namespace": "training"}
        assert refusals(policy, Request("CREATE", ARGO_CD, job)) == said
