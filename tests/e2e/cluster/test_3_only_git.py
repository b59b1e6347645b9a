"""Only Git changes what serves: a person with every right is refused with a reason, and controllers go on."""

from collections.abc import Iterator
from copy import deepcopy

import pytest
from kubernetes.client.exceptions import ApiException

from infra.declarations.release import ReleasedVersion
from tests.e2e.cluster.conftest import Cluster
from tests.e2e.cluster.fork import MODEL
from tests.e2e.cluster.kube import ROUTE, SERVICE, Item, Kube

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


def _live(cluster: Cluster, kind: str, name: str, namespace: str) -> Item:
    item = deepcopy(cluster.kube.get(kind, name, namespace))
    assert item is not None
    item.pop("status", None)
    kept = {
        key: item["metadata"][key]
        for key in ("name", "namespace", "labels", "annotations")
        if key in item["metadata"]
    }
    return {**item, "metadata": kept}


def _objects(cluster: Cluster, stable: ReleasedVersion) -> list[tuple[str, str, str]]:
    jobs = cluster.kube.all("batch/v1/Job", "training")
    return [
        (SERVICE, f"{MODEL}-{stable.short}", "models"),
        (ROUTE, MODEL, "models"),
        ("batch/v1/Job", jobs[0]["metadata"]["name"], "training"),
    ]


def test_a_person_can_neither_create_change_nor_delete_them(
    cluster: Cluster, stable: ReleasedVersion, person: Kube
) -> None:
    for kind, name, namespace in _objects(cluster, stable):
        item = _live(cluster, kind, name, namespace)
        other = {**item, "metadata": {**item["metadata"], "name": f"{name}-2"}}
        tries = {
            "CREATE": lambda other=other: person.apply(other, try_only=True),
            "UPDATE": lambda kind=kind, name=name, ns=namespace: person.merge(kind, name, ns, LABELLED),
            "DELETE": lambda kind=kind, name=name, ns=namespace: person.delete(kind, name, ns),
        }
        for verb, attempt in tries.items():
            with pytest.raises(ApiException) as refused:
                attempt()
            assert refused.value.status == 403
            assert f"{verb} of {kind.rpartition('/')[2]} {name}" in str(refused.value.body)
            assert "only a commit changes it" in str(refused.value.body)


def test_argo_cds_own_account_is_let_through(cluster: Cluster, stable: ReleasedVersion) -> None:
    controller = Kube(ARGOCD)
    for kind, name, namespace in _objects(cluster, stable)[:2]:
        assert (
            controller.apply(_live(cluster, kind, name, namespace), try_only=True)["metadata"]["name"] == name
        )
