"""EKS' add-ons, pinned: `aws eks describe-addon-versions --kubernetes-version 1.35` lists what AWS offers now."""

import json
from dataclasses import dataclass

from infra.declarations.cloud import Addon as AddonName
from infra.declarations.cloud import ControlPlane

# From public stack files of 2026, unchecked against AWS; the EBS driver's and metrics-server's stood beside 1.34.
# AWS withdraws builds; a stack file may say others.
_PINNED: dict[AddonName, str] = {
    "aws-ebs-csi-driver": "v1.57.1-eksbuild.1",
    "coredns": "v1.13.2-eksbuild.4",
    "eks-pod-identity-agent": "v1.3.10-eksbuild.2",
    "kube-proxy": "v1.35.3-eksbuild.2",
    "metrics-server": "v0.8.1-eksbuild.2",
    "vpc-cni": "v1.21.1-eksbuild.7",
}
_BEFORE_NODES: tuple[AddonName, ...] = ("eks-pod-identity-agent", "kube-proxy", "vpc-cni")
# Without this the CNI enforces no NetworkPolicy at all.
_VALUES: dict[AddonName, dict[str, object]] = {"vpc-cni": {"enableNetworkPolicy": "true"}}


@dataclass(frozen=True, slots=True)
class Access:
    """What an add-on may do in AWS: the service account of its pods, and AWS' own policy for it."""

    account: str
    policy: str


_ACCESS: dict[AddonName, Access] = {
    "aws-ebs-csi-driver": Access("ebs-csi-controller-sa", "service-role/AmazonEBSCSIDriverPolicy"),
    "vpc-cni": Access("aws-node", "AmazonEKS_CNI_Policy"),
}


@dataclass(frozen=True, slots=True)
class Addon:
    name: AddonName
    version: str
    values: str | None  # JSON
    before_nodes: bool
    access: Access | None


def addons(plane: ControlPlane) -> list[Addon]:
    return [
        Addon(
            name,
            plane.addons.get(name, version),
            json.dumps(_VALUES[name]) if name in _VALUES else None,
            name in _BEFORE_NODES,
            _ACCESS.get(name),
        )
        for name, version in sorted(_PINNED.items())
    ]
