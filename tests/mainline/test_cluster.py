"""status and verify of a cluster: what the API server answers against what Git names, and every way it says no."""

import json
import sys

import pytest
from typer.testing import CliRunner

from infra.declarations.release import Candidate, Release, ReleasedVersion, dump_release, release_path
from infra.declarations.repository import load
from infra.declarations.tree import read_tree
from infra.manifests.names import service
from infra.render import applications
from mainline.cli import app
from mainline.errors import Refusal
from mainline.git import Git
from mainline.places import Places
from mainline.rendering import rendering
from mainline.status import status as ask_status
from mainline.store import Store
from mainline.truth import stack as read_stack
from mainline.verify import verify
from tests.infra.samples import JOB, JOB_PATH, MODEL, MODEL_PATH, PROJECT
from tests.mainline import cluster
from tests.mainline.artifacts import artifact

FORBIDDEN = (
    'pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "models"'
)


def _version(number, digest):
    return ReleasedVersion(version=number, digest=digest, run="r", code="0123abc", data={}, evidence={})


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A commit with a canary of iris in an environment `live`, whose bytes are in its store."""
    root = tmp_path_factory.mktemp("repository")
    store = tmp_path_factory.mktemp("store")
    digests = [
        artifact(store.parent / f"{store.name}-{number}", model=f"weights {number}".encode(), contract=b"{}")
        for number in (1, 2)
    ]
    for number, digest in enumerate(digests, 1):
        Store(f"file://{store}").put("iris", digest, store.parent / f"{store.name}-{number}")
    stack = f"config:\n  mainline:cluster: existing\n  mainline:store: file://{store}\n"
    stable = _version(1, digests[0])
    candidate = Candidate(**_version(2, digests[1]).model_dump(), mode="canary", traffic=10)
    texts = {
        "Pulumi.yaml": PROJECT,
        "Pulumi.live.yaml": f"{stack}  mainline:registry: https://m.example.com\n",
        MODEL_PATH: MODEL,
        JOB_PATH: JOB,
        release_path("iris", "live"): dump_release(Release(stable=stable, candidate=candidate)),
    }
    for path, text in texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    rendering(Places(root), [], check=False)
    for command in (["init", "-q", "--initial-branch=main"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
        Git(root).run(*command)
    return Places(root), stable, candidate


@pytest.fixture
def live(repository, tmp_path, monkeypatch):
    """The cluster as it is when everything is as Git says."""
    places, stable, candidate = repository
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with cluster.api_server() as found:
        _fill(found, places, stable, candidate)
        (tmp_path / "kubeconfig").write_text(cluster.kubeconfig(("here", found.address)))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        yield found


def _fill(found, places, stable, candidate):
    commit = Git(places.root).resolve("HEAD")
    objects = [
        item for folder in applications(load(read_tree(places.root)), "live").values() for item in folder
    ]
    for item in objects:
        kind = item["kind"]
        if kind == "Application":
            found.lists["applications"].append(cluster.application(item, commit))
        elif kind == "InferenceService":
            found.lists["inferenceservices"].append(cluster.ready(item))
        elif kind == "HTTPRoute":
            found.lists["httproutes"].append(item)
        elif kind == "Gateway":
            address = {"addresses": [{"type": "IPAddress", "value": "127.0.0.1"}]}
            found.lists["gateways"].append({**item, "status": address})
    for shown in (stable, candidate):
        name = service("iris", shown)
        found.lists["pods"] += [cluster.pod(name, 1), cluster.pod(name, 2)]
        found.served |= {f"{name}-predictor-{number}": shown.digest for number in (1, 2)}
    found.gateway["iris"] = stable.digest


def _rows(places):
    return {row["role"]: row for row in ask_status(places, "live")["models"]}


def _run(places, *words):
    return CliRunner().invoke(app, ["--repo", str(places.root), *words])


def _named(found, plural, name):
    return next(item for item in found.lists[plural] if item["metadata"]["name"] == name)


def test_a_cluster_that_is_as_git_says_agrees(repository, live):
    places, _, _ = repository
    done = _run(places, "status", "live")
    assert done.exit_code == 0, done.output
    head = Git(places.root).resolve("HEAD")[:8]
    assert f"environment  live at http://127.0.0.1\ncommit       {head}\n" in done.stdout
    assert [line.split()[:8] for line in done.stdout.splitlines()[3:5]] == [
        ["iris", "stable", "1", repository[1].digest[7:15], "90", "%", "runs", "2/2"],
        ["iris", "candidate", "2", repository[2].digest[7:15], "10", "%", "runs", "2/2"],
    ]
    found = json.loads(_run(places, "status", "live", "--json").stdout)
    assert found["synced"] == found["head"]
    assert (found["asked"], found["warnings"], found["error"]) == (True, [], None)


def test_another_weight_on_the_live_route_is_said_and_does_not_agree(repository, live):
    places, _, _ = repository
    route = json.loads(json.dumps(live.lists["httproutes"][0]))
    weights = route["spec"]["rules"][0]["backendRefs"]
    weights[0]["weight"], weights[1]["weight"] = 50, 50
    live.lists["httproutes"] = [route]
    done = _run(places, "status", "live")
    assert done.exit_code == 1
    assert "50 %, Git says 90 %" in done.stdout
    assert "50 %, Git says 10 %" in done.stdout


def test_a_route_that_is_gone_gives_nobody_traffic(repository, live):
    live.lists["httproutes"] = []
    assert {row["live_traffic"] for row in _rows(repository[0]).values()} == {"none"}


def test_a_server_that_does_not_get_ready_says_why_in_its_pods_words(repository, live):
    places, _, candidate = repository
    name = service("iris", candidate)
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}}
    ended = {"terminated": {"message": "v2serve: sha256:1 is not sha256:2\n"}}
    broken = cluster.pod(name, 1, "False", initContainerStatuses=[{"state": waiting, "lastState": ended}])
    others = [item for item in live.lists["pods"] if not item["metadata"]["name"].startswith(name)]
    live.lists["pods"] = [*others, broken]
    services = live.lists["inferenceservices"]
    live.lists["inferenceservices"] = [
        cluster.ready(item, "False", "predictor is not ready") if item["metadata"]["name"] == name else item
        for item in services
    ]
    row = _rows(places)["candidate"]
    assert (row["running"], row["pods"]) == (False, "0/1")
    assert row["reason"] == (
        f"{name}: {name}-predictor-1: CrashLoopBackOff: v2serve: sha256:1 is not sha256:2"
    )
    assert _run(places, "status", "live").exit_code == 1


def test_without_words_of_a_pod_kserves_condition_is_the_reason(repository, live):
    places, stable, _ = repository
    name = service("iris", stable)
    item = cluster.ready(_named(live, "inferenceservices", name), "False", "Deployment has no replicas")
    live.lists["inferenceservices"] = [item]
    live.lists["pods"] = []
    assert _rows(places)["stable"]["reason"] == f"{name}: Deployment has no replicas"
    assert _rows(places)["candidate"]["running"] is False


def test_a_pod_that_leaves_is_not_counted(repository, live):
    live.lists["pods"][0]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert _rows(repository[0])["stable"]["pods"] == "1/1"


def test_a_server_that_git_names_no_more_is_shown_while_it_serves(repository, live):
    old = json.loads(json.dumps(live.lists["inferenceservices"][0]))
    old["metadata"]["name"] = "iris-00000000"
    live.lists["inferenceservices"].append(old)
    live.lists["pods"].append(cluster.pod("iris-00000000", 1))
    row = _rows(repository[0])["earlier"]
    assert (row["running"], row["pods"], row["traffic"]) == (True, "1/1", "none")


def test_an_application_that_lags_is_a_warning_with_its_commit(repository, live):
    places, _, _ = repository
    state = {"sync": {"status": "OutOfSync", "revision": "f" * 40}, "health": {"status": "Degraded"}}
    state["operationState"] = {"phase": "Failed", "message": "one or more objects failed to apply"}
    model = _named(live, "applications", "model-iris")
    live.lists["applications"] = [
        cluster.application(item, "a" * 40, **(state if item is model else {}))
        for item in live.lists["applications"]
    ]
    found = ask_status(places, "live")
    assert found["synced"] is None
    assert found["warnings"] == [
        "context here: model-iris is OutOfSync at ffffffff and Degraded: one or more objects failed to apply"
    ]


def test_what_argo_cd_cannot_compare_is_an_error(repository, live):
    places, _, _ = repository
    condition = {"type": "ComparisonError", "message": "repository not found:\n  ssh: no route"}
    live.lists["applications"][0]["status"]["conditions"] = [condition]
    done = _run(places, "status", "live")
    assert done.exit_code == 1
    assert "ComparisonError: repository not found: ssh: no route" in done.stdout


def test_offline_asks_nobody(repository, live):
    done = _run(repository[0], "status", "live", "--offline")
    assert done.exit_code == 0
    assert "not asked" in done.stdout
    assert live.asked == []


def test_verify_asks_every_pod_and_the_gateway(repository, live):
    places, stable, candidate = repository
    found = verify(places, "live", None, gateway=live.address)
    assert [(one.role, one.live, one.store, one.rendered) for one in found] == [
        ("stable", "ok", "ok", "ok"),
        ("candidate", "ok", "ok", "ok"),
    ]
    asked = [path.split("http:")[1].split(":")[0] for path, _ in live.asked if "/proxy/" in path]
    assert asked == [f"{service('iris', one)}-predictor-{n}" for one in (stable, candidate) for n in (1, 2)]


def test_one_pod_with_other_bytes_is_named(repository, live):
    places, stable, _ = repository
    name = f"{service('iris', stable)}-predictor-2"
    live.served[name] = "sha256:" + "0" * 64
    done = _run(places, "verify", "live", "--gateway", live.address)
    assert done.exit_code == 1
    assert f"pod {name} serves sha256:0000" in done.stdout


def test_a_gateway_without_an_answer_is_named_by_the_address_of_its_status(repository, live):
    listener = live.lists["gateways"][0]["spec"]["listeners"][0]
    listener["port"] = 9  # where nobody listens
    stable, _ = verify(repository[0], "live", None)
    assert stable.live.startswith("no answer at the gateway http://127.0.0.1:9: ")
    live.lists["gateways"] = []
    stable, _ = verify(repository[0], "live", None)
    assert stable.live == "no gateway is known; make up starts it here, --gateway URL names one"


def test_a_declared_host_is_asked_for_at_the_address_that_is_given(repository, live):
    from mainline.cluster.servers import ClusterServers
    from mainline.servers import routed

    servers = ClusterServers(None, None, live.address, "models.example.com")
    assert routed("iris", servers, {live.gateway["iris"]}) == "ok"
    assert live.asked == [("/v2/models/iris", "models.example.com")]


def test_a_gateway_that_answers_from_elsewhere_is_said(repository, live):
    live.gateway["iris"] = "sha256:" + "0" * 64
    stable, candidate = verify(repository[0], "live", None, gateway=live.address)
    assert stable.live == "the gateway answers from sha256:" + "0" * 64
    assert candidate.live == "ok"


@pytest.mark.parametrize(
    ("code", "message"),
    [(403, 'cannot get resource "pods/proxy"'), (503, "error trying to reach service: i/o timeout")],
)
def test_pods_that_may_not_be_asked_are_noted_and_not_held_against_git(repository, live, code, message):
    places, stable, _ = repository
    live.refused["proxy"] = cluster.status(code, "Any", message)
    done = _run(places, "verify", "live", "--gateway", live.address)
    assert done.exit_code == 0
    pod = f"{service('iris', stable)}-predictor-2"
    said = f"! iris stable: {pod} is ready with this digest, but could not be asked: HTTP {code}: {message}"
    assert said in done.stdout


def test_an_inference_service_of_another_digest_under_the_same_name_is_said(repository, live):
    places, stable, _ = repository
    item = json.loads(json.dumps(_named(live, "inferenceservices", service("iris", stable))))
    told = item["spec"]["predictor"]["model"]["env"]
    next(one for one in told if one["name"] == "V2SERVE_MODEL_DIGEST")["value"] = "sha256:" + "0" * 64
    live.lists["inferenceservices"] = [item]
    first, second = verify(places, "live", None, gateway=live.address)
    assert first.live == "the InferenceService names sha256:" + "0" * 64
    assert second.live == "nothing runs"
    assert _rows(places)["stable"]["running"] is False


def test_what_runs_without_a_release_is_a_stranger(repository, live):
    item = json.loads(json.dumps(live.lists["inferenceservices"][0]))
    item["metadata"]["name"] = "wine-00000000"
    live.lists["inferenceservices"].append(item)
    found = verify(repository[0], "live", None, gateway=live.address)
    assert [(one.model, one.live) for one in found if one.role == "stranger"] == [
        ("wine-00000000", "runs with 0 of 0 pods ready, but no release names it")
    ]


def test_an_object_without_a_status_is_not_ready_rather_than_an_error(repository, live):
    for plural in ("inferenceservices", "applications", "pods"):
        for item in live.lists[plural]:
            item.pop("status", None)
    rows = _rows(repository[0])
    assert {row["running"] for row in rows.values()} == {False}
    assert {row["health"] for row in rows.values()} == {"Unknown"}


@pytest.mark.parametrize(
    ("plural", "refusal", "words"),
    [
        ("pods", cluster.status(403, "Forbidden", FORBIDDEN), f"forbids it: {FORBIDDEN}; ask for a role"),
        (
            "applications",
            cluster.status(401, "Unauthorized", "Unauthorized"),
            "does not know you (401); log in",
        ),
        (
            "inferenceservices",
            (404, "404 page not found\n"),
            "has no inferenceservices of serving.kserve.io/v1beta1; install their CRDs",
        ),
        ("httproutes", (500, "boom"), "answers httproutes with HTTP 500: boom"),
        ("gateways", (200, "<html>"), "answers gateways with something that is no list of objects"),
    ],
)
def test_what_the_api_server_does_not_give_is_one_line(repository, live, plural, refusal, words):
    live.refused[plural] = refusal
    with pytest.raises(Refusal) as refused:
        ask_status(repository[0], "live")
    assert str(refused.value).startswith(f"the API server {live.address} of context 'here' {words}")
    assert "\n" not in str(refused.value)


def test_a_cluster_of_another_environment_is_refused(repository, live):
    live.lists["applications"] = [
        json.loads(json.dumps(item).replace("clusters/live/", "clusters/prod/"))
        for item in live.lists["applications"]
    ]
    with pytest.raises(Refusal, match="has no Application of clusters/live/, it serves prod; use --context"):
        ask_status(repository[0], "live")


def test_no_kubeconfig_is_one_line_that_says_how_to_get_one(repository, tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(
        Refusal, match=r"^no cluster for live: .*none: .*; set KUBECONFIG, or write one \(on EKS"
    ):
        ask_status(repository[0], "live")


@pytest.mark.parametrize("text", ["a: [", "[]", "clusters: 3\ncontexts: 4\n", "\0"])
def test_a_broken_kubeconfig_is_one_line(repository, tmp_path, monkeypatch, text):
    (tmp_path / "broken").write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "broken"))
    with pytest.raises(Refusal, match=r"^no cluster for live: ") as refused:
        ask_status(repository[0], "live")
    assert "\n" not in str(refused.value)


def test_an_api_server_that_is_down_is_said_within_seconds(repository, tmp_path, monkeypatch):
    with cluster.api_server() as gone:
        pass
    (tmp_path / "kubeconfig").write_text(cluster.kubeconfig(("down", gone.address)))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    with pytest.raises(Refusal, match=r"of context 'down' cannot be reached: .*refused.*; is it up"):
        ask_status(repository[0], "live")


def test_without_the_package_it_is_said_how_to_get_it(repository, live, monkeypatch):
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(
        Refusal, match=r"^a cluster is read with the package kubernetes: .*; run make test once"
    ):
        ask_status(repository[0], "live")


def test_the_context_is_the_named_one_then_that_of_the_environment_then_the_current(
    repository, live, tmp_path, monkeypatch
):
    places, _, _ = repository
    dead = "http://127.0.0.1:9"
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(cluster.kubeconfig(("current", dead), ("mainline-live", live.address)))
    assert ask_status(places, "live")["asked"]
    kubeconfig.write_text(cluster.kubeconfig(("mainline-live", dead), ("named", live.address)))
    assert ask_status(places, "live", context="named")["asked"]
    with pytest.raises(Refusal, match=r"'nobody' is no context of .*; there are mainline-live, named"):
        ask_status(places, "live", context="nobody")


def test_a_stack_that_sizes_a_model_is_read_by_itself(tmp_path):
    (tmp_path / "Pulumi.yaml").write_text(PROJECT)
    stack = "config:\n  mainline:cluster: existing\n  mainline:store: s3://m\n  mainline:registry: https://m.example.com\n"
    (tmp_path / "Pulumi.big.yaml").write_text(
        f"{stack}  mainline:models: {{iris: {{replicas: {{max: 8}}}}}}\n"
    )
    assert read_stack(Places(tmp_path), "big").models["iris"].replicas.max == 8
    with pytest.raises(Refusal, match=r"unknown environment 'small': no Pulumi\.small\.yaml; there are big"):
        read_stack(Places(tmp_path), "small")


def test_an_address_without_a_scheme_is_refused(repository):
    with pytest.raises(Refusal, match="--gateway localhost:80: is no address of a gateway; write http://"):
        verify(repository[0], "live", None, gateway="localhost:80")
