"""Only Git changes what serves: a person with every right is refused with a reason, and controllers go on."""

import json
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import yaml
from kubernetes.client.exceptions import ApiException

from infra.declarations.release import ReleasedVersion
from tests.e2e.cluster.conftest import Cluster
from tests.e2e.cluster.fork import ENV
from tests.e2e.cluster.kube import Item, Kube

pytestmark = pytest.mark.cluster
PERSON = "e2e-person"
LABELLED: Item = {"metadata": {"labels": {"by": "hand"}}}
ARGOCD = "system:serviceaccount:argocd:argocd-application-controller"


@pytest.fixture(scope="module")
def person(cluster: Cluster) -> Iterator[Kube]:
    """Whom RBAC allows everything."""
    binding: Item = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": PERSON},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": PERSON}],
    }
    cluster.kube.apply(binding)
    yield Kube(PERSON)
    cluster.kube.delete("rbac.authorization.k8s.io/v1/ClusterRoleBinding", PERSON, "")


def _rendered(cluster: Cluster) -> list[Item]:
    """The three kinds, as Git has them."""
    folder = cluster.fork.root / "clusters" / ENV
    items = [yaml.safe_load(file.read_text()) for file in sorted(folder.rglob("*.yaml"))]
    kinds = {"InferenceService", "HTTPRoute", "Job"}
    found = {item["kind"]: item for item in items if item["kind"] in kinds}
    assert set(found) == kinds
    return list(found.values())


def _refused(attempt: Callable[[], object]) -> str:
    with pytest.raises(ApiException) as refused:
        attempt()
    assert refused.value.status == 403
    return str(refused.value.body)


def another(item: Item) -> Item:
    """One that no other rule minds: the name of an InferenceService is that of its digest."""
    if item["kind"] != "InferenceService":
        return {**item, "metadata": {**item["metadata"], "name": f"{item['metadata']['name']}-2"}}
    whole = item["spec"]["predictor"]["model"]["storageUri"].rpartition("/")[2]
    made: Item = json.loads(json.dumps(item).replace(whole, "7" * 64).replace(whole[:8], "7" * 8))
    return made


def test_a_person_can_neither_create_change_nor_delete_them(
    cluster: Cluster, stable: ReleasedVersion, person: Kube, figures: list[str]
) -> None:
    for item in _rendered(cluster):
        kind, name, space = item["kind"], item["metadata"]["name"], item["metadata"]["namespace"]
        full = f"{item['apiVersion']}/{kind}"
        other = another(item)
        said = [
            _refused(partial(person.apply, other)),
            _refused(partial(person.merge, full, name, space, LABELLED)),
            _refused(partial(person.delete, full, name, space)),
        ]
        tried = (
            f"CREATE of {kind} {other['metadata']['name']}",
            f"UPDATE of {kind} {name}",
            f"DELETE of {kind} {name}",
        )
        for what, words in zip(tried, said, strict=True):
            assert what in words
            assert "only a commit changes it" in words
            figures.append(json.loads(words)["message"])


def test_argo_cds_own_account_is_let_through(cluster: Cluster, stable: ReleasedVersion) -> None:
    controller = Kube(ARGOCD)
    for item in _rendered(cluster):
        assert controller.apply(item, try_only=True)["metadata"]["name"] == item["metadata"]["name"]
