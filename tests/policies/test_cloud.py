"""Rules for the cloud: their samples, values that are not known yet, and the kinds that they know."""

import re
from pathlib import Path

import pulumi_aws
import pytest

from infra.declarations.cloud import MANDATORY_TAGS
from infra.declarations.document import read_document
from policies.cloud.registered import resource
from policies.cloud.resource import UNKNOWN, Facts, Resource
from policies.cloud.rules import NAMES, RULES, found
from policies.cloud.tagging import taggable
from tests.policies.rules import ROOT

FILES = sorted((ROOT / "policies/cloud").glob("*/*/*.yaml"))


def asked(path):
    """What the sample's rule says, as `name: message`, and the sample's reason."""
    shown = read_document(path.name, path.read_text()).value
    resources = [_resource(one) for one in shown["resources"]]
    facts = Facts(shown.get("protect", True), MANDATORY_TAGS)
    rule = next(rule for rule in RULES if rule.name == path.parents[1].name)
    return [f"{one.resource.name}: {one.message}" for one in rule.judge(resources, facts)], shown.get(
        "reason"
    )


def _resource(one):
    refers = {name: frozenset([f"urn:{target}"]) for name, target in one.get("refers", {}).items()}
    return resource(one["type"], one["name"], one["props"], f"urn:{one['name']}", refers, one.get("provider"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parents[1].name}/{path.stem}")
def test_a_sample_is_answered_as_its_folder_says(path):
    said, reason = asked(path)
    if path.parent.name == "allowed":
        assert said == []
    else:
        assert reason
        assert any(message.startswith(reason) for message in said), said


@pytest.mark.parametrize("rule", NAMES)
def test_a_rule_has_samples_of_both_kinds(rule):
    for kind in ("allowed", "refused"):
        assert list((ROOT / "policies/cloud" / rule / kind).glob("*.yaml")), kind


def test_no_folder_of_samples_is_without_its_rule():
    assert {path.parents[1].name for path in FILES} == set(NAMES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_message_says_how_to_mend_it(rule):
    for path in (ROOT / "policies/cloud" / rule.name / "refused").glob("*.yaml"):
        for message in asked(path)[0]:
            assert re.search(r"; \w+", message), message
            assert "\n" not in message


@pytest.mark.parametrize(
    "prop", ["storageEncrypted", "deletionProtection", "multiAz", "backupRetentionPeriod"]
)
def test_what_is_not_known_before_it_is_made_is_not_refused(prop):
    props = {
        "storageEncrypted": True,
        "deletionProtection": True,
        "multiAz": True,
        "backupRetentionPeriod": 14,
        "tags": UNKNOWN,
        prop: UNKNOWN,
    }
    database = Resource("aws:rds/instance:Instance", "a", props)
    assert list(found([database], Facts(tags=("team",)))) == []


def test_a_document_that_is_not_known_yet_is_not_refused():
    policy = Resource("aws:iam/policy:Policy", "a", {"policy": UNKNOWN, "tags": UNKNOWN})
    assert list(found([policy], Facts(tags=("team",)))) == []


def _tagged_kinds():
    """The kinds whose class has `tags_all`, in the installed package's own source."""
    for path in Path(pulumi_aws.__file__).parent.glob("*/*.py"):
        text = path.read_text()
        token = re.search(r"'(aws:[\w-]+/\w+:\w+)',\s*resource_name", text)
        if token and "def tags_all(" in text:
            yield token[1]


@pytest.mark.slow
def test_the_list_of_kinds_that_take_tags_is_that_of_pulumi_aws():
    assert set(_tagged_kinds()) == taggable()
