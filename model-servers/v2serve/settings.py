"""What a server is told: its environment, read once into a typed value."""

import difflib
import ipaddress
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


class SettingsError(ValueError):
    """One line: the variable, its value and the fix."""


@dataclass(frozen=True)
class Settings:
    model_name: str
    model_digest: str
    model_version: str | None
    model_run: str | None
    model_dir: Path
    storage_uri: str | None
    store: str | None
    host: str
    port: int
    threads: int
    max_body_bytes: int
    read_seconds: float
    drain_seconds: float


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of a server; raises SettingsError for a bad, missing or unknown V2SERVE_ variable."""
    values = _read(environment)
    missing = [name for name in ("V2SERVE_MODEL_NAME", "V2SERVE_MODEL_DIGEST") if name not in values]
    if missing:
        raise SettingsError(f"{missing[0]} is not set; it takes {_VARIABLES[missing[0]].takes}")
    return Settings(**{name.removeprefix("V2SERVE_").lower(): value for name, value in values.items()})  # type: ignore[arg-type]


def store_of(environment: Mapping[str, str] = os.environ) -> str | None:
    """V2SERVE_STORE alone, for a fetch that serves nothing."""
    return environment.get("V2SERVE_STORE") or None


def _read(environment: Mapping[str, str]) -> dict[str, object]:
    """Parsed values; an empty variable counts as unset, an absent one has its default."""
    for name in environment:
        if name.startswith("V2SERVE_") and name not in _VARIABLES:
            close = difflib.get_close_matches(name, _VARIABLES, n=1)
            raise SettingsError(f"{name} is not a setting; {f'write {close[0]}' if close else 'remove it'}")
    return {
        name: variable.parse(name, environment[name]) if environment.get(name) else variable.default
        for name, variable in _VARIABLES.items()
        if environment.get(name) or variable.default is not _REQUIRED
    }


def _matching(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError
        return text

    return parse


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        number = int(text)
        if not low <= number <= high:
            raise ValueError
        return number

    return parse


def _seconds(least: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        number = float(text)
        if not (math.isfinite(number) and least <= number <= 600):
            raise ValueError
        return number

    return parse


def _address(text: str) -> str:
    return str(ipaddress.ip_address(text))


@dataclass(frozen=True)
class _Variable:
    takes: str
    convert: Callable[[str], object]
    default: object = None

    def parse(self, name: str, text: str) -> object:
        try:
            return self.convert(text)
        except ValueError:
            raise SettingsError(f"{name} is {text!r}; it takes {self.takes}") from None


_REQUIRED = object()
_VARIABLES = {
    "V2SERVE_MODEL_NAME": _Variable("a name such as iris", _matching(_NAME), _REQUIRED),
    "V2SERVE_MODEL_DIGEST": _Variable("sha256:<64 lowercase hex digits>", _matching(_DIGEST), _REQUIRED),
    "V2SERVE_MODEL_VERSION": _Variable("a version such as 4", _matching(_NAME)),
    "V2SERVE_MODEL_RUN": _Variable("an MLflow run id", _matching(_NAME)),
    "V2SERVE_MODEL_DIR": _Variable("a folder", Path, Path("/mnt/models")),
    "V2SERVE_STORAGE_URI": _Variable("a URI such as s3://bucket/iris/<64 hex>", str),
    "V2SERVE_STORE": _Variable("a URI such as file:///srv/store", str),
    "V2SERVE_HOST": _Variable("an IP address such as 0.0.0.0", _address, "0.0.0.0"),  # noqa: S104 -- a pod serves its network
    "V2SERVE_PORT": _Variable("a port from 1 to 65535", _whole(1, 65535), 8080),
    "V2SERVE_THREADS": _Variable("a number of threads from 1 to 256", _whole(1, 256), 1),
    "V2SERVE_MAX_BODY_BYTES": _Variable("a number of bytes, at least 1024", _whole(1024, 1 << 40), 4 << 20),
    "V2SERVE_READ_SECONDS": _Variable("seconds from 0.1 to 600", _seconds(0.1), 30.0),
    "V2SERVE_DRAIN_SECONDS": _Variable("seconds from 0 to 600", _seconds(0), 0.5),
}
