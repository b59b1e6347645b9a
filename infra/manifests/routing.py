"""One HTTPRoute for each model: the only thing that moves in a rollout."""

from infra.declarations.environment import Environment
from infra.declarations.model import ServedModel
from infra.declarations.release import Candidate, Release, ReleasedVersion
from infra.manifests import names
from infra.manifests.manifest import MODEL_LABEL, SYNC_WAVE, Manifest, manifest


def route(model: ServedModel, environment: Environment, release: Release) -> Manifest:
    """Wave 1: Argo CD waits until every InferenceService of wave 0 is ready."""
    listener = "https" if environment.gateway.certificate else "http"
    parent = {"name": names.PROJECT, "namespace": names.GATEWAY, "sectionName": listener}
    spec: Manifest = {"parentRefs": [parent], "rules": _rules(model.name, release)}
    if environment.domain:
        spec["hostnames"] = [environment.domain]
    return manifest(
        "gateway.networking.k8s.io/v1/HTTPRoute",
        model.name,
        names.MODELS,
        labels={MODEL_LABEL: model.name},
        annotations={SYNC_WAVE: "1"},
        spec=spec,
    )


def _rules(model: str, release: Release) -> list[Manifest]:
    match: Manifest = {"path": {"type": "PathPrefix", "value": f"/v2/models/{model}"}}
    stable: Manifest = {"backendRefs": [_backend(model, release.stable)], "matches": [match]}
    candidate = release.candidate
    if candidate is None:
        return [stable]
    if candidate.mode == "header":
        return [_on_trial(model, candidate, match), stable]
    if candidate.mode == "shadow":
        mirror = {"requestMirror": {"backendRef": _backend(model, candidate)}, "type": "RequestMirror"}
        return [{**stable, "filters": [mirror]}]
    return [{**stable, "backendRefs": _shares(model, release.stable, candidate)}]


def _on_trial(model: str, candidate: Candidate, match: Manifest) -> Manifest:
    """The rule of who asks for the candidate; Gateway API prefers the match with more headers."""
    header = candidate.header
    asked = [{"name": header.name, "type": "Exact", "value": header.value}] if header else []
    return {"backendRefs": [_backend(model, candidate)], "matches": [{**match, "headers": asked}]}


def _shares(model: str, stable: ReleasedVersion, candidate: Candidate) -> list[Manifest]:
    share = candidate.traffic or 0
    return [
        {**_backend(model, stable), "weight": 100 - share},
        {**_backend(model, candidate), "weight": share},
    ]


def _backend(model: str, version: ReleasedVersion) -> Manifest:
    return {"name": names.backend(model, version), "port": 80}
