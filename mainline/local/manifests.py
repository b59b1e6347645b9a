"""What one machine reads out of a commit's manifests: applications with services and routes; pure."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, cast

import yaml

from mainline.local.routes import Route, RouteError, parse_route

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_WAVE_FOLDER = re.compile(r"\d+-[a-z]+")
_DEFAULT_COMMAND = ("python", "-m", "v2serve", "serve")
Manifest = Mapping[str, Any]


class ManifestError(ValueError):
    """A commit that cannot be run, in one line that names file, field, value and fix."""


@dataclass(frozen=True, slots=True)
class Service:
    """An InferenceService as one machine runs it: `replicas` processes of one digest."""

    name: str
    model: str
    digest: str
    version: str
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    replicas: int = 1

    @property
    def backend(self) -> str:
        """The Service that KServe would make."""
        return f"{self.name}-predictor"

    @property
    def revision(self) -> str:
        """Names everything that a running process cannot take over without being replaced."""
        return _revision(self.name, self.model, self.digest, self.command, self.environment)


@lru_cache(maxsize=4096)
def _revision(*told: object) -> str:
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Application:
    """One folder of manifests, synced on its own."""

    name: str
    services: Mapping[str, Service] = field(default_factory=dict)
    routes: Mapping[str, Route] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Found:
    path: str
    manifest: Manifest

    @property
    def identity(self) -> tuple[str, str, str, str]:
        group = str(self.manifest["apiVersion"]).rpartition("/")[0]
        metadata = self.manifest["metadata"]
        return group, str(self.manifest["kind"]), str(metadata.get("namespace", "")), str(metadata["name"])


def parse(files: Mapping[str, str], env: str, replicas: int = 1) -> dict[str, Application]:
    """Applications of `clusters/<env>/`, by folder.

    `replicas` caps every service's minReplicas, since one machine is one machine. Raises ManifestError.
    """
    prefix = f"clusters/{env}/"
    paths = sorted(path for path in files if path.startswith(prefix) and path.endswith((".yaml", ".yml")))
    found = [_Found(path, manifest) for path in paths for manifest in _documents(path, files[path])]
    _refuse_twins(found)
    runtimes = {item.identity[3]: item for item in found if item.manifest["kind"] == "ClusterServingRuntime"}
    services = _services(found, runtimes, replicas)
    routes = _routes(found, {service.backend for _, service in services})
    return _grouped(prefix, services, routes)


def _grouped(
    prefix: str, services: list[tuple[str, Service]], routes: list[tuple[str, Route]]
) -> dict[str, Application]:
    names = sorted({folder(path, prefix) for path, _ in (*services, *routes)})
    return {
        name: Application(
            name,
            {service.name: service for path, service in services if folder(path, prefix) == name},
            {
                f"{route.namespace}/{route.name}": route
                for path, route in routes
                if folder(path, prefix) == name
            },
        )
        for name in names
    }


def folder(path: str, prefix: str) -> str:
    """clusters/local/models/iris/1-manifest/x.yaml -> models/iris."""
    parts = path.removeprefix(prefix).split("/")[:-1]
    if parts and _WAVE_FOLDER.fullmatch(parts[-1]):
        parts = parts[:-1]
    return "/".join(parts) or "."


def _documents(path: str, text: str) -> Iterator[Manifest]:
    try:
        documents = _load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ManifestError(f"{path}: is not YAML ({_one_line(error)})") from error
    if not documents:
        raise ManifestError(f"{path}: is empty; a manifest has apiVersion, kind and metadata.name")
    for document in documents:
        yield _checked(path, document)


@lru_cache(maxsize=4096)
def _load(text: str) -> tuple[Any, ...]:
    # Most files are the same in two commits, and reading them is most of the work; nobody changes the values.
    return tuple(yaml.load_all(text, Loader=_LOADER))


def _checked(path: str, document: Any) -> Manifest:
    if not isinstance(document, dict):
        raise ManifestError(
            f"{path}: {_short(document)} is not a mapping with apiVersion, kind and metadata.name"
        )
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    required = {"apiVersion": document.get("apiVersion"), "kind": document.get("kind"), "metadata.name": name}
    for field_name, value in required.items():
        if not isinstance(value, str) or not value:
            raise ManifestError(
                f"{path}: {field_name}: {_short(value)} is not a name; every manifest has one"
            )
    return cast(Manifest, document)


def _refuse_twins(found: list[_Found]) -> None:
    seen: dict[tuple[str, ...], str] = {}
    for item in found:
        if item.identity in seen:
            _, kind, namespace, name = item.identity
            raise ManifestError(
                f"{item.path}: {kind} {namespace}/{name} is in {seen[item.identity]} too; keep one of them"
            )
        seen[item.identity] = item.path


def _services(found: list[_Found], runtimes: Mapping[str, _Found], cap: int) -> list[tuple[str, Service]]:
    services: dict[str, tuple[str, Service]] = {}
    for item in found:
        if item.manifest["kind"] != "InferenceService":
            continue
        service = _service(item, runtimes, cap)
        if service.name in services:
            other = services[service.name][0]
            raise ManifestError(
                f"{item.path}: InferenceService {service.name} is in {other} too, in another namespace"
            )
        services[service.name] = item.path, service
    return list(services.values())


def _service(item: _Found, runtimes: Mapping[str, _Found], cap: int) -> Service:
    name = str(item.manifest["metadata"]["name"])
    if not _NAME.fullmatch(name):
        raise ManifestError(f"{item.path}: metadata.name: {name!r} is not a lower case DNS label")
    predictor = _at(item, "spec", "predictor")
    model = _at(item, "spec", "predictor", "model")
    container = _container(item, runtimes, model.get("runtime"))
    told = dict(_environment(item.path, container.get("env"), "containers[0].env"))
    told.update(_environment(item.path, model.get("env"), "spec.predictor.model.env"))
    told["V2SERVE_STORAGE_URI"] = _storage(item, model.get("storageUri"), told)
    _refuse_name(item, name, told["V2SERVE_MODEL_DIGEST"])
    return Service(
        name=name,
        model=told["V2SERVE_MODEL_NAME"],
        digest=told["V2SERVE_MODEL_DIGEST"],
        version=told.get("V2SERVE_MODEL_VERSION", ""),
        command=_command(item.path, container),
        environment=tuple(sorted(told.items())),
        replicas=_replicas(item, predictor.get("minReplicas", 1), cap),
    )


def _container(item: _Found, runtimes: Mapping[str, _Found], runtime: Any) -> Manifest:
    if not isinstance(runtime, str) or runtime not in runtimes:
        known = ", ".join(sorted(runtimes)) or "none"
        raise ManifestError(
            f"{item.path}: spec.predictor.model.runtime: {runtime!r} is no ClusterServingRuntime here; known: {known}"
        )
    owner = runtimes[runtime]
    containers = _at(owner, "spec").get("containers")
    if not isinstance(containers, list) or not containers or not isinstance(containers[0], dict):
        raise ManifestError(f"{owner.path}: spec.containers: {_short(containers)} names no container to run")
    return cast(Manifest, containers[0])


def _command(path: str, container: Manifest) -> tuple[str, ...]:
    command, arguments = container.get("command") or [], container.get("args") or []
    if not all(
        isinstance(part, list) and all(isinstance(word, str) for word in part)
        for part in (command, arguments)
    ):
        raise ManifestError(f"{path}: containers[0].command and args of the runtime are lists of words")
    # Without a command an image runs its own, which is the server.
    return (*(command or (() if arguments[:1] == ["python"] else _DEFAULT_COMMAND)), *arguments)


def _environment(path: str, value: Any, where: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, list | None):
        raise ManifestError(f"{path}: {where}: {_short(value)} is not a list of name and value")
    for entry in value or []:
        name, text = (entry.get("name"), entry.get("value", "")) if isinstance(entry, dict) else (None, None)
        if not isinstance(name, str) or not isinstance(text, str) or "valueFrom" in entry:
            raise ManifestError(f"{path}: {where}: {_short(entry)} is not {{name: text, value: text}}")
        yield name, text


def _storage(item: _Found, uri: Any, told: Mapping[str, str]) -> str:
    for name in ("V2SERVE_MODEL_NAME", "V2SERVE_MODEL_DIGEST"):
        if not told.get(name):
            raise ManifestError(
                f"{item.path}: spec.predictor.model.env: {name} is missing; a server is told what it serves"
            )
    if not _MODEL.fullmatch(told["V2SERVE_MODEL_NAME"]):
        raise ManifestError(
            f"{item.path}: V2SERVE_MODEL_NAME: {told['V2SERVE_MODEL_NAME']!r} is not a model's name"
        )
    digest = told["V2SERVE_MODEL_DIGEST"]
    if not _DIGEST.fullmatch(digest):
        raise ManifestError(f"{item.path}: V2SERVE_MODEL_DIGEST: {digest!r} is not sha256: and 64 hex digits")
    expected = f"{told['V2SERVE_MODEL_NAME']}/{digest.removeprefix('sha256:')}"
    if not isinstance(uri, str) or not uri.endswith(f"/{expected}"):
        raise ManifestError(
            f"{item.path}: spec.predictor.model.storageUri: {uri!r} does not end with {expected}"
        )
    return uri


def _refuse_name(item: _Found, name: str, digest: str) -> None:
    suffix = digest.removeprefix("sha256:")[:8]
    if not name.endswith(f"-{suffix}"):
        # Two digests under one name would make a healthy object the old model.
        raise ManifestError(
            f"{item.path}: metadata.name: {name!r} does not end with -{suffix}, the start of its digest"
        )


def _replicas(item: _Found, value: Any, cap: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ManifestError(f"{item.path}: spec.predictor.minReplicas: {_short(value)} is not a whole number")
    return max(1, min(value, cap))


def _routes(found: list[_Found], backends: set[str]) -> list[tuple[str, Route]]:
    routes = []
    for item in found:
        if item.manifest["kind"] != "HTTPRoute":
            continue
        try:
            route = parse_route(item.manifest)
        except RouteError as error:
            raise ManifestError(f"{item.path}: {error}") from error
        missing = sorted(route.services() - backends)
        if missing:
            raise ManifestError(
                f"{item.path}: backend {missing[0]} is the Service of no InferenceService of this commit"
            )
        routes.append((item.path, route))
    return routes


def _at(item: _Found, *keys: str) -> Manifest:
    value: Any = item.manifest
    for depth, key in enumerate(keys):
        value = value.get(key)
        if not isinstance(value, dict):
            raise ManifestError(
                f"{item.path}: {'.'.join(keys[: depth + 1])}: {_short(value)} is not a mapping"
            )
    return cast(Manifest, value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
