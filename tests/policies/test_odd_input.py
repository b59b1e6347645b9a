"""Whatever a file or a program holds in places that rules read, they answer, and do not fall over."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.declarations.ceiling import Ceilings
from policies.cloud.resource import UNKNOWN, Facts, Resource
from policies.cloud.rules import found
from policies.tree.rules import judged

# Kind -> the places that rules read in it; below them are the others.
KINDS = {
    "CronJob": "jobTemplate",
    "Deployment": "template",
    "InferenceService": "predictor",
    "Job": "template parallelism",
    "NetworkPolicy": "podSelector policyTypes ingress",
    "Pod": "containers",
    "TrainJob": "runtimeRef",
    "TrainingRuntime": "template mlPolicy",
}
INSIDE = [
    *("spec", "template", "metadata", "labels", "model", "containers", "resources", "limits", "matchLabels"),
    *("replicatedJobs", "numNodes", "name", "env", "value"),
]
RESOURCES = {
    "aws:s3/bucket:Bucket": "bucket acl tags tagsAll",
    "aws:s3/bucketAcl:BucketAcl": "bucket acl",
    "aws:s3/bucketPolicy:BucketPolicy": "bucket policy",
    "aws:s3/bucketVersioning:BucketVersioning": "bucket versioningConfiguration",
    "aws:iam/role:Role": "assumeRolePolicy inlinePolicies permissionsBoundary",
    "aws:iam/policy:Policy": "policy name path",
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": "policyArn",
    "aws:ec2/securityGroup:SecurityGroup": "ingress tags",
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": "cidrIpv4 fromPort",
    "aws:rds/instance:Instance": "backupRetentionPeriod multiAz password storageEncrypted",
    "aws:ecr/repository:Repository": "imageTagMutability imageScanningConfiguration",
    "aws:lambda/function:Function": "imageUri",
}
DOCUMENT = [
    *("Statement", "Effect", "Action", "Resource", "Principal", "Condition", "Federated", "StringLike"),
    *("status", "policy", "cidrBlocks"),
]
TEXTS = st.sampled_from(["", "Allow", "*", "1", "{", "::/0", "repo:*"])
LEAVES = st.none() | st.booleans() | st.integers(-3, 400) | TEXTS


def _values(keys, leaves):
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(keys), inner, max_size=3),
        max_leaves=8,
    )


def _places(names, values):
    """Each of these places with something in it, or left out."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names.split(), values))


ODD = _values(INSIDE, LEAVES)
OBJECTS = st.sampled_from(sorted(KINDS)).flatmap(
    lambda kind: (_places(KINDS[kind], ODD) | ODD).map(
        lambda spec: {"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}, "spec": spec}
    )
)
PROPS = _values(DOCUMENT, LEAVES | st.just(UNKNOWN))
STATEMENT = _places("Action Resource Principal Condition NotAction", PROPS).map(
    lambda one: {"Effect": "Allow", **one}
)
MADE = st.sampled_from(sorted(RESOURCES)).flatmap(
    lambda kind: _places(RESOURCES[kind], PROPS | STATEMENT.map(lambda one: {"Statement": one})).map(
        lambda props: Resource(kind, "a", props)
    )
)


@settings(deadline=None)
@given(st.lists(OBJECTS, max_size=3))
def test_rules_of_the_tree_answer_for_objects_of_any_form(objects):
    for _, one in judged(objects, Ceilings(), {}):
        assert one.message


@settings(max_examples=300, deadline=None)
@given(MADE)
def test_rules_for_the_cloud_answer_for_properties_of_any_form(one):
    bucket = Resource("aws:s3/bucket:Bucket", "b", {"bucket": "a"}, "urn:b", {}, frozenset({"a"}))
    for _, said in found([bucket, one], Facts(tags=("team",))):
        assert said.message


@pytest.mark.parametrize(
    "document", ["", "[]", "null", "3", '{"Statement": null}', '{"Statement": [1, {"Effect": "Allow"}]}']
)
def test_policies_that_are_no_policies_are_answered_too(document):
    props = {"assumeRolePolicy": document, "inlinePolicies": [{"policy": document}, 1]}
    policy = Resource("aws:iam/policy:Policy", "b", {"policy": document})
    said = [one for rule, one in found([Resource("aws:iam/role:Role", "a", props), policy], Facts())]
    assert bool(said) is (not document.startswith("{"))
