"""What parts make of the declared machines: Karpenter's pools, the class of disks, and the queue that Jobs wait in."""

from infra.declarations import naming
from infra.declarations.cloud import Cloud, NodePool
from infra.declarations.environment import Environment
from infra.declarations.quantity import canonical
from infra.manifests import names
from infra.manifests.manifest import Manifest, manifest
from infra.manifests.values import STORAGE_CLASS

_CLASS = "default"
_QUEUE = "training"
_WHERE = "mainline.dev/pool"
_AWAY = "nvidia.com/gpu"  # the taint of machines with GPUs, and what Jobs ask for
_AGE = "720h"  # after which a machine is replaced: patches come with new ones
_SIZES = {"large": 2, "xlarge": 4, "metal": 192}  # cores; `4xlarge` has 4 * 4, smaller ones have 2
_DISK = "100Gi"


def capacity(environment: Environment) -> list[Manifest]:
    """Karpenter's NodePools and their EC2NodeClass; nothing without Karpenter."""
    cloud = environment.cloud
    if cloud is None or "karpenter" not in environment.parts:
        return []
    pools = [_pool(name, pool) for name, pool in sorted(cloud.pools.items())]
    return [_node_class(cloud, environment.name), *pools, _disks()]


def queues(environment: Environment) -> list[Manifest]:
    """Kueue's queue of the environment, as large as its pools; nothing where Jobs start at once."""
    if environment.queue is None or "kueue" not in environment.parts:
        return []
    return [
        manifest("kueue.x-k8s.io/v1beta2/ResourceFlavor", _QUEUE),
        _cluster_queue(environment),
        manifest(
            "kueue.x-k8s.io/v1beta2/LocalQueue",
            environment.queue,
            names.TRAINING,
            spec={"clusterQueue": _QUEUE},
        ),
    ]


def _node_class(cloud: Cloud, env: str) -> Manifest:
    """As the system group's machines: Amazon Linux 2023, encrypted disks, metadata out of the reach of pods."""
    found = [{"tags": {"karpenter.sh/discovery": naming.cluster(env)}}]
    disk = {"encrypted": True, "volumeSize": _DISK, "volumeType": "gp3"}
    return manifest(
        "karpenter.k8s.aws/v1/EC2NodeClass",
        _CLASS,
        spec={
            "amiSelectorTerms": [{"alias": cloud.machine_image}],
            "blockDeviceMappings": [{"deviceName": "/dev/xvda", "ebs": disk}],
            "metadataOptions": {
                "httpEndpoint": "enabled",
                "httpPutResponseHopLimit": 1,
                "httpTokens": "required",
            },
            "role": naming.node_role(env),
            "securityGroupSelectorTerms": found,
            "subnetSelectorTerms": found,
            "tags": naming.tags(cloud, env),
        },
    )


def _pool(name: str, pool: NodePool) -> Manifest:
    spec: Manifest = {
        "expireAfter": _AGE,
        "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": _CLASS},
        "requirements": [
            _one_of("node.kubernetes.io/instance-type", list(pool.instances)),
            _one_of("karpenter.sh/capacity-type", [pool.capacity]),
            _one_of("kubernetes.io/os", ["linux"]),
        ],
    }
    if pool.gpus:
        spec["taints"] = [{"effect": "NoSchedule", "key": _AWAY}]
    disruption = {"consolidateAfter": "5m", "consolidationPolicy": "WhenEmptyOrUnderutilized"}
    return manifest(
        "karpenter.sh/v1/NodePool",
        name,
        spec={
            "disruption": {**disruption, "budgets": [{"nodes": "10%"}]},
            "limits": {"cpu": canonical(str(_cores(pool) * pool.nodes.max))},
            "template": {"metadata": {"labels": {_WHERE: name}}, "spec": spec},
        },
    )


def _cores(pool: NodePool) -> int:
    """Of the largest machine of a pool: Karpenter limits pools by what they have, not by how many they are."""
    return max(_size(instance.partition(".")[2]) for instance in pool.instances)


def _size(name: str) -> int:
    times = name.removesuffix("xlarge")
    if times.isdigit():
        return int(times) * _SIZES["xlarge"]
    return next((cores for size, cores in _SIZES.items() if name.startswith(size)), 2)


def _one_of(key: str, allowed: list[str]) -> Manifest:
    return {"key": key, "operator": "In", "values": allowed}


def _disks() -> Manifest:
    return manifest(
        "storage.k8s.io/v1/StorageClass",
        STORAGE_CLASS,
        annotations={"storageclass.kubernetes.io/is-default-class": "true"},
        allowVolumeExpansion=True,
        parameters={"encrypted": "true", "type": "gp3"},
        provisioner="ebs.csi.aws.com",
        reclaimPolicy="Delete",
        volumeBindingMode="WaitForFirstConsumer",
    )


def _cluster_queue(environment: Environment) -> Manifest:
    """What all Jobs together may have; the rest waits in its order, and a small one may overtake."""
    quotas = [{"name": name, "nominalQuota": amount} for name, amount in _quota(environment)]
    flavor = {"name": _QUEUE, "resources": quotas}
    covered = [quota["name"] for quota in quotas]
    return manifest(
        "kueue.x-k8s.io/v1beta2/ClusterQueue",
        _QUEUE,
        spec={
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": names.TRAINING}},
            "queueingStrategy": "BestEffortFIFO",
            "resourceGroups": [{"coveredResources": covered, "flavors": [flavor]}],
        },
    )


def _quota(environment: Environment) -> list[tuple[str, str]]:
    quota = environment.quota
    if quota is None:
        raise ValueError(f"{environment.name}: no quota for its queue")  # refused by the declaration
    gpus = [(_AWAY, str(quota.gpus))] if quota.gpus else []
    return [("cpu", quota.cpu), ("memory", quota.memory), *gpus]
