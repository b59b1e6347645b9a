"""What a release becomes: servers, their size, and the route that moves."""

from typing import Any

import pytest

from infra.declarations.repository import load
from infra.render import applications
from tests.infra.samples import MODEL, RELEASES, STACK, edited, problems, repository, tree

Objects = dict[str, dict[str, Any]]
STABLE, TRIAL = "iris-aaaaaaaa", "iris-bbbbbbbb"


def objects(mode: str = "direct", app: str = "models/iris", **texts: str) -> Objects:
    """The objects of an application as `Kind/name`."""
    items = applications(repository(mode, **texts), "dev")[app]
    return {f"{item['kind']}/{item['metadata']['name']}": item for item in items}


def predictor(found: Objects, name: str) -> dict[str, Any]:
    spec: dict[str, Any] = found[f"InferenceService/{name}"]["spec"]["predictor"]
    return spec


def rules(found: Objects) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = found["HTTPRoute/iris"]["spec"]["rules"]
    return listed


def test_each_digest_has_a_server_of_its_own() -> None:
    assert [name for name in objects("canary") if name.startswith("Inf")] == [
        f"InferenceService/{STABLE}",
        f"InferenceService/{TRIAL}",
    ]


def test_a_server_is_told_which_bytes_it_may_serve() -> None:
    model = predictor(objects("canary"), TRIAL)["model"]
    told = {item["name"]: item["value"] for item in model["env"]}
    assert told["V2SERVE_MODEL_DIGEST"] == "sha256:" + "b" * 64
    assert told["V2SERVE_MODEL_NAME"] == "iris"
    assert told["V2SERVE_MODEL_VERSION"] == "2"
    assert model["storageUri"] == "s3://models-dev/iris/" + "b" * 64


def _told(**texts: str) -> dict[str, str]:
    model = predictor(objects("canary", **texts), TRIAL)["model"]
    return {item["name"]: item["value"] for item in model["env"]}


def test_a_server_is_told_of_its_lane_where_the_model_differs_from_the_default() -> None:
    serving = "serving: {concurrency: 2, queue: 100000, batch: 32, deadline: 0.5}\n"
    told = _told(model=MODEL + serving)
    assert [told[f"V2SERVE_{name}"] for name in ("CONCURRENCY", "QUEUE", "MAX_BATCH")] == [
        "2",
        "100000",
        "32",
    ]
    assert told["V2SERVE_DEADLINE_SECONDS"] == "0.5"
    assert "V2SERVE_QUEUE" not in _told()


@pytest.mark.parametrize(
    ("cpu", "concurrency", "threads"), [("250m", 1, "1"), ("2500m", 1, "3"), ("8", 2, "4"), ("1", 4, "1")]
)
def test_threads_share_the_cores_that_the_pod_asks_for(cpu: str, concurrency: int, threads: str) -> None:
    serving = f"resources: {{cpu: '{cpu}'}}\nserving: {{concurrency: {concurrency}}}\n"
    assert _told(model=MODEL + serving)["V2SERVE_THREADS"] == threads


def test_a_model_without_a_release_runs_nothing() -> None:
    assert "models/iris" not in applications(load(tree(None)), "dev")


def test_one_backend_takes_everything_without_a_candidate() -> None:
    (rule,) = rules(objects("direct"))
    assert rule["backendRefs"] == [{"name": f"{STABLE}-predictor", "port": 80}]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/v2/models/iris"}}]


def test_a_canary_takes_its_share() -> None:
    (rule,) = rules(objects("canary"))
    shares = {backend["name"]: backend["weight"] for backend in rule["backendRefs"]}
    assert shares == {f"{STABLE}-predictor": 90, f"{TRIAL}-predictor": 10}


def test_a_header_chooses_the_candidate_and_everybody_else_stays() -> None:
    trial, others = rules(objects("header"))
    assert trial["matches"][0]["headers"] == [{"name": "x-track", "type": "Exact", "value": "next"}]
    assert trial["backendRefs"][0]["name"] == f"{TRIAL}-predictor"
    assert others["backendRefs"][0]["name"] == f"{STABLE}-predictor"


def test_a_shadow_gets_copies_and_no_answers() -> None:
    (rule,) = rules(objects("shadow"))
    assert [backend["name"] for backend in rule["backendRefs"]] == [f"{STABLE}-predictor"]
    assert rule["filters"][0]["requestMirror"]["backendRef"]["name"] == f"{TRIAL}-predictor"


def test_a_standby_runs_small_and_gets_no_traffic() -> None:
    found = objects("standby", stack=f"{STACK}  mainline:floor: 3\n")
    assert predictor(found, STABLE)["minReplicas"] == 1
    assert predictor(found, TRIAL)["minReplicas"] == 3
    assert STABLE not in str(rules(found))


def test_a_candidate_starts_as_large_as_what_it_may_replace() -> None:
    found = objects("canary", model=edited(MODEL, "job: iris", "job: iris\nreplicas: {min: 2, max: 5}"))
    sizes = {
        (predictor(found, name)["minReplicas"], predictor(found, name)["maxReplicas"])
        for name in (STABLE, TRIAL)
    }
    assert sizes == {(2, 5)}


def test_the_route_waits_for_the_servers() -> None:
    found = objects("canary")
    waves = {
        name: item["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave")
        for name, item in found.items()
    }
    assert waves["HTTPRoute/iris"] == "1"
    assert waves[f"InferenceService/{STABLE}"] == waves[f"InferenceService/{TRIAL}"] == "0"


def test_an_environment_may_change_how_much_of_a_model_runs() -> None:
    stack = (
        f"{STACK}  mainline:models:\n    iris: {{replicas: {{min: 2, max: 6}}, resources: {{memory: 2Gi}}}}\n"
    )
    spec = predictor(objects(stack=stack), STABLE)
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 6)
    assert spec["model"]["resources"]["requests"] == {"cpu": "250m", "memory": "2Gi"}


def test_the_floor_of_an_environment_raises_the_ceiling_too() -> None:
    spec = predictor(objects(stack=f"{STACK}  mainline:floor: 3\n"), STABLE)
    assert (spec["minReplicas"], spec["maxReplicas"]) == (3, 3)


def test_without_an_autoscaler_nothing_asks_for_one() -> None:
    found = objects(stack=f"{STACK}  mainline:autoscaler: none\n")
    annotations = found[f"InferenceService/{STABLE}"]["metadata"]["annotations"]
    assert annotations["serving.kserve.io/autoscalerClass"] == "none"
    assert not {"maxReplicas", "scaleMetric", "scaleTarget"} & set(predictor(found, STABLE))


def test_a_model_may_be_called_by_the_gateway_and_monitoring_only() -> None:
    spec = objects()["NetworkPolicy/model-iris"]["spec"]
    (rule,) = spec["ingress"]
    callers = [
        peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for peer in rule["from"]
    ]
    assert callers == ["envoy-gateway-system", "monitoring"]
    assert rule["ports"] == [{"port": 8080, "protocol": "TCP"}]
    assert spec["egress"][1] == {"ports": [{"port": 443, "protocol": "TCP"}]}


def test_a_store_on_the_node_needs_no_way_out() -> None:
    stack = edited(STACK, "s3://models-dev", "mainline://store")
    assert len(objects(stack=stack)["NetworkPolicy/model-iris"]["spec"]["egress"]) == 1


AGENT = {
    "to": [{"ipBlock": {"cidr": "169.254.170.23/32"}}],
    "ports": [{"port": 80, "protocol": "TCP"}],
}


@pytest.mark.parametrize(
    ("app", "policy"), [("models/iris", "model-iris"), ("jobs/iris", "job-iris")], ids=["a model", "a job"]
)
def test_only_on_eks_pods_may_ask_its_agent_for_their_identity(app: str, policy: str) -> None:
    egress = {
        cluster: objects(app=app, stack=f"{STACK}  mainline:cluster: {cluster}\n")[f"NetworkPolicy/{policy}"][
            "spec"
        ]["egress"]
        for cluster in ("eks", "existing")
    }
    assert egress["eks"] == [*egress["existing"], AGENT]


@pytest.mark.parametrize(("added", "seconds"), [("", 45), ("  mainline:drain: 600\n", 630)])
def test_a_pod_may_take_longer_to_end_than_to_drain(added: str, seconds: int) -> None:
    found = objects("canary", stack=f"{STACK}{added}")
    assert {predictor(found, name)["terminationGracePeriodSeconds"] for name in (STABLE, TRIAL)} == {seconds}


def test_every_object_of_a_model_says_whose_it_is() -> None:
    labels = [item["metadata"]["labels"] for item in objects("canary").values()]
    assert {label["mainline.dev/model"] for label in labels} == {"iris"}
    assert {label["app.kubernetes.io/managed-by"] for label in labels} == {"mainline"}


@pytest.mark.parametrize("mode", ["shadow"])
def test_a_shadow_is_refused_where_the_gateway_cannot_mirror(mode: str) -> None:
    stack = f"{STACK}  mainline:gateway: {{class: traefik, pods: traefik, mirrors: false}}\n"
    (line,) = problems(tree(RELEASES[mode], stack=stack))
    assert "candidate.mode: 'shadow' needs a gateway that mirrors, and 'traefik' of dev does not" in line


def test_the_domain_and_its_certificate_reach_gateway_and_route() -> None:
    stack = f"{STACK}  mainline:domain: m.example.com\n  mainline:gateway: {{certificate: tls}}\n"
    assert objects(stack=stack)["HTTPRoute/iris"]["spec"]["hostnames"] == ["m.example.com"]
    parent = objects(stack=stack)["HTTPRoute/iris"]["spec"]["parentRefs"][0]
    (listener,) = objects(app="platform", stack=stack)["Gateway/mainline"]["spec"]["listeners"]
    assert (listener["name"], listener["port"], listener["hostname"]) == ("https", 443, "m.example.com")
    assert parent["sectionName"] == listener["name"]


def test_pods_of_a_model_say_where_their_metrics_are() -> None:
    items = applications(repository(), "dev")["models/iris"]
    (annotations,) = (
        item["spec"]["predictor"]["annotations"] for item in items if item["kind"] == "InferenceService"
    )
    assert annotations == {
        "prometheus.io/path": "/metrics",
        "prometheus.io/port": "8080",
        "prometheus.io/scrape": "true",
    }
