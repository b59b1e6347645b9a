"""The rules for the cloud on what this repository's program registers, for every environment, whole and broken."""

from dataclasses import replace
from functools import cache

import pytest

from infra.declarations.cloud import MANDATORY_TAGS
from infra.declarations.document import read_document
from infra.declarations.waiver import Waivers
from policies.cloud.registered import resource
from policies.cloud.resource import Facts
from policies.cloud.rules import found
from policies.waivers import waived
from tests.infra.cloud.graph import ENVIRONMENTS, fleet, graph
from tests.policies.rules import ROOT

WAIVERS = Waivers.model_validate(
    read_document("waivers.yaml", (ROOT / "policies/waivers.yaml").read_text()).value
)


@cache
def registered(env):
    """The resources of an environment as the pack gets them, and what its stack says about them."""
    declared = fleet(7)
    seen = graph(declared, env).resources
    providers = {one.name: one.inputs for one in seen if one.typ.startswith("pulumi:providers:")}
    found = []
    for one in seen:
        provider = providers.get(one.provider.split("::")[-2]) if "::" in one.provider else None
        shown = resource(one.typ, one.name, one.inputs, f"urn:{one.name}", None, provider)
        called = {f"{one.name}-id", str(one.outputs.get("id")), str(one.outputs.get("arn"))}
        found.append(replace(shown, names=shown.names | called))
    return tuple(found), Facts(declared.environments[env].cloud.protect, MANDATORY_TAGS)


def _said(resources, facts):
    return {
        (rule, one.resource.subject)
        for rule, one in found(resources, facts)
        if not waived(WAIVERS.waivers, rule, one.resource.subject)
    }


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_the_program_keeps_every_rule(env):
    resources, facts = registered(env)
    assert len(resources) > 100
    assert _said(resources, facts) == set()


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_every_waiver_is_of_something_that_would_be_refused(env):
    resources, facts = registered(env)
    refused = {(rule, one.resource.subject) for rule, one in found(resources, facts)}
    wanted = {(one.rule, one.object) for one in WAIVERS.waivers if f"/mainline-{env}-" in one.object}
    assert wanted == refused


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", "public-buckets"),
        ("aws:s3/bucketVersioning:BucketVersioning", "unversioned-buckets"),
        (
            "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
            "unencrypted-buckets",
        ),
    ],
)
def test_a_bucket_that_loses_what_protects_it_is_refused(kind, rule):
    resources, facts = registered("prod")
    for lost in [one for one in resources if one.kind == kind]:
        assert {name for name, _ in _said([one for one in resources if one != lost], facts)} == {rule}


@pytest.mark.parametrize(
    ("kind", "change", "rule"),
    [
        ("aws:rds/instance:Instance", {"deletionProtection": False}, "unprotected-databases"),
        ("aws:rds/instance:Instance", {"publiclyAccessible": True}, "unprotected-databases"),
        ("aws:ecr/repository:Repository", {"imageTagMutability": "MUTABLE"}, "moving-images"),
        (
            "aws:iam/role:Role",
            {
                "assumeRolePolicy": '{"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"}]}'
            },
            "iam-wildcards",
        ),
    ],
)
def test_a_change_of_one_field_is_refused(kind, change, rule):
    resources, facts = registered("prod")
    some = next(one for one in resources if one.kind == kind)
    broken = [replace(one, props={**one.props, **change}) if one == some else one for one in resources]
    assert _said(broken, facts) == {(rule, some.subject)}


def test_without_the_provider_s_tags_everything_that_takes_some_is_refused():
    resources, facts = registered("dev")
    said = _said([replace(one, inherited={}) for one in resources], facts)
    assert {rule for rule, _ in said} == {"untagged"}
    assert len(said) > 30
