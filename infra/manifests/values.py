"""Our values for the charts of other projects: what differs from theirs, limits of each pod, and no rights to spare."""

from collections.abc import Callable
from typing import Any

from infra.declarations import naming
from infra.declarations.cloud import Cloud
from infra.declarations.environment import Environment
from infra.declarations.parts import PartName
from infra.manifests import names

Values = dict[str, Any]

STORAGE_CLASS = "gp3"
_LOKI = "http://loki.monitoring.svc:3100"
_TEMPO = "tempo.monitoring.svc:4317"
_KEEP_DAYS = 14  # of metrics, logs and traces in the cluster
_OTLP = "0.0.0.0"  # noqa: S104 (a pod's own address is not known before it runs)


def values(environment: Environment, name: PartName) -> Values:
    """Empty where the chart's own values are what we want."""
    made = _OF.get(name)
    return made(environment) if made else {}


def _cloud(environment: Environment) -> Cloud:
    """Of a part that is for EKS only, which declarations hold to be there."""
    if environment.cloud is None:
        raise ValueError(f"{environment.name}: no cloud; parts of AWS need `cluster: eks`")
    return environment.cloud


def resources(cpu: str, memory: str) -> Values:
    """As our own pods have them: memory is limited to what is requested, idle cores may be used."""
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}}


def locked(user: int) -> Values:
    """The security context of a container that its chart leaves open."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _replicas(environment: Environment) -> int:
    """As many as an environment has of a model at least: production's floor is two."""
    return environment.floor


def _cert_manager(environment: Environment) -> Values:
    small = resources("20m", "128Mi")
    return {
        "crds": {"enabled": True, "keep": True},
        "replicaCount": _replicas(environment),
        "resources": small,
        "webhook": {"replicaCount": _replicas(environment), "resources": resources("20m", "64Mi")},
        "cainjector": {"resources": resources("20m", "192Mi")},
        "startupapicheck": {"enabled": False},
    }


def _gateway_api(_: Environment) -> Values:
    return {
        "crds": {"gatewayAPI": {"enabled": True, "channel": "standard"}, "envoyGateway": {"enabled": True}}
    }


def _envoy_gateway(environment: Environment) -> Values:
    pod = {"envoyGateway": {"resources": resources("100m", "256Mi")}, "replicas": _replicas(environment)}
    return {"deployment": pod}


def _kserve(_: Environment) -> Values:
    """Routes are ours (HTTPRoute), so that KServe makes Services and Deployments only."""
    return {
        "kserve": {
            "controller": {
                "deploymentMode": "Standard",
                "gateway": {"disableIngressCreation": True, "disableIstioVirtualHost": True},
                "resources": resources("100m", "300Mi"),
            }
        }
    }


def _karpenter(environment: Environment) -> Values:
    """On the system group, never on what it makes itself. Its identity is the service account's, by its name."""
    cloud, env = _cloud(environment), environment.name
    return {
        "replicas": _replicas(environment),
        "serviceAccount": {"name": "karpenter"},
        "settings": {"clusterName": naming.cluster(env), "interruptionQueue": naming.queue(env)},
        "nodeSelector": {"mainline.dev/pool": "system"},
        "controller": {
            "env": [{"name": "AWS_REGION", "value": cloud.region}],
            "resources": resources("250m", "512Mi"),
        },
    }


def _balancer(environment: Environment) -> Values:
    """The network by its name: its id is AWS' choice, and the metadata service is out of a pod's reach."""
    cloud, name = _cloud(environment), naming.base(environment.name)
    return {
        "clusterName": naming.cluster(environment.name),
        "region": cloud.region,
        "vpcTags": {"Name": name},
        "replicaCount": _replicas(environment),
        "serviceAccount": {"name": "aws-load-balancer-controller"},
        "defaultTags": naming.tags(cloud, environment.name),
        "resources": resources("50m", "192Mi"),
    }


def _external_dns(environment: Environment) -> Values:
    """Records of the gateway's host name, and none of anybody else: `upsert-only` removes nothing."""
    return {
        "provider": {"name": "aws"},
        "serviceAccount": {"name": "external-dns"},
        "env": [{"name": "AWS_REGION", "value": _cloud(environment).region}],
        "sources": ["gateway-httproute"],
        "domainFilters": [environment.domain],
        "txtOwnerId": naming.cluster(environment.name),
        "policy": "upsert-only",
        "resources": resources("20m", "96Mi"),
    }


def _external_secrets(environment: Environment) -> Values:
    small = resources("20m", "128Mi")
    return {
        "installCRDs": True,
        "replicaCount": _replicas(environment),
        "serviceAccount": {"name": "external-secrets"},
        "resources": small,
        "webhook": {"resources": small},
        "certController": {"resources": small},
    }


def _prometheus(environment: Environment) -> Values:
    """Every monitor of every namespace; Grafana's login comes from Secrets Manager, and nobody is anonymous."""
    grafana = {
        "admin": {"existingSecret": "grafana", "userKey": "user", "passwordKey": "password"},
        "grafana.ini": {
            "analytics": {"check_for_updates": False, "reporting_enabled": False},
            "auth.anonymous": {"enabled": False},
            "users": {"allow_sign_up": False},
        },
        "resources": resources("100m", "256Mi"),
    }
    return {
        "fullnameOverride": "part-prometheus",
        "grafana": grafana,
        "prometheus": {"prometheusSpec": _prometheus_spec(environment)},
        "alertmanager": {"alertmanagerSpec": {"resources": resources("20m", "64Mi")}},
        "prometheusOperator": {"resources": resources("50m", "128Mi")},
        # EKS runs these, out of reach.
        **{part: {"enabled": False} for part in ("kubeControllerManager", "kubeEtcd", "kubeScheduler")},
        "kube-state-metrics": {"resources": resources("50m", "192Mi")},
        "prometheus-node-exporter": {"resources": resources("20m", "48Mi")},
    }


def _prometheus_spec(environment: Environment) -> Values:
    everywhere = ("podMonitor", "probe", "rule", "serviceMonitor")
    return {
        "replicas": _replicas(environment),
        "retention": f"{_KEEP_DAYS}d",
        "resources": resources("500m", "2Gi"),
        "storageSpec": {"volumeClaimTemplate": {"spec": _claim("50Gi")}},
        **{f"{kind}SelectorNilUsesHelmValues": False for kind in everywhere},
        "additionalScrapeConfigs": [_annotated()],
    }


def _annotated() -> Values:
    """Model servers say by annotations what is to be read of them (docs/v2serve.md)."""
    said = "__meta_kubernetes_pod_annotation_prometheus_io"
    return {
        "job_name": "pods",
        "kubernetes_sd_configs": [{"role": "pod", "namespaces": {"names": [names.MODELS]}}],
        "relabel_configs": [
            {"source_labels": [f"{said}_scrape"], "action": "keep", "regex": "true"},
            {
                "source_labels": [f"{said}_path"],
                "action": "replace",
                "target_label": "__metrics_path__",
                "regex": "(.+)",
            },
            {
                "source_labels": ["__address__", f"{said}_port"],
                "action": "replace",
                "target_label": "__address__",
                "regex": "([^:]+)(?::[0-9]+)?;([0-9]+)",
                "replacement": "$1:$2",
            },
            {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
            {"action": "labelmap", "regex": "__meta_kubernetes_pod_label_(mainline_dev_model)"},
        ],
    }


def _claim(size: str) -> Values:
    return {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": size}},
        "storageClassName": STORAGE_CLASS,
    }


def _loki(_: Environment) -> Values:
    """One process and one disk: what is in it is for people who look, and may be lost."""
    off = {"replicas": 0}
    config = {
        "from": "2026-01-01",
        "store": "tsdb",
        "object_store": "filesystem",
        "schema": "v13",
        "index": {"prefix": "loki_index_", "period": "24h"},
    }
    return {
        "deploymentMode": "SingleBinary",
        "fullnameOverride": "loki",
        "loki": {
            "auth_enabled": False,
            "commonConfig": {"replication_factor": 1},
            "storage": {"type": "filesystem"},
            "schemaConfig": {"configs": [config]},
            "limits_config": {"retention_period": f"{_KEEP_DAYS * 24}h", "allow_structured_metadata": True},
            "compactor": {"retention_enabled": True, "delete_request_store": "filesystem"},
        },
        "singleBinary": {
            "replicas": 1,
            "persistence": {"size": "50Gi", "storageClass": STORAGE_CLASS},
            "resources": resources("250m", "1Gi"),
        },
        **dict.fromkeys(("backend", "read", "write"), off),
        **{
            part: {"enabled": False}
            for part in ("chunksCache", "gateway", "lokiCanary", "resultsCache", "test")
        },
    }


def _tempo(_: Environment) -> Values:
    return {
        "fullnameOverride": "tempo",
        "tempo": {
            "retention": f"{_KEEP_DAYS * 24}h",
            "reportingEnabled": False,
            "resources": resources("100m", "512Mi"),
        },
        "persistence": {"enabled": True, "size": "20Gi", "storageClassName": STORAGE_CLASS},
    }


def _opentelemetry(_: Environment) -> Values:
    """What servers tell by OTLP goes to Tempo and Loki; docs/v2serve.md names the variables."""
    pipeline = {"receivers": ["otlp"], "processors": ["memory_limiter", "batch"]}
    return {
        "mode": "deployment",
        "fullnameOverride": "otel-collector",
        "image": {"repository": "otel/opentelemetry-collector-k8s"},
        "resources": resources("100m", "256Mi"),
        "securityContext": locked(names.USER),
        "config": {
            "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"{_OTLP}:4317"}}}},
            "exporters": {
                "otlp/tempo": {"endpoint": _TEMPO, "tls": {"insecure": True}},
                "otlphttp/loki": {"endpoint": f"{_LOKI}/otlp"},
            },
            "service": {
                "pipelines": {
                    "traces": {**pipeline, "exporters": ["otlp/tempo"]},
                    "logs": {**pipeline, "exporters": ["otlphttp/loki"]},
                }
            },
        },
    }


def _kueue(environment: Environment) -> Values:
    manager = {"resources": resources("100m", "512Mi")}
    return {"controllerManager": {"replicas": _replicas(environment), "manager": manager}}


def _trainer(_: Environment) -> Values:
    return {"manager": {"replicas": 1, "resources": resources("100m", "256Mi")}, "jobset": {"install": True}}


def _mlflow(environment: Environment) -> Values:
    """Artifacts pass through the server, whose pods take the role of their service account; the database's address
    is a secret with its password.
    """
    cloud = _cloud(environment)
    bucket = naming.bucket(cloud, environment.name, "mlflow")
    return {
        "fullnameOverride": "mlflow",
        "replicaCount": _replicas(environment),
        "serviceAccount": {"create": True, "name": "mlflow"},
        "extraSecretNamesForEnvFrom": ["mlflow"],  # MLFLOW_BACKEND_STORE_URI
        "extraEnvVars": {"AWS_DEFAULT_REGION": cloud.region, "HOME": "/tmp"},  # noqa: S108 (an emptyDir of the pod)
        "artifactRoot": {"proxiedArtifactStorage": True, "s3": {"enabled": True, "bucket": bucket}},
        "extraVolumes": [{"name": "tmp", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
        "resources": resources("250m", "1Gi"),
        "podSecurityContext": {"fsGroup": names.USER, "runAsNonRoot": True},
        "securityContext": locked(names.USER),
    }


def _opencost(environment: Environment) -> Values:
    internal = {
        "enabled": True,
        "namespaceName": "monitoring",
        "serviceName": "part-prometheus-prometheus",
        "port": 9090,
    }
    return {
        "opencost": {
            "prometheus": {"internal": internal},
            "exporter": {
                "defaultClusterId": naming.cluster(environment.name),
                "resources": resources("50m", "256Mi"),
                "securityContext": locked(1001),
            },
            "ui": {"enabled": False},
        }
    }


def _velero(environment: Environment) -> Values:
    """Objects of the cluster that Git does not have: disks are no part of it, and the database has AWS Backup."""
    cloud = _cloud(environment)
    plugin = {
        "name": "velero-plugin-for-aws",
        "image": "velero/velero-plugin-for-aws:v1.13.1",
        "securityContext": locked(names.USER),
        "resources": resources("20m", "64Mi"),
        "volumeMounts": [{"mountPath": "/target", "name": "plugins"}],
    }
    place = {
        "name": "default",
        "provider": "aws",
        "bucket": naming.bucket(cloud, environment.name, "velero"),
        "default": True,
        "config": {"region": cloud.region},
    }
    daily = {"schedule": "30 2 * * *", "template": {"ttl": f"{cloud.backup.days * 24}h"}}
    return {
        "initContainers": [plugin],
        "credentials": {"useSecret": False},
        "serviceAccount": {"server": {"create": True, "name": "velero"}},
        "configuration": {"backupStorageLocation": [place]},
        "snapshotsEnabled": False,
        "deployNodeAgent": False,
        "upgradeCRDs": False,
        "schedules": {"daily": daily},
        "resources": resources("100m", "256Mi"),
        "podSecurityContext": {"fsGroup": names.USER, "runAsNonRoot": True},
        "containerSecurityContext": locked(names.USER),
    }


_OF: dict[PartName, Callable[[Environment], Values]] = {
    "aws-load-balancer-controller": _balancer,
    "cert-manager": _cert_manager,
    "envoy-gateway": _envoy_gateway,
    "external-dns": _external_dns,
    "external-secrets": _external_secrets,
    "gateway-api": _gateway_api,
    "karpenter": _karpenter,
    "kserve": _kserve,
    "kueue": _kueue,
    "loki": _loki,
    "mlflow": _mlflow,
    "opencost": _opencost,
    "opentelemetry": _opentelemetry,
    "prometheus": _prometheus,
    "tempo": _tempo,
    "trainer": _trainer,
    "velero": _velero,
}
