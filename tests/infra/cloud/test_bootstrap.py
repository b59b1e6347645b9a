"""What `pulumi up` puts into a cluster by itself: a hardened Argo CD and the root Application, and nothing else."""

import json
from typing import Any

import pytest
import yaml

from infra.declarations.parts import ARGO_CD
from infra.manifests import bootstrap
from infra.manifests.argocd import argocd
from infra.manifests.health import CHECKS
from tests.infra.cloud.graph import ENVIRONMENTS, Graph, Resource, fleet, graph, own
from tests.infra.samples import STACK, repository

EVERYWHERE = pytest.mark.parametrize("env", ENVIRONMENTS)


def in_cluster(of: Graph) -> dict[str, Resource]:
    """By the kind of the object, or of Helm's release."""
    return {item.typ.rpartition(":")[2]: item for item in of.resources if item.typ.startswith("kubernetes:")}


def values(env: str = "prod") -> dict[str, Any]:
    return bootstrap.values(fleet(0).environments[env])


@EVERYWHERE
def test_argo_cd_comes_from_a_pinned_chart_and_is_all_there_is_beside_the_root(env: str) -> None:
    found = in_cluster(own(env))
    assert set(found) == {"Application", "AppProjectPatch", "Namespace", "Release"}
    release = found["Release"].inputs
    assert (release["chart"], release["version"]) == ("argo-cd", ARGO_CD.version)
    assert release["repositoryOpts"] == {"repo": "https://argoproj.github.io/argo-helm"}
    assert release["atomic"] is True


@EVERYWHERE
def test_the_root_is_the_very_application_that_git_has(env: str) -> None:
    environment = fleet(0).environments[env]
    name = f"mainline-{env}"
    (rendered,) = [
        item
        for item in argocd(environment, {})
        if (item["kind"], item["metadata"]["name"]) == ("Application", name)
    ]
    made = in_cluster(own(env))["Application"].inputs
    assert made["metadata"]["name"] == name
    assert json.loads(json.dumps(made["spec"])) == json.loads(json.dumps(rendered["spec"]))
    assert made["spec"]["project"] == "default"


@EVERYWHERE
def test_pulumi_speaks_to_the_cluster_of_the_environment_as_whoever_runs_it(env: str) -> None:
    (provider,) = [item for item in own(env).resources if item.name == "cluster" and "providers" in item.typ]
    config = yaml.safe_load(provider.inputs["kubeconfig"])
    (user,) = config["users"]
    assert user["user"]["exec"]["args"][:4] == ["eks", "get-token", "--cluster-name", f"mainline-{env}"]
    assert "token" not in user["user"]
    (server,) = config["clusters"]
    assert server["cluster"] == {"server": "https://eks", "certificate-authority-data": "Q0E="}


def test_nobody_is_anonymous_and_nobody_is_admin() -> None:
    settings = values()["configs"]["cm"]
    assert (settings["users.anonymous.enabled"], settings["admin.enabled"]) == (False, False)
    assert settings["exec.enabled"] is False
    assert values()["configs"]["params"]["server.disable.auth"] == "false"
    assert values()["server"]["ingress"]["enabled"] is False


def test_rights_are_given_to_look_and_none_by_default() -> None:
    rbac = values()["configs"]["rbac"]
    assert rbac["policy.default"] == ""
    rules = [line.split(", ") for line in rbac["policy.csv"].splitlines() if line.startswith("p, ")]
    assert {rule[3] for rule in rules} == {"get"}


@pytest.mark.parametrize("part", ["controller", "redis", "repoServer", "server"])
def test_each_process_has_requests_and_a_limit_of_memory(part: str) -> None:
    asked = values()[part]["resources"]
    assert set(asked["requests"]) == {"cpu", "memory"}
    assert asked["limits"] == {"memory": asked["requests"]["memory"]}


def test_what_reads_git_has_no_rights_in_the_cluster_and_works_on_few_things_at_once() -> None:
    assert values()["repoServer"]["automountServiceAccountToken"] is False
    assert values()["configs"]["params"]["reposerver.parallelism.limit"] == "4"


def test_argo_cd_knows_the_health_checks_before_git_brings_them() -> None:
    assert {key: values()["configs"]["cm"][key] for key in CHECKS} == CHECKS


def test_the_first_project_allows_the_root_and_no_more() -> None:
    spec = in_cluster(own("prod"))["AppProjectPatch"].inputs["spec"]
    assert spec["sourceRepos"] == ["https://git.example.com/ml/mainline.git"]
    assert [place["namespace"] for place in spec["destinations"]] == ["argocd"]
    assert spec["clusterResourceBlacklist"] == [{"group": "*", "kind": "*"}]
    assert {item["kind"] for item in spec["namespaceResourceWhitelist"]} == {
        "AppProject",
        "Application",
        "ConfigMap",
    }


def test_an_existing_cluster_gets_argo_cd_by_the_context_that_the_stack_names_and_nothing_of_aws() -> None:
    stack = f"{STACK}  mainline:cluster: existing\n  mainline:context: team-cluster\n"
    found = graph(repository(stack=stack), "dev")
    assert set(in_cluster(found)) == {"AppProjectPatch", "Application", "Namespace", "Release"}
    (provider,) = [item for item in found.resources if "providers:kubernetes" in item.typ]
    assert provider.inputs["context"] == "team-cluster"
    assert list(found.aws()) == []


def test_an_existing_cluster_without_a_context_has_its_own_argo_cd() -> None:
    found = graph(repository(stack=f"{STACK}  mainline:cluster: existing\n"), "dev")
    assert in_cluster(found) == {}
