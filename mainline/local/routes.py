"""HTTPRoutes as values: read from a manifest, kept in objects.json, matched by the gateway."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

_DURATION = re.compile(r"(\d{1,5})(h|ms|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_RULE_FIELDS = {"name", "matches", "filters", "backendRefs", "timeouts"}
_MATCH_FIELDS = {"path", "headers", "method"}


class RouteError(ValueError):
    """A route that this gateway cannot honour; names the field, the value and the fix."""


@dataclass(frozen=True, slots=True)
class Match:
    """One alternative of a rule; header names are lower case, values exact."""

    path: str = "/"
    exact: bool = False
    method: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Backend:
    service: str
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Mirror:
    """A service that gets a copy of `percent` of the requests; its answers go nowhere."""

    service: str
    percent: float = 100.0


@dataclass(frozen=True, slots=True)
class Rule:
    """`timeout` in seconds, None for the gateway's own."""

    matches: tuple[Match, ...]
    backends: tuple[Backend, ...]
    mirrors: tuple[Mirror, ...] = ()
    timeout: float | None = None


@dataclass(frozen=True, slots=True)
class Route:
    namespace: str
    name: str
    rules: tuple[Rule, ...]

    def services(self) -> set[str]:
        """Every Service that an answer or a copy may come from."""
        backends = {backend.service for rule in self.rules for backend in rule.backends}
        return backends | {mirror.service for rule in self.rules for mirror in rule.mirrors}


def to_json(route: Route) -> dict[str, Any]:
    return asdict(route)


def from_json(value: Mapping[str, Any]) -> Route:
    """The inverse of `to_json`; raises KeyError or TypeError for anything else."""
    return Route(value["namespace"], value["name"], tuple(_rule_from_json(rule) for rule in value["rules"]))


def _rule_from_json(value: Mapping[str, Any]) -> Rule:
    matches = tuple(
        Match(
            match["path"],
            match["exact"],
            match["method"],
            tuple((name, text) for name, text in match["headers"]),
        )
        for match in value["matches"]
    )
    backends = tuple(Backend(**backend) for backend in value["backends"])
    return Rule(matches, backends, tuple(Mirror(**mirror) for mirror in value["mirrors"]), value["timeout"])


def parse_route(manifest: Mapping[str, Any]) -> Route:
    """An HTTPRoute's rules; whatever could change where a request goes and is not known here is refused."""
    metadata = manifest["metadata"]
    spec = _mapping(manifest.get("spec"), "spec")
    rules = _list(spec.get("rules"), "spec.rules")
    if not rules:
        raise RouteError("spec.rules: [] routes nothing; give it one rule")
    if spec.get("hostnames"):
        raise RouteError(
            f"spec.hostnames: {spec['hostnames']!r} are not told apart on one machine; leave them out"
        )
    parsed = tuple(_rule(rule, f"spec.rules[{index}]") for index, rule in enumerate(rules))
    return Route(str(metadata.get("namespace", "default")), str(metadata["name"]), parsed)


def _rule(value: Any, field: str) -> Rule:
    rule = _known(_mapping(value, field), _RULE_FIELDS, field)
    matches = _list(rule.get("matches"), f"{field}.matches") or [{}]
    backends = _backends(rule.get("backendRefs"), f"{field}.backendRefs")
    mirrors = tuple(
        _mirror(item, f"{field}.filters[{i}]") for i, item in enumerate(_list(rule.get("filters"), field))
    )
    parsed = tuple(_match(item, f"{field}.matches[{i}]") for i, item in enumerate(matches))
    return Rule(parsed, backends, mirrors, _timeout(rule.get("timeouts"), f"{field}.timeouts"))


def _backends(value: Any, field: str) -> tuple[Backend, ...]:
    refs = _list(value, field)
    backends = tuple(_backend(ref, f"{field}[{index}]") for index, ref in enumerate(refs))
    if sum(backend.weight for backend in backends) == 0:
        raise RouteError(f"{field}: no weight above 0, so no backend could answer; give one of them a weight")
    return backends


def _backend(value: Any, field: str) -> Backend:
    ref = _known(_mapping(value, field), {"group", "kind", "name", "namespace", "port", "weight"}, field)
    weight = ref.get("weight", 1)
    if not isinstance(weight, int) or isinstance(weight, bool) or not 0 <= weight <= 1_000_000:
        raise RouteError(f"{field}.weight: {weight!r} is not a whole number from 0 to 1000000")
    return Backend(_service(ref, field), weight)


def _mirror(value: Any, field: str) -> Mirror:
    item = _mapping(value, field)
    if item.get("type") != "RequestMirror":
        raise RouteError(
            f"{field}.type: {item.get('type')!r} is not honoured on one machine; only RequestMirror is"
        )
    mirror = _known(
        _mapping(item.get("requestMirror"), f"{field}.requestMirror"), {"backendRef", "percent"}, field
    )
    percent = mirror.get("percent", 100)
    if not isinstance(percent, int) or isinstance(percent, bool) or not 0 <= percent <= 100:
        raise RouteError(f"{field}.requestMirror.percent: {percent!r} is not a whole number from 0 to 100")
    reference = _mapping(mirror.get("backendRef"), f"{field}.requestMirror.backendRef")
    return Mirror(_service(reference, f"{field}.requestMirror.backendRef"), float(percent))


def _service(ref: Mapping[str, Any], field: str) -> str:
    name, kind = ref.get("name"), ref.get("kind", "Service")
    if kind != "Service" or not isinstance(name, str) or not name:
        raise RouteError(f"{field}: {kind} {name!r} is not a Service by name")
    if ref.get("port") != 80:
        raise RouteError(f"{field}.port: {ref.get('port')!r}; the Service of an InferenceService has port 80")
    return name


def _match(value: Any, field: str) -> Match:
    match = _known(_mapping(value, field), _MATCH_FIELDS, field)
    path = _mapping(match.get("path", {}), f"{field}.path")
    kind, text = path.get("type", "PathPrefix"), path.get("value", "/")
    if kind not in ("PathPrefix", "Exact"):
        raise RouteError(f"{field}.path.type: {kind!r} is not PathPrefix or Exact")
    if not isinstance(text, str) or not text.startswith("/"):
        raise RouteError(f"{field}.path.value: {text!r} does not start with /")
    headers = tuple(
        _header(item, f"{field}.headers") for item in _list(match.get("headers"), f"{field}.headers")
    )
    path_value = text if kind == "Exact" else text.rstrip("/") or "/"
    return Match(path_value, kind == "Exact", _method(match.get("method"), field), headers)


def _method(value: Any, field: str) -> str | None:
    if value is not None and (not isinstance(value, str) or not value.isupper()):
        raise RouteError(f"{field}.method: {value!r} is not an HTTP method such as POST")
    return value


def _header(value: Any, field: str) -> tuple[str, str]:
    header = _mapping(value, field)
    kind, name, text = header.get("type", "Exact"), header.get("name"), header.get("value")
    if kind != "Exact" or not isinstance(name, str) or not isinstance(text, str):
        raise RouteError(f"{field}: {dict(header)!r} is not {{type: Exact, name: text, value: text}}")
    return name.lower(), text


def _timeout(value: Any, field: str) -> float | None:
    timeouts = _known(_mapping({} if value is None else value, field), {"request", "backendRequest"}, field)
    text = timeouts.get("request", timeouts.get("backendRequest"))
    return None if text is None else _seconds(text, field)


def _seconds(value: Any, field: str) -> float | None:
    """A Gateway API duration such as 1h30m or 500ms; 0s means no timeout of its own."""
    text = str(value)
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise RouteError(f"{field}: {value!r} is not a duration such as 30s or 500ms")
    return sum(int(number) * _SECONDS[unit] for number, unit in parts) or None


def _mapping(value: Any, field: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise RouteError(f"{field}: {value!r} is not a mapping")
    return cast(Mapping[str, Any], value)


def _list(value: Any, field: str) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise RouteError(f"{field}: {value!r} is not a list")
    return list(value or [])


def _known(value: Mapping[str, Any], fields: Iterable[str], field: str) -> Mapping[str, Any]:
    strange = sorted(map(str, set(value) - set(fields)))
    if strange:
        raise RouteError(f"{field}.{strange[0]}: not honoured on one machine; take it out")
    return value
