"""The parts of the platform: which charts, in which order, from where, and what they are told."""

import re
from typing import Any

import pytest
import yaml

from infra.declarations.parts import PARTS
from infra.declarations.repository import load
from infra.declarations.tree import read_tree
from infra.manifests.capacity import _size
from infra.render import applications
from tests.infra.samples import PARTS_STACK, STACK, edited, only, problems, repository, tree
from tests.infra.test_program import ROOT

OWN = load(read_tree(ROOT))
RUNS_HERE = sorted(name for name, env in OWN.environments.items() if env.parts)
_VERSION = re.compile(r"v?[0-9]+\.[0-9]+\.[0-9]+")


def everything() -> dict[str, list[dict[str, Any]]]:
    return applications(repository(stack=PARTS_STACK), "dev")


def named(folder: str) -> dict[str, dict[str, Any]]:
    return {f"{item['kind']}/{item['metadata']['name']}": item for item in everything()[folder]}


def part(name: str) -> dict[str, Any]:
    found: dict[str, Any] = named("argocd")[f"Application/part-{name}"]["spec"]
    return found


def told(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(part(name)["source"]["helm"].get("values", "{}"))
    return found


def wave(item: dict[str, Any]) -> int:
    return int(item["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"])


def test_an_environment_that_names_no_part_has_none() -> None:
    folders = applications(repository(), "dev")
    assert set(folders) == {"argocd", "platform", "models/iris", "jobs/iris"}
    assert not [item for item in folders["argocd"] if "chart" in item.get("spec", {}).get("source", {})]
    assert {item["metadata"]["name"] for item in folders["argocd"] if item["kind"] == "AppProject"} == {
        "mainline"
    }


def test_the_environments_of_this_repository_that_run_on_eks_name_their_parts() -> None:
    assert RUNS_HERE == ["dev", "prod", "staging"]


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_one_chart_of_one_version_in_one_namespace(name: str) -> None:
    spec = part(name)
    assert _VERSION.fullmatch(spec["source"]["targetRevision"])
    assert not spec["source"]["repoURL"].startswith("oci://")  # Argo CD knows OCI by the missing scheme
    assert spec["project"] == "parts"
    assert spec["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True}
    assert spec["syncPolicy"]["retry"]["limit"] == -1


def test_the_project_of_parts_allows_exactly_their_charts_and_places_and_models_cannot_use_them() -> None:
    spec = named("argocd")["AppProject/parts"]["spec"]
    assert spec["sourceRepos"] == sorted({part.chart.repository for part in PARTS.values()})
    assert {place["namespace"] for place in spec["destinations"]} == {p.namespace for p in PARTS.values()}
    mainline = named("argocd")["AppProject/mainline"]["spec"]
    assert mainline["sourceRepos"] == ["https://git.example.com/team/mainline.git"]


def test_a_part_comes_after_what_it_needs_and_before_the_platform() -> None:
    found = named("argocd")
    waves = {name: wave(found[f"Application/part-{name}"]) for name in PARTS}
    for name, one in PARTS.items():
        assert all(waves[needed] <= waves[name] for needed in one.needs), name
    assert max(waves.values()) < wave(found["Application/platform"])
    assert wave(found["Application/parts"]) < min(waves.values())
    assert waves["karpenter"] < wave(found["Application/capacity"])
    assert waves["external-secrets"] < wave(found["Application/secrets"]) < waves["mlflow"]
    assert waves["kueue"] < wave(found["Application/queues"])


def test_each_namespace_of_a_part_says_what_its_pods_may_do_and_is_not_pruned_by_a_slip() -> None:
    found = named("parts")
    assert {name.removeprefix("Namespace/") for name in found} == {
        one.namespace for one in PARTS.values()
    } - {"kube-system"}
    levels = {
        name: item["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] for name, item in found.items()
    }
    assert {name for name, level in levels.items() if level != "restricted"} == {"Namespace/monitoring"}
    options = {item["metadata"]["annotations"]["argocd.argoproj.io/sync-options"] for item in found.values()}
    assert options == {"Prune=confirm,Delete=confirm"}


def _limits(value: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, list):
        return [found for item in value for found in _limits(item, path)]
    if not isinstance(value, dict):
        return []
    own = [(path, value)] if "requests" in value and "storage" not in value["requests"] else []
    return own + [found for key, item in value.items() for found in _limits(item, f"{path}.{key}")]


@pytest.mark.parametrize("name", sorted(set(PARTS) - {"gateway-api", "kserve-crd"}))
def test_what_a_part_runs_has_requests_and_a_limit_of_memory(name: str) -> None:
    found = _limits(told(name))
    assert found
    for path, asked in found:
        assert set(asked["requests"]) == {"cpu", "memory"}, path
        assert asked["limits"] == {"memory": asked["requests"]["memory"]}, path


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("mlflow", ("securityContext",)),
        ("velero", ("containerSecurityContext",)),
        ("opencost", ("opencost", "exporter", "securityContext")),
        ("opentelemetry", ("securityContext",)),
    ],
)
def test_charts_that_leave_rights_open_are_told_to_close_them(name: str, path: tuple[str, ...]) -> None:
    found: Any = told(name)
    for key in path:
        found = found[key]
    assert (found["runAsNonRoot"], found["readOnlyRootFilesystem"]) == (True, True)
    assert (found["allowPrivilegeEscalation"], found["capabilities"]) == (False, {"drop": ["ALL"]})


def test_nobody_looks_at_dashboards_without_a_login_that_secrets_manager_has() -> None:
    grafana = told("prometheus")["grafana"]
    assert grafana["grafana.ini"]["auth.anonymous"] == {"enabled": False}
    assert grafana["admin"]["existingSecret"] == "grafana"
    read = named("secrets")["ExternalSecret/grafana"]
    assert (read["metadata"]["namespace"], read["spec"]["target"]["name"]) == ("monitoring", "grafana")
    assert read["spec"]["dataFrom"] == [{"extract": {"key": "mainline/dev/grafana"}}]


def test_names_in_aws_are_those_that_the_cloud_makes() -> None:
    assert told("karpenter")["settings"] == {
        "clusterName": "mainline-dev",
        "interruptionQueue": "mainline-dev-karpenter",
    }
    assert told("mlflow")["artifactRoot"]["s3"]["bucket"] == "mainline-dev-mlflow-111111111111"
    (place,) = told("velero")["configuration"]["backupStorageLocation"]
    assert place["bucket"] == "mainline-dev-velero-111111111111"
    assert named("capacity")["EC2NodeClass/default"]["spec"]["role"] == "mainline-dev-node"


def test_machines_of_a_pool_are_those_that_are_declared_up_to_their_number() -> None:
    pool = named("capacity")["NodePool/main"]["spec"]
    wanted = {one["key"]: one["values"] for one in pool["template"]["spec"]["requirements"]}
    assert wanted["node.kubernetes.io/instance-type"] == ["m7i.large"]
    assert wanted["karpenter.sh/capacity-type"] == ["on-demand"]
    assert pool["limits"] == {"cpu": "8"}  # four machines of two cores


@pytest.mark.parametrize(
    ("size", "cores"), [("medium", 2), ("large", 2), ("xlarge", 4), ("12xlarge", 48), ("metal-24xl", 192)]
)
def test_the_cores_of_a_machine_follow_from_its_size(size: str, cores: int) -> None:
    assert _size(size) == cores


def test_machines_keep_their_disks_encrypted_and_their_credentials_from_pods() -> None:
    spec = named("capacity")["EC2NodeClass/default"]["spec"]
    assert spec["metadataOptions"]["httpTokens"] == "required"
    assert spec["metadataOptions"]["httpPutResponseHopLimit"] == 1
    assert [disk["ebs"]["encrypted"] for disk in spec["blockDeviceMappings"]] == [True]
    assert named("capacity")["StorageClass/gp3"]["parameters"]["encrypted"] == "true"


def test_the_queue_that_jobs_wait_in_has_the_declared_quota() -> None:
    found = named("queues")
    assert found["LocalQueue/training"]["spec"] == {"clusterQueue": "training"}
    (group,) = found["ClusterQueue/training"]["spec"]["resourceGroups"]
    assert group["coveredResources"] == ["cpu", "memory"]
    training = repository(stack=f"{PARTS_STACK}  mainline:trains: true\n")
    (job,) = [item for item in applications(training, "dev")["jobs/iris"] if item["kind"] == "Job"]
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "training"


@pytest.mark.parametrize(("added", "scheme"), [("", "internal"), ("{public: true}", "internet-facing")])
def test_the_internet_reaches_the_gateway_only_where_the_stack_says_so(added: str, scheme: str) -> None:
    stack = f"{PARTS_STACK}  mainline:gateway: {added}\n" if added else PARTS_STACK
    found = applications(repository(stack=stack), "dev")["platform"]
    (proxy,) = [item for item in found if item["kind"] == "EnvoyProxy"]
    service = proxy["spec"]["provider"]["kubernetes"]["envoyService"]
    assert service["annotations"]["service.beta.kubernetes.io/aws-load-balancer-scheme"] == scheme


@pytest.mark.parametrize(
    ("stack", "reason"),
    [
        (f"{STACK}  mainline:parts: [kserve]\n", "'kserve' needs 'cert-manager'; add it"),
        (f"{STACK}  mainline:parts: [loki, loki]\n", "'loki' is there twice; remove one"),
        (f"{STACK}  mainline:parts: [lokki]\n", "'lokki' is not one of them"),
        (f"{STACK}  mainline:parts: [external-dns]\n", "'external-dns' has no name to write"),
        (
            f"{STACK}  mainline:parts: [external-secrets, prometheus]\n",
            "'prometheus' reads secret 'grafana'; add it to `secrets`",
        ),
        (
            edited(PARTS_STACK, "database: {}, ", ""),
            "'mlflow' has no database; add `database` to mainline:cloud",
        ),
        (
            f"{STACK}  mainline:cluster: existing\n  mainline:parts: [karpenter]\n",
            "'karpenter' is for `cluster: eks`",
        ),
        (
            edited(PARTS_STACK, "  mainline:quota: {cpu: '32', memory: 64Gi}\n", ""),
            "'training' has no quota, so nothing would ever start",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused(stack: str, reason: str) -> None:
    found = only(problems(tree(stack=stack)))
    assert found.startswith("Pulumi.dev.yaml:")
    assert reason in found
