"""Runs of training jobs: where they wait, what they run on, what they are told, and when there is a new one."""

from typing import Any

import pytest

from infra.declarations.repository import load
from infra.render import applications
from tests.infra.samples import JOB, STACK, only, problems, repository, tree

TRAINS = f"{STACK}  mainline:trains: true\n"
FLEET = f"{JOB}image: fleet\n"
SPREAD = f"{FLEET}nodes: 2\ngpus: 4\n"


def run_of(**texts: str) -> dict[str, dict[str, Any]]:
    """The objects of the job by kind."""
    return {item["kind"]: item for item in applications(repository(**texts), "dev")["jobs/iris"]}


def pod_of(**texts: str) -> dict[str, Any]:
    pod: dict[str, Any] = run_of(**texts)["Job"]["spec"]["template"]["spec"]
    return pod


def told(pod: dict[str, Any]) -> dict[str, str]:
    return {item["name"]: item["value"] for item in pod["containers"][0]["env"]}


def test_a_job_waits_in_the_queue_of_its_environment() -> None:
    labels = run_of(stack=f"{TRAINS}  mainline:queue: training\n")["Job"]["metadata"]["labels"]
    assert labels["kueue.x-k8s.io/queue-name"] == "training"
    assert "kueue.x-k8s.io/queue-name" not in run_of(stack=TRAINS)["Job"]["metadata"]["labels"]


def test_a_job_that_must_not_run_is_in_no_queue_because_kueue_would_resume_it() -> None:
    job = run_of(stack=f"{STACK}  mainline:queue: training\n")["Job"]
    assert job["spec"]["suspend"] is True
    assert "kueue.x-k8s.io/queue-name" not in job["metadata"]["labels"]


def test_a_queue_is_no_reason_to_train_again() -> None:
    queued = run_of(stack=f"{TRAINS}  mainline:queue: training\n")["Job"]
    assert queued["metadata"]["name"] == run_of(stack=TRAINS)["Job"]["metadata"]["name"]


def test_a_job_is_told_where_its_own_data_and_checkpoints_are() -> None:
    found = told(pod_of(stack=f"{TRAINS}  mainline:datasets: s3://data/sets\n"))
    assert found["MAINLINE_DATASETS"] == "s3://data/sets/iris"
    assert found["TRAINKIT_CHECKPOINTS"] == "s3://data/sets/iris/checkpoints"


def test_an_environment_without_a_store_of_data_says_nothing() -> None:
    assert not told(pod_of()).keys() & {"MAINLINE_DATASETS", "TRAINKIT_CHECKPOINTS"}


def test_each_image_has_the_packages_that_the_job_names() -> None:
    images = "  mainline:images: {training: 'example.com/t:1', fleet: 'example.com/f:1'}\n"
    for job, image in ((JOB, "example.com/t:1"), (FLEET, "example.com/f:1")):
        pod = pod_of(stack=f"{TRAINS}{images}", job=job)
        assert {item["image"] for item in (*pod["containers"], *pod["initContainers"])} == {image}


def test_the_image_of_the_fleet_is_one_that_pods_may_run() -> None:
    platform = applications(repository(), "dev")["platform"]
    rules = [item for item in platform if item["kind"] == "ValidatingAdmissionPolicy"]
    facts = [one["expression"] for rule in rules for one in rule["spec"].get("variables", ())]
    assert all("training-fleet'" in fact for fact in facts if fact.startswith("['mainline/"))


def test_gpus_are_asked_of_the_node_and_its_taint_is_borne() -> None:
    pod = pod_of(job=f"{FLEET}gpus: 2\n")
    resources = pod["containers"][0]["resources"]
    assert (resources["limits"]["nvidia.com/gpu"], resources["requests"]["nvidia.com/gpu"]) == ("2", "2")
    assert pod["tolerations"] == [{"effect": "NoSchedule", "key": "nvidia.com/gpu", "operator": "Exists"}]
    assert "nvidia.com/gpu" not in pod["initContainers"][0]["resources"]["limits"]
    assert "tolerations" not in pod_of(job=FLEET)


def test_several_nodes_are_a_trainjob_with_a_runtime_of_its_own() -> None:
    found = run_of(stack=f"{TRAINS}  mainline:queue: training\n", job=SPREAD)
    assert "Job" not in found
    run, runtime = found["TrainJob"], found["TrainingRuntime"]
    name = runtime["metadata"]["name"]
    assert (run["apiVersion"], run["metadata"]["name"]) == ("trainer.kubeflow.org/v1alpha1", name)
    reference = {"apiGroup": "trainer.kubeflow.org", "kind": "TrainingRuntime", "name": name}
    assert run["spec"] == {"runtimeRef": reference}
    assert run["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "training"
    assert runtime["spec"]["mlPolicy"] == {"numNodes": 2, "torch": {"numProcPerNode": 4}}


def test_every_node_runs_the_same_restricted_pod() -> None:
    spec = run_of(job=SPREAD)["TrainingRuntime"]["spec"]["template"]["spec"]
    (node,) = spec["replicatedJobs"]
    assert spec["failurePolicy"] == {"maxRestarts": 2}
    labels = node["template"]["metadata"]["labels"]
    assert (node["name"], labels) == ("node", {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"})
    job = node["template"]["spec"]
    assert (job["backoffLimit"], job["activeDeadlineSeconds"]) == (0, 1800)
    pod = job["template"]["spec"]
    assert pod["containers"][0]["name"] == "node"
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["securityContext"]["runAsNonRoot"] is True


def test_several_nodes_wait_where_nothing_is_trained() -> None:
    assert run_of(job=SPREAD)["TrainJob"]["spec"]["suspend"] is True


def test_the_nodes_of_a_job_may_talk_to_each_other_and_to_nobody_else() -> None:
    spread, alone = (run_of(job=job)["NetworkPolicy"]["spec"] for job in (SPREAD, FLEET))
    peers = [{"podSelector": {"matchLabels": {"mainline.dev/job": "iris"}}}]
    assert spread["ingress"] == [{"from": peers}]
    assert spread["egress"] == [*alone["egress"], {"to": peers}]
    assert "ingress" not in alone


def test_the_project_of_the_applications_allows_every_kind_of_run() -> None:
    folders = applications(repository(job=SPREAD), "dev")
    project = next(item for item in folders["argocd"] if item["kind"] == "AppProject")
    allowed = {(item["group"], item["kind"]) for item in project["spec"]["namespaceResourceWhitelist"]}
    objects = {(item["apiVersion"].rpartition("/")[0], item["kind"]) for item in folders["jobs/iris"]}
    assert objects <= allowed


@pytest.mark.parametrize(
    "path",
    [
        "training-jobs/iris/conf/small.yaml",
        "training-jobs/trainkit/release.py",
        "model-servers/iris/model.py",
    ],
)
def test_a_job_runs_again_when_what_its_result_depends_on_changes(path: str) -> None:
    names = {
        applications(load(tree() | change), "dev")["jobs/iris"][2]["metadata"]["name"]
        for change in ({}, {path: "x = 1\n"}, {path: "x = 2\n"})
    }
    assert len(names) == 3


@pytest.mark.parametrize(
    "path",
    [
        "training-jobs/iris/work/best.yaml",
        "training-jobs/iris/sweep.yaml",
        "training-jobs/trainkit/notes.yaml",
        "model-servers/other/model.py",
        "model-servers/iris/notes.py",
    ],
)
def test_a_job_does_not_run_again_for_anything_else(path: str) -> None:
    changed = applications(load(tree() | {path: "x: 1\n"}), "dev")["jobs/iris"][2]
    assert changed["metadata"]["name"] == run_of()["Job"]["metadata"]["name"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (
            "gpus: 1",
            "gpus: 1 asked, and the image 'train' has nothing that can use them; write 'image: fleet'",
        ),
        ("nodes: 2", "nodes: 2 asked, and the image 'train' has nothing"),
        ("image: torch", "image: 'torch'"),
        ("nodes: 0", "nodes: "),
        ("gpus: 17", "gpus: "),
    ],
)
def test_a_run_that_cannot_be_is_refused(line: str, reason: str) -> None:
    found = only(problems(tree(job=f"{JOB}{line}\n")))
    assert found.startswith("training-jobs/iris/job.yaml:")
    assert reason in found
