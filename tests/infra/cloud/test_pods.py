"""What a pod's role may do, and what it may not: each policy as it is registered, put to IAM's decision."""

import json
from typing import Any

import pytest

from tests.infra.cloud.evaluator import allowed
from tests.infra.cloud.graph import Graph, own

ACCOUNT, STORE = "111111111111", "arn:aws:s3:::mainline-dev-models-111111111111"
KEY = f"arn:aws:kms:eu-central-1:{ACCOUNT}:key/1234"
DVC = "arn:aws:s3:::mainline-dev-dvc-111111111111"
Question = tuple[str, str, dict[str, Any]]


@pytest.fixture(scope="module")
def dev() -> Graph:
    return own("dev")


def policies(of: Graph, role: str) -> list[dict[str, Any]]:
    """The role's own policy, and the boundary, which limits it."""
    return [json.loads(item["policy"]) for item in of.one("iam.Role", role).inputs["inlinePolicies"]]


def may(of: Graph, role: str, action: str, resource: str, context: dict[str, Any] | None = None) -> bool:
    boundary = of.one("iam.Policy", "boundary").document("policy")
    given = allowed(policies(of, role), action, resource, context)
    return given and allowed([boundary], action, resource, context)


def key_of(bucket: str, **other: Any) -> dict[str, Any]:
    return {
        "kms:ViaService": "s3.eu-central-1.amazonaws.com",
        "kms:EncryptionContext:aws:s3:arn": bucket,
        "kms:ResourceAliases": ["alias/mainline-dev-data"],
        **other,
    }


MODEL_MAY: dict[str, Question] = {
    "read its artifact": ("s3:GetObject", f"{STORE}/iris/{'a' * 64}/model.onnx", {}),
    "list its artifacts": ("s3:ListBucket", STORE, {"s3:prefix": "iris/"}),
    "list one artifact": ("s3:ListBucket", STORE, {"s3:prefix": f"iris/{'a' * 64}/"}),
    "decrypt what the store holds": ("kms:Decrypt", KEY, key_of(STORE)),
}
MODEL_MAY_NOT: dict[str, Question] = {
    "read another model": ("s3:GetObject", f"{STORE}/production-tabular/x", {}),
    "read a model whose name begins like its own": ("s3:GetObject", f"{STORE}/iris-two/x", {}),
    "read the top of the store": ("s3:GetObject", f"{STORE}/x", {}),
    "read another bucket": ("s3:GetObject", f"{DVC}/iris/x", {}),
    "list the whole store": ("s3:ListBucket", STORE, {}),
    "list another model": ("s3:ListBucket", STORE, {"s3:prefix": "production-tabular/"}),
    "list all that begins like it": ("s3:ListBucket", STORE, {"s3:prefix": "iris"}),
    "write its own bytes": ("s3:PutObject", f"{STORE}/iris/x", {}),
    "delete its own bytes": ("s3:DeleteObject", f"{STORE}/iris/x", {}),
    "delete an old version": ("s3:DeleteObjectVersion", f"{STORE}/iris/x", {}),
    "shorten a lock": ("s3:PutObjectRetention", f"{STORE}/iris/x", {}),
    "decrypt another bucket": ("kms:Decrypt", KEY, key_of(DVC)),
    "decrypt a secret": (
        "kms:Decrypt",
        KEY,
        {**key_of(STORE), "kms:ViaService": "secretsmanager.eu-central-1.amazonaws.com"},
    ),
    "decrypt with another key": (
        "kms:Decrypt",
        KEY,
        {**key_of(STORE), "kms:ResourceAliases": ["alias/mainline-dev-audit"]},
    ),
    "encrypt": ("kms:GenerateDataKey", KEY, key_of(STORE)),
    "read a secret": ("secretsmanager:GetSecretValue", "*", {}),
    "become another role": ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/x", {}),
    "start a machine": ("ec2:RunInstances", "*", {}),
}


@pytest.mark.parametrize("question", MODEL_MAY.values(), ids=MODEL_MAY)
def test_a_model_may(question: Question, dev: Graph) -> None:
    assert may(dev, "mainline-dev-model-iris", *question)


@pytest.mark.parametrize("question", MODEL_MAY_NOT.values(), ids=MODEL_MAY_NOT)
def test_a_model_may_not(question: Question, dev: Graph) -> None:
    assert not may(dev, "mainline-dev-model-iris", *question)


def test_every_model_reads_itself_and_no_other(dev: Graph) -> None:
    names = [
        item.name.removeprefix("mainline-dev-model-")
        for item in dev.of("iam.Role")
        if "-model-" in item.name and item.name.startswith("mainline-dev-model-")
    ]
    assert len(names) == 7
    for one in names:
        read = {o for o in names if may(dev, f"mainline-dev-model-{one}", "s3:GetObject", f"{STORE}/{o}/x")}
        assert read == {one}


def test_a_job_reads_its_own_data_and_fills_nothing(dev: Graph) -> None:
    role = "mainline-dev-job-iris"
    assert may(dev, role, "s3:GetObject", f"{DVC}/iris/files/md5/00/x")
    assert may(dev, role, "kms:Decrypt", KEY, key_of(DVC))
    assert not may(dev, role, "s3:GetObject", f"{DVC}/production-tabular/files/md5/00/x")
    assert not may(dev, role, "s3:PutObject", f"{DVC}/iris/x")
    assert not may(dev, role, "s3:GetObject", f"{STORE}/iris/x")
    assert not may(dev, role, "s3:PutObject", f"{STORE}/iris/x")


def test_where_nothing_trains_jobs_have_no_role() -> None:
    assert not [role for role in own("prod").of("iam.Role") if "-job-" in role.name]


def test_mlflow_keeps_artifacts_and_logs_in_as_one_user_of_its_database(dev: Graph) -> None:
    role, bucket = "mainline-dev-mlflow", "arn:aws:s3:::mainline-dev-mlflow-111111111111"
    user = f"arn:aws:rds-db:eu-central-1:{ACCOUNT}:dbuser:db-ABC"
    assert may(dev, role, "s3:PutObject", f"{bucket}/1/x")
    assert may(dev, role, "kms:GenerateDataKey", KEY, key_of(bucket))
    assert may(dev, role, "rds-db:connect", f"{user}/mlflow")
    assert not may(dev, role, "rds-db:connect", f"{user}/postgres")
    assert not may(dev, role, "s3:DeleteObject", f"{bucket}/1/x")
    assert not may(dev, role, "s3:PutObject", f"{STORE}/iris/x")


@pytest.mark.parametrize(
    ("wrong", "value"),
    [
        ("aws:RequestTag/kubernetes-service-account", "production-tabular"),
        ("aws:RequestTag/kubernetes-namespace", "default"),
        ("aws:SourceArn", f"arn:aws:eks:eu-central-1:{ACCOUNT}:cluster/other"),
        ("aws:SourceAccount", "999999999999"),
    ],
)
def test_only_pods_of_one_service_account_take_a_role(wrong: str, value: str, dev: Graph) -> None:
    trust = [dev.one("iam.Role", "mainline-dev-model-iris").document("assumeRolePolicy")]
    right = {
        "aws:SourceAccount": ACCOUNT,
        "aws:SourceArn": f"arn:aws:eks:eu-central-1:{ACCOUNT}:cluster/mainline-dev",
        "aws:RequestTag/kubernetes-namespace": "models",
        "aws:RequestTag/kubernetes-service-account": "iris",
    }
    asks = ("sts:AssumeRole", "")
    assert allowed(trust, *asks, right, "pods.eks.amazonaws.com")
    assert not allowed(trust, *asks, {**right, wrong: value}, "pods.eks.amazonaws.com")
    assert not allowed(trust, *asks, right, "ec2.amazonaws.com")


def test_a_role_is_given_to_the_service_account_that_the_manifests_make(dev: Graph) -> None:
    pairs = {
        (item.inputs["namespace"], item.inputs["serviceAccount"]): item.inputs["roleArn"]
        for item in dev.of("eks.PodIdentityAssociation")
    }
    role = f"arn:aws:iam::{ACCOUNT}:role/mainline/dev/mainline-dev"
    assert pairs["models", "iris"] == f"{role}-model-iris"
    assert pairs["training", "iris"] == f"{role}-job-iris"
    assert len(pairs) == len(dev.of("eks.PodIdentityAssociation"))
