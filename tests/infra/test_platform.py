"""The platform, the training Jobs and the Applications of Argo CD."""

from itertools import combinations, product
from typing import Any

import pytest

from infra.declarations.repository import load
from infra.render import applications
from tests.infra.samples import JOB, PARTS_STACK, RELEASES, STACK, edited, only, problems, repository, tree


def _job(**texts: str) -> dict[str, Any]:
    items = applications(repository(**texts), "dev")["jobs/iris"]
    return next(item for item in items if item["kind"] == "Job")


def _named(app: str, **texts: str) -> dict[str, dict[str, Any]]:
    items = applications(repository(**texts), "dev")[app]
    return {f"{item['kind']}/{item['metadata']['name']}": item for item in items}


def _containers(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [found for item in value for found in _containers(item)]
    if not isinstance(value, dict):
        return []
    own = [value] if "image" in value and "command" in value else []
    return own + [found for item in value.values() for found in _containers(item)]


def test_every_container_meets_the_restricted_standard() -> None:
    found = _containers([*applications(repository(), "dev").values()])
    assert {item["name"] for item in found} == {"kserve-container", "sources", "storage-initializer", "train"}
    for item in found:
        security = item["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert set(item["resources"]) == {"limits", "requests"}


def test_namespaces_enforce_the_restricted_standard_and_deny_all_traffic() -> None:
    found = _named("platform")
    for name in ("models", "training"):
        labels = found[f"Namespace/{name}"]["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    walls = [item for name, item in found.items() if name == "NetworkPolicy/default-deny"]
    assert walls[0]["spec"] == {"podSelector": {}, "policyTypes": ["Egress", "Ingress"]}


def test_the_fetcher_takes_the_uris_of_this_store_only() -> None:
    fetcher = _named("platform")["ClusterStorageContainer/v2serve-fetch"]
    assert fetcher["spec"]["supportedUriFormats"] == [{"prefix": "s3://models-dev/"}]


def test_a_job_runs_only_where_the_environment_trains() -> None:
    assert _job()["spec"]["suspend"] is True
    assert "suspend" not in _job(stack=f"{STACK}  mainline:trains: true\n")["spec"]


def test_a_job_runs_on_a_copy_of_its_sources_because_the_image_is_read_only() -> None:
    pod = _job()["spec"]["template"]["spec"]
    (copy,), (train,) = pod["initContainers"], pod["containers"]
    assert copy["command"] == ["cp", "-R", "training-jobs", "model-servers", "/work"]
    assert copy["image"] == train["image"]
    assert (train["workingDir"], train["command"][-1]) == ("/work", "training-jobs/iris")


def test_a_job_is_named_by_its_inputs() -> None:
    names = {
        "same": _job()["metadata"]["name"],
        "declaration": _job(job=edited(JOB, "model: iris", "model: iris\nretries: 0"))["metadata"]["name"],
        "image": _job(stack=f"{STACK}  mainline:images: {{training: 'mainline/training:9'}}\n")["metadata"][
            "name"
        ],
    }
    for file in ("train.py", "params.yaml", "dvc.yaml"):
        changed = load(tree() | {f"training-jobs/iris/{file}": "x: 1\n"})
        names[file] = applications(changed, "dev")["jobs/iris"][2]["metadata"]["name"]
    assert len(set(names.values())) == 6
    assert all(name.startswith("iris-") and len(name) == len("iris-") + 8 for name in names.values())


def _variants() -> list[dict[str, Any]]:
    """Jobs of environments and declarations that differ in one or more places."""
    stacks = [
        f"{edited(STACK, 'https://mlflow.example.com', registry)}  mainline:trains: {trains}\n{more}"
        for registry, trains, more in product(
            ("https://mlflow.example.com", "http://mlflow.dev.example.com:5000"),
            ("false", "true"),
            ("", "  mainline:images: {training: 'mainline/training:9'}\n", "  mainline:cluster: existing\n"),
        )
    ]
    jobs = [JOB] + [f"{JOB}{line}\n" for line in ("retries: 0", "deadline: 60", "resources: {cpu: '2'}")]
    return [_job(stack=stack, job=job) for stack, job in product(stacks, jobs)]


def _immutable(job: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in job["spec"].items() if key != "suspend"}


def test_jobs_that_differ_in_anything_but_suspend_have_different_names() -> None:
    """Kubernetes refuses another template under the same name, for ever."""
    pairs = list(combinations(_variants(), 2))
    differing = [(one, other) for one, other in pairs if _immutable(one) != _immutable(other)]
    assert len(differing) > 1000
    assert [
        (one, other) for one, other in differing if one["metadata"]["name"] == other["metadata"]["name"]
    ] == []


def test_another_registry_is_another_job() -> None:
    moved = edited(STACK, "https://mlflow.example.com", "https://registry.example.com")
    assert _job(stack=moved)["metadata"]["name"] != _job()["metadata"]["name"]


def test_an_environment_that_begins_to_train_resumes_the_same_job() -> None:
    running = _job(stack=f"{STACK}  mainline:trains: true\n")
    assert (running["metadata"]["name"], _immutable(running)) == (
        _job()["metadata"]["name"],
        _immutable(_job()),
    )


def test_a_job_is_not_renamed_by_what_it_writes() -> None:
    files = tree() | {"training-jobs/iris/dvc.lock": "a: 1\n", "training-jobs/iris/notes.yaml": "a: 1\n"}
    assert applications(load(files), "dev")["jobs/iris"][2]["metadata"]["name"] == _job()["metadata"]["name"]


def test_no_retries_is_written_down() -> None:
    assert _job(job=edited(JOB, "model: iris", "model: iris\nretries: 0"))["spec"]["backoffLimit"] == 0


def test_each_folder_has_an_application_that_heals_and_prunes() -> None:
    found = _named("argocd")
    paths = {
        item["spec"]["source"]["path"] for name, item in found.items() if name.startswith("Application/")
    }
    assert paths == {f"clusters/dev/{folder}" for folder in applications(repository(), "dev")}
    for name, item in found.items():
        if name.startswith("Application/"):
            assert item["spec"]["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True}
            assert "PruneLast=true" in item["spec"]["syncPolicy"]["syncOptions"]
            assert item["spec"]["syncPolicy"]["retry"]["refresh"] is True


def test_the_platform_comes_before_the_models() -> None:
    found = _named("argocd")
    wave = {
        name: int(item["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave", 0))
        for name, item in found.items()
    }
    assert wave["Application/platform"] < wave["Application/model-iris"]


def _server(**texts: str) -> dict[str, Any]:
    (server,) = _named("platform", **texts)["ClusterServingRuntime/v2serve"]["spec"]["containers"]
    found: dict[str, Any] = server
    return found


@pytest.mark.parametrize(("added", "seconds"), [("", "15"), ("  mainline:drain: 1\n", "1")])
def test_a_server_drains_as_long_as_the_environment_says(added: str, seconds: str) -> None:
    told = {item["name"]: item["value"] for item in _server(stack=f"{STACK}{added}")["env"]}
    assert told["V2SERVE_DRAIN_SECONDS"] == seconds


def test_a_probe_waits_five_seconds_for_its_answer() -> None:
    server = _server()
    assert [server[f"{kind}Probe"]["timeoutSeconds"] for kind in ("liveness", "readiness")] == [5, 5]


def test_a_large_model_has_five_minutes_to_load_before_it_is_restarted() -> None:
    startup = _server()["startupProbe"]
    assert startup["failureThreshold"] * startup["periodSeconds"] == 300
    assert startup["httpGet"] == _server()["readinessProbe"]["httpGet"]


def _waves() -> dict[str, int]:
    return {
        name: int(item["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"])
        for name, item in _named("argocd").items()
    }


def test_the_health_checks_and_the_project_come_before_the_applications_that_need_them() -> None:
    waves = _waves()
    assert waves.pop("ConfigMap/argocd-cm") == -51
    assert waves.pop("AppProject/mainline") == -50
    assert min(waves.values()) > -50


def test_the_root_comes_last_in_its_own_folder_so_that_nothing_waits_for_it() -> None:
    waves = _waves()
    root = waves.pop("Application/mainline-dev")
    assert root > max(waves.values())


def test_the_root_is_in_a_project_that_every_argo_cd_has_and_the_others_in_ours() -> None:
    projects = {
        name: item["spec"]["project"]
        for name, item in _named("argocd").items()
        if name.startswith("Application/")
    }
    assert projects.pop("Application/mainline-dev") == "default"
    assert set(projects.values()) == {"mainline"}


def test_a_retry_applies_everything_so_that_it_waits_for_a_server_that_is_not_ready() -> None:
    """With ApplyOutOfSyncOnly a second attempt moved the route to a server that never started."""
    for name, item in _named("argocd").items():
        if name.startswith("Application/"):
            assert item["spec"]["syncPolicy"]["syncOptions"] == [
                "ServerSideApply=true",
                "PruneLast=true",
                "PrunePropagationPolicy=foreground",
            ]


def test_a_sync_ends_when_what_it_pruned_is_gone_and_not_before() -> None:
    """A hook after the prune; else the next commit may apply to what is still leaving, and wait for ever."""
    hook = _named("models/iris")["ConfigMap/iris-pruned"]
    assert hook["metadata"]["annotations"] == {
        "argocd.argoproj.io/hook": "PostSync",
        "argocd.argoproj.io/hook-delete-policy": "HookSucceeded",
    }
    assert set(hook) == {"apiVersion", "kind", "metadata"}


def test_a_failed_sync_is_tried_for_ever_with_the_newest_commit_and_soon() -> None:
    retry = _named("argocd")["Application/model-iris"]["spec"]["syncPolicy"]["retry"]
    assert (retry["limit"], retry["refresh"], retry["backoff"]["maxDuration"]) == (-1, True, "20s")


def test_the_server_compares_everything_but_applications_whose_status_always_moves() -> None:
    compared = {
        name: "ServerSideDiff=true"
        in item["metadata"]["annotations"].get("argocd.argoproj.io/compare-options", "")
        for name, item in _named("argocd").items()
        if name.startswith("Application/")
    }
    assert compared.pop("Application/mainline-dev") is False
    assert set(compared.values()) == {True}


def test_a_finalizer_has_the_form_that_kubernetes_asks_for() -> None:
    finalizers = {
        name: item["metadata"].get("finalizers", [])
        for name, item in _named("argocd").items()
        if name.startswith("Application/")
    }
    assert finalizers.pop("Application/mainline-dev") == []  # without the root, what runs goes on
    assert {tuple(names) for names in finalizers.values()} == {
        ("resources-finalizer.argocd.argoproj.io/foreground",)
    }


def test_argo_cds_own_settings_keep_the_label_by_which_it_finds_them_and_are_never_removed() -> None:
    settings = _named("argocd")["ConfigMap/argocd-cm"]["metadata"]
    assert settings["labels"]["app.kubernetes.io/part-of"] == "argocd"
    assert settings["annotations"]["argocd.argoproj.io/sync-options"] == "Delete=false,Prune=false"


def test_namespaces_are_neither_pruned_nor_deleted_without_a_person() -> None:
    spaces = [item for name, item in _named("platform").items() if name.startswith("Namespace/")]
    options = {item["metadata"]["annotations"]["argocd.argoproj.io/sync-options"] for item in spaces}
    assert len(spaces) == 3
    assert options == {"Prune=confirm,Delete=confirm"}


def test_the_project_allows_the_namespaced_kinds_that_are_rendered_and_no_other() -> None:
    rendered = {
        (item["apiVersion"].rpartition("/")[0], item["kind"])
        for state in (
            *map(repository, RELEASES),
            repository(job=f"{JOB}image: fleet\nnodes: 2\n"),
            repository(stack=PARTS_STACK),
        )
        for objects in applications(state, "dev").values()
        for item in objects
        if "namespace" in item["metadata"] and item["metadata"]["namespace"] != "argocd"
    }
    listed = _named("argocd")["AppProject/mainline"]["spec"]["namespaceResourceWhitelist"]
    assert [(item["group"], item["kind"]) for item in listed] == sorted(rendered)


def test_a_model_that_leaves_does_not_take_the_permission_to_remove_it_along() -> None:
    listed = [
        applications(load(files), "dev")["argocd"][0]["spec"]["namespaceResourceWhitelist"]
        for files in (tree(), tree(None))
    ]
    assert listed[0] == listed[1]


def test_the_project_allows_what_is_rendered_and_nothing_else() -> None:
    spec = _named("argocd")["AppProject/mainline"]["spec"]
    assert spec["sourceRepos"] == ["https://git.example.com/team/mainline.git"]
    assert {item["namespace"] for item in spec["destinations"]} == {"gateway", "models", "training"}
    wide = {
        item["kind"]
        for item in applications(repository(), "dev")["platform"]
        if "namespace" not in item["metadata"]
    }
    assert {item["kind"] for item in spec["clusterResourceWhitelist"]} == wide


_ELSEWHERE = "  mainline:endpoint: http://store.example.com:9000\n  mainline:credentials: store-access\n"


def _egress(item: dict[str, Any]) -> set[int]:
    return {port["port"] for rule in item["spec"]["egress"] for port in rule["ports"]}


def test_a_store_that_is_not_amazons_is_told_to_the_fetcher_and_to_jobs_by_address_and_secret() -> None:
    stack = f"{STACK}{_ELSEWHERE}"
    fetcher = _named("platform", stack=stack)["ClusterStorageContainer/v2serve-fetch"]["spec"]["container"]
    (train,) = _job(stack=stack)["spec"]["template"]["spec"]["containers"]
    for container in (fetcher, train):
        assert {"name": "AWS_ENDPOINT_URL", "value": "http://store.example.com:9000"} in container["env"]
        assert container["envFrom"] == [{"secretRef": {"name": "store-access"}}]


def test_pods_may_call_the_port_of_such_a_store_and_not_amazons() -> None:
    files = applications(repository(stack=f"{STACK}{_ELSEWHERE}"), "dev")
    model = next(item for item in files["models/iris"] if item["kind"] == "NetworkPolicy")
    job = next(item for item in files["jobs/iris"] if item["kind"] == "NetworkPolicy")
    assert (_egress(model), _egress(job)) == ({53, 80, 9000}, {53, 80, 443, 9000})


def test_without_credentials_a_pod_has_its_identity_alone() -> None:
    fetcher = _named("platform")["ClusterStorageContainer/v2serve-fetch"]["spec"]["container"]
    assert "env" not in fetcher
    assert "envFrom" not in fetcher


@pytest.mark.parametrize(
    ("added", "why"),
    [
        ("  mainline:endpoint: ftp://store.example.com\n", "it is http(s):// of an s3://"),
        ("  mainline:endpoint: https://key:value@store.example.com\n", "without a user or password"),
        ("  mainline:credentials: Store Access\n", "use up to 32 of a-z, 0-9 and -"),
    ],
)
def test_a_store_that_cannot_be_meant_is_refused(added: str, why: str) -> None:
    assert why in only(problems(tree(stack=f"{STACK}{added}")))


def test_an_address_is_refused_where_the_store_is_not_an_s3() -> None:
    stack = edited(STACK, "s3://models-dev", "gs://models-dev")
    found = only(problems(tree(stack=f"{stack}  mainline:endpoint: https://store.example.com\n")))
    assert found.endswith("does not fit store 'gs://models-dev'; it is http(s):// of an s3://")
