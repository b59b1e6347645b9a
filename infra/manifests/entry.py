"""How the network reaches the gateway: Envoy Gateway's class, its proxies and their load balancer."""

from infra.declarations import naming
from infra.declarations.environment import Environment
from infra.manifests.manifest import Manifest, manifest
from infra.manifests.values import locked, resources

_BALANCER = "service.beta.kubernetes.io/aws-load-balancer"
_PROXY = 65532  # the user of Envoy's image


def entry(environment: Environment) -> list[Manifest]:
    """Nothing where the gateway is somebody else's."""
    if "envoy-gateway" not in environment.parts:
        return []
    name = environment.gateway.class_name
    reference = {
        "group": "gateway.envoyproxy.io",
        "kind": "EnvoyProxy",
        "name": name,
        "namespace": environment.gateway.pods,
    }
    controller = "gateway.envoyproxy.io/gatewayclass-controller"
    spec = {"controllerName": controller, "parametersRef": reference}
    return [
        manifest("gateway.networking.k8s.io/v1/GatewayClass", name, spec=spec),
        _proxy(environment, name),
    ]


def _proxy(environment: Environment, name: str) -> Manifest:
    pods = {
        "container": {"resources": resources("250m", "512Mi"), "securityContext": _security()},
        "replicas": environment.floor,
    }
    kubernetes: Manifest = {"envoyDeployment": pods}
    if environment.cloud and "aws-load-balancer-controller" in environment.parts:
        kubernetes["envoyService"] = {"annotations": _balancer(environment), "type": "LoadBalancer"}
    return manifest(
        "gateway.envoyproxy.io/v1alpha1/EnvoyProxy",
        name,
        environment.gateway.pods,
        spec={"provider": {"kubernetes": kubernetes, "type": "Kubernetes"}},
    )


def _security() -> Manifest:
    """As locked as its chart's own default, whose sockets need a place to write."""
    return {key: value for key, value in locked(_PROXY).items() if key != "readOnlyRootFilesystem"}


def _balancer(environment: Environment) -> dict[str, str]:
    """A network load balancer to the pods themselves; inside of the network, unless the stack says `public`."""
    scheme = "internet-facing" if environment.gateway.public else "internal"
    return {
        f"{_BALANCER}-name": naming.fitted(naming.base(environment.name), 32),
        f"{_BALANCER}-nlb-target-type": "ip",
        f"{_BALANCER}-scheme": scheme,
        f"{_BALANCER}-type": "external",
    }
