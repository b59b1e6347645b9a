"""The platform, the training Jobs and the Applications of Argo CD."""

from typing import Any

from infra.declarations.repository import load
from infra.render import applications
from tests.infra.samples import JOB, STACK, edited, repository, tree


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
    assert copy["command"] == ["cp", "-R", "training-jobs", "/work"]
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


def test_the_project_allows_what_is_rendered_and_nothing_else() -> None:
    spec = _named("argocd")["AppProject/mainline"]["spec"]
    assert spec["sourceRepos"] == ["https://git.example.com/team/mainline.git"]
    assert {item["namespace"] for item in spec["destinations"]} == {"argocd", "gateway", "models", "training"}
    assert {item["kind"] for item in spec["clusterResourceWhitelist"]} == {
        "Namespace",
        "ClusterServingRuntime",
        "ClusterStorageContainer",
    }
