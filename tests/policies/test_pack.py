"""The pack as Pulumi's engine speaks to it: a process that is asked about a stack over gRPC."""

import os
import subprocess
import sys

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, unknown_checking_proxy

from policies.cloud.registered import default_tags, resource
from policies.cloud.resource import UNKNOWN
from policies.cloud.rules import NAMES
from tests.policies.rules import ROOT

TAGS = {"cost-centre": "a", "environment": "dev", "managed-by": "pulumi", "project": "mainline", "team": "a"}
BUCKET, BLOCK = "aws:s3/bucket:Bucket", "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
DATABASE = {"storageEncrypted": True, "skipFinalSnapshot": True, "tags": TAGS}


@pytest.fixture(scope="module", params=["prod", "dev"])
def pack(request):
    """(the stack, a client of the pack that was started for it)."""
    told = {
        **os.environ,
        "PULUMI_STACK": request.param,
        "PULUMI_PROJECT": "mainline",
        "PULUMI_DRY_RUN": "true",
    }
    command = [sys.executable, "-m", "policies"]
    with subprocess.Popen(command, cwd=ROOT, env=told, stdout=subprocess.PIPE, bufsize=0) as process:
        try:
            port = int(process.stdout.readline())
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield request.param, analyzer_pb2_grpc.AnalyzerStub(channel)
        finally:
            process.kill()


def _one(kind, name, props, **refers):
    found = struct_pb2.Struct()
    found.update(props)
    depends = {
        key: analyzer_pb2.AnalyzerPropertyDependencies(urns=[f"urn:{target}"])
        for key, target in refers.items()
    }
    urn = f"urn:{name}"
    return analyzer_pb2.AnalyzerResource(
        type=kind, name=name, urn=urn, properties=found, propertyDependencies=depends
    )


def _said(client, *resources):
    answer = client.AnalyzeStack(analyzer_pb2.AnalyzeStackRequest(resources=resources), timeout=30)
    return {(one.policyName, one.urn, one.message) for one in answer.diagnostics}


def test_it_says_which_rules_it_has_and_that_each_of_them_blocks(pack):
    info = pack[1].GetAnalyzerInfo(empty_pb2.Empty(), timeout=30)
    assert tuple(one.name for one in info.policies) == NAMES
    assert {one.enforcementLevel for one in info.policies} == {analyzer_pb2.MANDATORY}


def test_a_bucket_alone_is_refused_with_the_reasons(pack):
    said = _said(pack[1], _one(BUCKET, "models", {"bucket": "a", "tags": TAGS}))
    assert {rule for rule, _, _ in said} == {"public-buckets", "unencrypted-buckets", "unversioned-buckets"}
    assert {urn for _, urn, _ in said} == {"urn:models"}
    assert any("models: has no BucketPublicAccessBlock; add one" in message for _, _, message in said)


def test_in_a_preview_what_protects_a_new_bucket_is_known_by_what_it_refers_to(pack):
    switches = dict.fromkeys(
        ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"), True
    )
    bucket = _one(BUCKET, "models", {"bucket": UNKNOWN_STRING_VALUE, "tags": TAGS})
    block = _one(BLOCK, "block", {"bucket": UNKNOWN_STRING_VALUE, **switches}, bucket="models")
    assert "public-buckets" not in {rule for rule, _, _ in _said(pack[1], bucket, block)}
    assert "public-buckets" in {rule for rule, _, _ in _said(pack[1], bucket)}


def test_a_database_without_protection_is_refused_where_the_stack_protects_its_data(pack):
    stack, client = pack
    said = _said(client, _one("aws:rds/instance:Instance", "mlflow", DATABASE))
    assert bool(said) is (stack == "prod"), said


def test_default_tags_are_read_in_the_form_in_which_providers_hold_them():
    assert default_tags({"defaultTags": '{"tags":{"team":"a"}}'}) == {"team": "a"}
    assert default_tags(unknown_checking_proxy({"defaultTags": {"tags": {"team": "a"}}})) == {"team": "a"}
    assert default_tags({}) == default_tags({"defaultTags": "null"}) == {}


def test_values_that_the_engine_does_not_know_are_unknown_wherever_they_are():
    props = unknown_checking_proxy(
        {"a": UNKNOWN_STRING_VALUE, "b": [{"c": UNKNOWN_STRING_VALUE}, 1], "bucket": "x"}
    )
    found = resource("t", "n", props)
    assert found.props == {"a": UNKNOWN, "b": [{"c": UNKNOWN}, 1], "bucket": "x"}
    assert found.names == {"x"}
