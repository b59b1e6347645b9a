"""From the root Application alone to a trained, promoted and served model; and then nothing moves."""

import json
import re
import time
from itertools import product

import mlflow
import pytest
import yaml

from infra.declarations.environment import Images
from infra.declarations.release import Candidate, Header, Release, dump_release, release_path
from infra.declarations.repository import load
from infra.declarations.tree import read_tree
from infra.render import applications
from tests.e2e.cluster.conftest import SETTLED, Cluster
from tests.e2e.cluster.fork import ENV, MODEL
from tests.e2e.cluster.kube import Item, wait
from tests.e2e.cluster.load import ask
from tests.infra.samples import candidate, version
from tests.repository.tracked import ROOT

pytestmark = pytest.mark.cluster
STABLE, STANDBY = version(1, "a"), version(3, "c")


def test_the_root_alone_brings_every_application_and_each_becomes_synced_and_healthy(
    cluster: Cluster, figures: list[str]
) -> None:
    folders = list((cluster.fork.root / "clusters" / ENV).glob("**/1-manifest"))
    wait("as many Applications as folders", lambda: len(cluster.kube.applications()) == len(folders), 60)
    begun = time.monotonic()
    wait("all are settled", lambda: set(cluster.kube.applications().values()) == {SETTLED}, 600)
    figures.append(
        f"{len(folders)} Applications settled after {time.monotonic() - begun:.0f} s, with their Jobs"
    )


def test_a_job_of_the_rendered_manifests_registers_a_version(cluster: Cluster) -> None:
    client = mlflow.MlflowClient(tracking_uri=cluster.registry, registry_uri=cluster.registry)
    (version,) = wait(
        "a version is registered", lambda: client.search_model_versions(f"name = '{MODEL}'"), 300
    )
    tags = client.get_run(version.run_id).data.tags
    assert tags["mainline.digest"].startswith("sha256:")
    assert tags["mainline.dirty"] == "false"
    jobs = [
        job
        for job in cluster.kube.all("batch/v1/Job", "training")
        if job["metadata"]["name"].startswith(MODEL)
    ]
    assert [job["status"].get("succeeded") for job in jobs] == [1]


def test_a_promotion_is_a_branch_and_its_merge_is_served(cluster: Cluster, figures: list[str]) -> None:
    """First of all versions here: what is promoted is what the Job registered."""
    said = json.loads(cluster.fork.mainline("promote", MODEL, "--to", ENV, "--json"))
    digest, branch = said["digest"], said["branch"]
    assert branch.startswith(f"promote/{MODEL}-v1-{ENV}")
    cluster.fork.merge(branch)
    merged = time.time()
    wait("its digest answers", lambda: ask(cluster.told.gateway, MODEL).digest == digest, 180, 0.25)
    figures.append(f"merge to first answer: {time.time() - merged:.1f} s")
    golden = json.loads(
        (cluster.fork.store / MODEL / digest.removeprefix("sha256:") / "golden.json").read_text()
    )
    assert golden["request"]["inputs"][0]["name"]


def test_status_and_verify_read_the_cluster_and_agree_with_git(cluster: Cluster) -> None:
    wait("the model is settled", lambda: cluster.kube.applications().get(f"model-{MODEL}") == SETTLED, 120)
    json.loads(cluster.fork.mainline("status", ENV, "--json"))
    (verdict,) = json.loads(cluster.fork.mainline("verify", ENV, "--gateway", cluster.told.gateway, "--json"))
    assert verdict["agrees"] is True
    assert verdict["digest"] == cluster.digest()


def test_every_object_of_every_environment_is_accepted_by_the_server(
    cluster: Cluster, figures: list[str]
) -> None:
    """Tried as a whole, with a release of every model; kinds whose definition the cluster does not have are named."""
    unknown: set[str] = set()
    canary = candidate(mode="canary", traffic=10)
    for env, items in _everything(Release(stable=STABLE, candidate=canary, standby=STANDBY)).items():
        known = [item for item in items if cluster.kube.knows(_kind(item))]
        unknown |= {f"{_kind(item)} {item['metadata']['name']}" for item in items if item not in known}
        for item in known:
            assert _lost(item, cluster.kube.apply(item, try_only=True)) == []
        figures.append(f"{env}: {len(known)} of {len(items)} objects tried, 0 refused")
    figures.append(f"no definition in this cluster: {', '.join(sorted(unknown)) or 'none'}")


@pytest.mark.parametrize(
    "trial",
    [
        candidate(mode="shadow"),
        candidate(mode="header", header=Header(name="x-mainline-track", value="next")),
    ],
    ids=["shadow", "header"],
)
def test_a_route_of_each_other_mode_is_accepted_by_the_server(
    trial: Candidate, cluster: Cluster, figures: list[str]
) -> None:
    """Accepted as an object: whether a gateway mirrors calls, its implementation says only of a live route."""
    everything = _everything(Release(stable=STABLE, candidate=trial))
    routes = [item for items in everything.values() for item in items if item["kind"] == "HTTPRoute"]
    for route in routes:
        assert _lost(route, cluster.kube.apply(route, try_only=True)) == []
    assert trial.mode != "shadow" or all("RequestMirror" in json.dumps(route) for route in routes)
    figures.append(f"{trial.mode}: {len(routes)} routes tried, 0 refused")


def _kind(item: Item) -> str:
    return f"{item['apiVersion']}/{item['kind']}"


def _without_store(text: str) -> str:
    return re.sub(r"\n  mainline:store: \S+", "", text)


def _everything(release: Release) -> dict[str, list[Item]]:
    """What this repository renders for each environment, with this release of every model.

    From this cluster's store and of its images, because its policies let no others in.
    """
    here = f"config:\n  mainline:store: s3://models\n  mainline:images: {Images().model_dump_json()}"
    tree = {
        path: re.sub(r"^config:$", here, _without_store(text), flags=re.M)
        for path, text in read_tree(ROOT).items()
    }
    for env, model in product(load(tree).environments, load(tree).models):
        tree[release_path(model, env)] = dump_release(release)
    repository = load(tree)
    return {
        env: [item for items in applications(repository, env).values() for item in items]
        for env in repository.environments
    }


def _lost(sent: object, kept: object, at: str = "") -> list[str]:
    """Fields that the server does not hold as they were sent; lists of named items may hold others' items too."""
    if isinstance(sent, dict) and isinstance(kept, dict):
        return [line for key, value in sent.items() for line in _lost(value, kept.get(key), f"{at}.{key}")]
    if isinstance(sent, list) and isinstance(kept, list) and all(_named(item) for item in (*sent, *kept)):
        by_name = {item["name"]: item for item in kept}
        pairs = [(item, by_name.get(item["name"])) for item in sent]
        return [line for one, other in pairs for line in _lost(one, other, f"{at}[{one['name']}]")]
    if isinstance(sent, list) and isinstance(kept, list) and len(sent) == len(kept):
        numbered = enumerate(zip(sent, kept, strict=True))
        return [line for index, (one, other) in numbered for line in _lost(one, other, f"{at}[{index}]")]
    return [] if sent == kept else [f"{at}: {sent!r} became {kept!r}"]


def _named(item: object) -> bool:
    return isinstance(item, dict) and "name" in item


def _versions(cluster: Cluster) -> dict[str, str]:
    """The generation of every object that Git names: a write that changes nothing leaves it.

    Of an Application its spec, because its status counts as a new generation.
    """
    found = {}
    for file in sorted((cluster.fork.root / "clusters" / ENV).rglob("*.yaml")):
        item: Item = yaml.safe_load(file.read_text())
        meta = item["metadata"]
        if "argocd.argoproj.io/hook" in meta.get("annotations", {}):
            continue  # gone when its sync has ended
        live = cluster.kube.get(f"{item['apiVersion']}/{item['kind']}", meta["name"], meta.get("namespace"))
        assert live is not None, file.name
        state = live["spec"] if item["kind"] == "Application" else live["metadata"].get("generation")
        found[file.name] = f"{live['metadata']['uid']} {json.dumps(state, sort_keys=True)}"
    return found


def test_everything_stays_as_it_is(cluster: Cluster, figures: list[str]) -> None:
    wait("all are settled", lambda: set(cluster.kube.applications().values()) == {SETTLED}, 300)
    before, end, samples = _versions(cluster), time.monotonic() + cluster.told.settled, 0
    while time.monotonic() < end:
        assert {name: state for name, state in cluster.kube.applications().items() if state != SETTLED} == {}
        samples += 1
        time.sleep(2)
    assert _versions(cluster) == before
    figures.append(f"{samples} samples in {cluster.told.settled:.0f} s, all Synced and Healthy")


def test_rendering_and_syncing_again_changes_nothing(cluster: Cluster) -> None:
    before = _versions(cluster)
    cluster.fork.render()
    assert cluster.fork.run("git", "status", "--porcelain") == ""
    commit = cluster.fork.push("Nothing")
    wait("every Application has seen it", lambda: _revisions(cluster) == {commit}, 120)
    assert set(cluster.kube.applications().values()) == {SETTLED}
    assert _versions(cluster) == before


def _revisions(cluster: Cluster) -> set[str]:
    items = cluster.kube.all("argoproj.io/v1alpha1/Application", "argocd")
    return {item["status"]["sync"]["revision"] for item in items}
