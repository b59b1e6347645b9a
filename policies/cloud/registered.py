"""Resources as Pulumi's engine describes them, as the rules take them."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from policies.cloud.resource import UNKNOWN, Resource

_CALLED = ("bucket", "id", "arn", "name")


def resource(
    kind: str,
    name: str,
    props: Mapping[str, Any],
    urn: str = "",
    refers: Mapping[str, frozenset[str]] | None = None,
    provider: Mapping[str, Any] | None = None,
) -> Resource:
    """`provider`: the properties of the provider that makes it, whose default tags it gets."""
    known: dict[str, Any] = {key: _known(props, key) for key in props}
    names = frozenset(known[key] for key in _CALLED if isinstance(known.get(key), str))
    return Resource(kind, name, known, urn, refers or {}, names, default_tags(provider or {}))


def default_tags(provider: Mapping[str, Any]) -> dict[str, str]:
    """Providers hold their configuration as JSON inside of JSON."""
    given = _known(provider, "defaultTags") if "defaultTags" in set(provider) else {}
    if isinstance(given, str):
        given = json.loads(given)
    tags = given.get("tags") if isinstance(given, Mapping) else None
    return dict(tags) if isinstance(tags, Mapping) else {}


def _known(holder: Any, key: Any) -> Any:
    """The plain value; UNKNOWN where the pack's proxies raise, because a preview has none yet."""
    try:
        value = holder[key]
    except Exception as error:
        if type(error).__name__ != "UnknownValueError":
            raise
        return UNKNOWN
    if isinstance(value, Mapping):
        return {name: _known(value, name) for name in value}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_known(value, index) for index in range(len(value))]
    return value
