"""The lock entry: which bytes serve a model in an environment, where they come from, what the gates saw."""

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from infra.declarations.declaration import Declaration
from infra.declarations.errors import MisfitError
from infra.declarations.scalars import (
    Commit,
    Digest,
    FileName,
    HeaderName,
    HeaderValue,
    Metric,
    Number,
    Percent,
    RunId,
)

# Plain only where YAML 1.1, YAML 1.2 and Go agree that it is text; everything else goes in double quotes.
_PLAIN = re.compile(
    r"(?!(?:true|false|null|yes|no|on|off|y|n)$)[A-Za-z][-A-Za-z0-9._/]*(?::[-A-Za-z0-9._/]+)*", re.I
)


class ReleasedVersion(Declaration):
    version: Annotated[int, Field(ge=1)]
    digest: Digest
    run: RunId
    code: Commit
    data: dict[FileName, Digest]
    evidence: dict[Metric, Number]

    @property
    def short(self) -> str:
        """The first 8 hex digits of the digest, the suffix of the InferenceService's name."""
        return self.digest.removeprefix("sha256:")[:8]

    @property
    def hex(self) -> str:
        return self.digest.removeprefix("sha256:")


class Header(Declaration):
    """The request header that chooses the candidate."""

    name: HeaderName
    value: HeaderValue


class Candidate(ReleasedVersion):
    """A version on trial: `canary` gets a share, `header` who asks for it, `shadow` a copy of each call."""

    mode: Literal["canary", "shadow", "header"]
    traffic: Percent | None = None
    header: Header | None = None

    @model_validator(mode="after")
    def _fits_mode(self) -> Self:
        for name, mode in (("traffic", "canary"), ("header", "header")):
            given = getattr(self, name) is not None
            if given and self.mode != mode:
                raise MisfitError((name,), f"is for mode {mode}, not {self.mode}; remove it")
            if self.mode == mode and not given:
                raise MisfitError((name,), f"is missing; mode {mode} needs it")
        return self


class Release(Declaration):
    """One model in one environment. `standby` runs without traffic, ready for a rollback."""

    stable: ReleasedVersion
    candidate: Candidate | None = None
    standby: ReleasedVersion | None = None

    @model_validator(mode="after")
    def _different_bytes(self) -> Self:
        seen = {self.stable.digest: "stable"}
        for name in ("candidate", "standby"):
            version: ReleasedVersion | None = getattr(self, name)
            if version is None:
                continue
            if version.digest in seen:
                raise MisfitError(
                    (name, "digest"), f"{version.digest!r} is {seen[version.digest]} already; remove {name}"
                )
            seen[version.digest] = name
        return self

    @property
    def versions(self) -> dict[str, ReleasedVersion]:
        """Every version that runs, by its role."""
        roles = {"stable": self.stable, "candidate": self.candidate, "standby": self.standby}
        return {role: version for role, version in roles.items() if version is not None}


def release_path(model: str, env: str) -> str:
    return f"model-servers/{model}/releases/{env}.yaml"


def dump_release(release: Release) -> str:
    """The canonical text: the fields in the order of their declaration, data and evidence sorted."""
    value = release.model_dump(exclude_none=True)
    for version in value.values():
        version["data"] = dict(sorted(version["data"].items()))
        version["evidence"] = dict(sorted(version["evidence"].items()))
    return "".join(f"{line}\n" for line in _lines(value, ""))


def _lines(value: dict[str, Any], indent: str) -> Iterator[str]:
    for key, item in value.items():
        name = f"{indent}{_scalar(key)}:"
        if isinstance(item, dict) and item:
            yield name
            yield from _lines(item, indent + "  ")
        else:
            yield f"{name} {_scalar(item)}"


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=True)
    if isinstance(value, float):
        text = repr(value)
        # Without a point YAML 1.1 takes 1e-05 for text.
        return text if "." in text else text.replace("e", ".0e")
    return "{}" if value == {} else str(value)
