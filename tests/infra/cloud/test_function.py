"""Models with `target: lambda`: what the program registers for them, and what is refused before anything is."""

import json
from dataclasses import replace
from typing import Any

import pytest

from infra.declarations.errors import DeclarationError
from infra.declarations.release import Release
from infra.declarations.repository import Repository, load
from infra.iam import functions
from infra.render import applications
from tests.infra.cloud.evaluator import allowed
from tests.infra.cloud.graph import Graph, graph
from tests.infra.samples import MODEL, RELEASES, STACK, only, problems, repository, tree, version

DIGEST = "sha256:" + "e" * 64
HOST = "111111111111.dkr.ecr.eu-central-1.amazonaws.com"
IMAGE = f"{HOST}/mainline/v2serve@{DIGEST}"
FUNCTION = f"{MODEL}target: lambda\nfunction: {{provisioned: 2, ceiling: 5}}\n"
OWN = f"{STACK}  mainline:images: {{v2serve: '{IMAGE}'}}\n"
NAME = "mainline-dev-iris"


def declared(mode: str = "direct", model: str = FUNCTION) -> Repository:
    return repository(mode, model=model, stack=OWN)


def made(mode: str = "direct", **published: str) -> Graph:
    return graph(declared(mode), "dev", published=published)


def alias(of: Graph, name: str) -> dict[str, Any]:
    return of.one("lambda.Alias", name).inputs


def test_a_function_runs_the_image_of_all_models_with_its_release_and_memory() -> None:
    inputs = made().one("lambda.Function", "iris").inputs
    assert (inputs["imageUri"], inputs["packageType"], inputs["publish"]) == (IMAGE, "Image", True)
    assert inputs["imageConfig"] == {"entryPoints": ["python", "-m", "v2serve"], "commands": ["lambda"]}
    assert (inputs["memorySize"], inputs["reservedConcurrentExecutions"]) == (1769, 5)
    told = inputs["environment"]["variables"]
    assert told["V2SERVE_MODEL_DIGEST"] == "sha256:" + "a" * 64
    assert told["V2SERVE_STORAGE_URI"] == "s3://models-dev/iris/" + "a" * 64
    assert told["V2SERVE_MODEL_DIR"] == "/tmp/model"  # noqa: S108


def test_a_model_behind_lambda_has_no_server_in_the_cluster_and_no_pod_takes_its_role() -> None:
    assert "models/iris" not in applications(declared(), "dev")
    found = made()
    assert not [one for one in found.of("eks.PodIdentityAssociation") if one.name == "models/iris"]
    (trust,) = found.one("iam.Role", "mainline-dev-model-iris").document("assumeRolePolicy")["Statement"]
    assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": "111111111111"}}


def test_an_environment_outside_of_aws_serves_it_as_every_other_model() -> None:
    everywhere = repository(model=FUNCTION, stack=f"{STACK}  mainline:cluster: existing\n")
    assert "models/iris" in applications(everywhere, "dev")


def test_a_release_without_a_candidate_has_every_call() -> None:
    live = alias(made(), "iris")
    assert (live["name"], live["functionVersion"]) == ("live", "7")
    assert "routingConfig" not in live


def test_a_canary_s_share_is_the_alias_s_weight_of_the_version_that_is_published_now() -> None:
    found = made("canary", **{"release-aaaaaaaa": "6"})
    live = alias(found, "iris")
    assert live["functionVersion"] == "6"
    assert live["routingConfig"] == {"additionalVersionWeights": {"7": 0.1}}
    told = found.one("lambda.Function", "iris").inputs["environment"]["variables"]
    assert told["V2SERVE_MODEL_DIGEST"] == "sha256:" + "b" * 64
    assert {alias(found, f"iris/{short}")["name"] for short in ("aaaaaaaa", "bbbbbbbb")} == {
        "release-aaaaaaaa",
        "release-bbbbbbbb",
    }


def test_a_canary_next_to_nothing_is_refused_by_the_release_and_the_fix() -> None:
    with pytest.raises(
        DeclarationError, match=r"releases/dev.yaml.*aaaaaaaa was never published.*merge it as stable"
    ):
        made("canary")


def test_a_share_that_changes_changes_nothing_but_the_alias() -> None:
    def with_share(traffic: int) -> dict[tuple[str, str], Any]:
        before = declared("canary")
        release = before.releases["iris", "dev"]
        assert release.candidate
        candidate = release.candidate.model_copy(update={"traffic": traffic})
        after = replace(
            before, releases={("iris", "dev"): Release(stable=release.stable, candidate=candidate)}
        )
        found = graph(after, "dev", published={"release-aaaaaaaa": "6"})
        return {(one.typ, one.name): one.inputs for one in found.resources}

    one, other = with_share(10), with_share(50)
    assert {key for key in one if one[key] != other[key]} == {("aws:lambda/alias:Alias", "iris")}


def test_instances_are_kept_started_for_the_alias() -> None:
    (kept,) = made().of("lambda.ProvisionedConcurrencyConfig")
    assert (kept.inputs["qualifier"], kept.inputs["provisionedConcurrentExecutions"]) == ("live", 2)


def test_the_api_has_the_v2_paths_of_the_model_for_signed_requests_only() -> None:
    found = made()
    routes = {route.inputs["routeKey"]: route.inputs for route in found.of("apigatewayv2.Route")}
    assert set(routes) == {"ANY /v2/models/iris", "ANY /v2/models/iris/{proxy+}"}
    assert {route["authorizationType"] for route in routes.values()} == {"AWS_IAM"}
    (integration,) = found.of("apigatewayv2.Integration")
    assert integration.inputs["payloadFormatVersion"] == "2.0"
    (permission,) = found.of("lambda.Permission")
    assert (permission.inputs["principal"], permission.inputs["qualifier"]) == (
        "apigateway.amazonaws.com",
        "live",
    )
    assert permission.inputs["sourceArn"].endswith("/*/*/v2/models/iris*")


def test_alarms_are_the_model_s_objective_and_reach_people() -> None:
    found = made()
    alarms = {alarm.name: alarm.inputs for alarm in found.of("cloudwatch.MetricAlarm")}
    assert set(alarms) == {"iris/errors", "iris/latency", "iris/throttles"}
    assert alarms["iris/latency"]["threshold"] == 20
    (topic,) = found.of("sns.Topic")
    assert topic.inputs["kmsMasterKeyId"]
    assert {tuple(alarm["alarmActions"]) for alarm in alarms.values()} == {(topic.outputs["arn"],)}
    assert [one.inputs["endpoint"] for one in found.of("sns.TopicSubscription")] == ["ml@example.com"]


def test_logs_are_encrypted_and_end_some_day() -> None:
    logs = [one for one in made().of("cloudwatch.LogGroup") if "functions" in one.inputs["name"]]
    assert {one.inputs["name"] for one in logs} == {"/mainline/dev/functions", "/mainline/dev/functions/iris"}
    assert all(one.inputs["kmsKeyId"] and one.inputs["retentionInDays"] == 30 for one in logs)


def test_its_role_reads_its_own_artifacts_and_writes_its_own_log() -> None:
    cloud = declared().environments["dev"].cloud
    assert cloud is not None
    own = [functions.function(cloud, "dev", "s3://models-dev", "iris")]
    group = "arn:aws:logs:eu-central-1:111111111111:log-group:/mainline/dev/functions/{}:log-stream:x"
    assert allowed(own, "s3:GetObject", "arn:aws:s3:::models-dev/iris/abc/model.onnx")
    assert not allowed(own, "s3:GetObject", "arn:aws:s3:::models-dev/rose/abc/model.onnx")
    assert not allowed(own, "s3:PutObject", "arn:aws:s3:::models-dev/iris/abc/model.onnx")
    assert allowed(own, "logs:PutLogEvents", group.format("iris"))
    assert not allowed(own, "logs:PutLogEvents", group.format("rose"))


def test_where_no_model_wants_lambda_nothing_of_it_is_made() -> None:
    found = graph(repository(stack=OWN), "dev")
    kinds = {one.typ.split("/")[0] for one in found.aws()}
    assert not kinds & {"aws:lambda", "aws:apigatewayv2", "aws:sns"}


@pytest.mark.parametrize(
    ("mode", "stack", "reason"),
    [
        ("shadow", OWN, "candidate.mode: 'shadow' is not what Lambda's aliases can do"),
        ("header", OWN, "candidate.mode: 'header' is not what Lambda's aliases can do"),
        ("direct", STACK, "is not one that Lambda runs"),
        ("direct", OWN.replace(HOST, "quay.io"), "is not one that Lambda runs"),
        ("direct", OWN.replace("s3://models-dev", "gs://models-dev"), "is not S3, where functions read"),
    ],
)
def test_what_lambda_cannot_do_is_refused_at_the_release(mode: str, stack: str, reason: str) -> None:
    found = only(problems(tree(RELEASES[mode], model=FUNCTION, stack=stack)))
    assert found.startswith("model-servers/iris/releases/dev.yaml")
    assert reason in found


def test_more_instances_kept_than_allowed_are_refused() -> None:
    text = f"{MODEL}target: lambda\nfunction: {{provisioned: 6, ceiling: 5}}\n"
    assert "provisioned: 6 is above ceiling 5" in only(problems(tree(model=text, stack=OWN)))


def test_a_release_has_a_name_in_lambda_that_its_digest_gives() -> None:
    found = graph(load(tree(Release(stable=version(3, "c")), model=FUNCTION, stack=OWN)), "dev")
    assert alias(found, "iris/cccccccc")["name"] == "release-cccccccc"
    assert json.loads(found.one("ecr.RepositoryPolicy", "lambda").inputs["policy"])["Statement"][0][
        "Action"
    ] == [
        "ecr:BatchGetImage",
        "ecr:GetDownloadUrlForLayer",
    ]
