"""What a server is told: its environment, read once into a typed value."""

import difflib
import ipaddress
import json
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_URI = re.compile(r"[a-z0-9]+://\S+", re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,18}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


class SettingsError(ValueError):
    """One line: the variable, its value and the fix."""


@dataclass(frozen=True)
class ModelSettings:
    """One release to serve: what Git names, where its bytes lie or come from."""

    name: str
    digest: str
    version: str | None
    run: str | None
    dir: Path
    storage_uri: str | None


@dataclass(frozen=True)
class Settings:
    models: tuple[ModelSettings, ...]
    store: str | None
    host: str
    port: int
    threads: int | None  # None: from the limit of the container
    providers: tuple[str, ...]
    concurrency: int
    queue: int
    max_batch: int
    deadline_seconds: float
    max_body_bytes: int
    max_held_bytes: int
    max_elements: int
    read_seconds: float
    drain_seconds: float
    access_log: float  # the share of requests that are logged; 0: no log


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of a server; raises SettingsError for a bad, missing or unknown V2SERVE_ variable."""
    values = _read(environment)
    several = values.pop("V2SERVE_MODELS")
    one = {name: values.pop(name, None) for name in _ONE_MODEL}
    models = several if isinstance(several, tuple) else (_one_model(one),)
    if several is not None and (given := next((name for name in _ONE_MODEL if environment.get(name)), None)):
        raise SettingsError(
            f"{given} and V2SERVE_MODELS are both set; name the model in V2SERVE_MODELS alone"
        )
    return Settings(
        models=models,
        **{name.removeprefix("V2SERVE_").lower(): value for name, value in values.items()},  # type: ignore[arg-type]
    )


def _one_model(values: Mapping[str, object]) -> ModelSettings:
    for name in ("V2SERVE_MODEL_NAME", "V2SERVE_MODEL_DIGEST"):
        if values[name] is None:
            raise SettingsError(f"{name} is not set; it takes {_VARIABLES[name].takes}")
    fields = {_ONE_MODEL[name]: value for name, value in values.items()}
    return ModelSettings(**fields)  # type: ignore[arg-type]


def store_of(environment: Mapping[str, str] = os.environ) -> str | None:
    """V2SERVE_STORE alone, for a fetch that serves nothing."""
    return environment.get("V2SERVE_STORE") or None


def _read(environment: Mapping[str, str]) -> dict[str, object]:
    """Parsed values; an empty variable counts as unset, an absent one has its default."""
    for name in environment:
        if name.startswith("V2SERVE_") and name not in _VARIABLES:
            close = difflib.get_close_matches(name, _VARIABLES, n=1, cutoff=0.8)
            raise SettingsError(f"{name} is not a setting; {f'write {close[0]}' if close else 'remove it'}")
    return {
        name: variable.parse(name, environment[name]) if environment.get(name) else variable.default
        for name, variable in _VARIABLES.items()
    }


def _matching(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError
        return text

    return parse


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not _DIGITS.fullmatch(text):  # int() takes "9_120" and other alphabets' digits too
            raise ValueError
        number = int(text)
        if not low <= number <= high:
            raise ValueError
        return number

    return parse


def _seconds(least: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        number = _decimal(text)
        if not (math.isfinite(number) and least <= number <= 600):
            raise ValueError
        return number

    return parse


def _decimal(text: str) -> float:
    if not _DECIMAL.fullmatch(text):
        raise ValueError
    return float(text)


def _share(text: str) -> float:
    number = _decimal(text)
    if not 0 <= number <= 1:
        raise ValueError
    return number


def _providers(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(re.fullmatch(r"[A-Za-z]+ExecutionProvider", name, re.ASCII) for name in names):
        raise ValueError
    return names


def _models(text: str) -> tuple[ModelSettings, ...]:
    """A JSON list of objects with the fields of ModelSettings; the first four of them checked as the variables are."""
    try:
        listed = json.loads(text)
    except RecursionError:
        raise ValueError from None
    if not isinstance(listed, list) or not listed:
        raise ValueError
    return tuple(_model(number, entry) for number, entry in enumerate(listed))


def _text(field: str, given: object) -> str:
    """Strings; a version may be a number. "" is refused by what parses it, and so is the text of anything else."""
    return given if isinstance(given, str) else str(given) if field == "version" else ""


def _model(number: int, entry: object) -> ModelSettings:
    fields = {field: name for name, field in _ONE_MODEL.items()}
    where = f"V2SERVE_MODELS[{number}]"
    if not isinstance(entry, dict):
        raise SettingsError(f"{where} is {entry!r}; it takes an object with name, digest and dir")
    for field in entry:
        if field not in fields:
            raise SettingsError(f"{where}.{field} is not a field; they are {', '.join(fields)}")
    values: dict[str, object] = {}
    for field, name in fields.items():
        given = entry.get(field)
        if given is None and field in ("name", "digest", "dir"):
            raise SettingsError(f"{where}.{field} is not set; it takes {_VARIABLES[name].takes}")
        values[field] = (
            None if given is None else _VARIABLES[name].parse(f"{where}.{field}", _text(field, given))
        )
    return ModelSettings(**values)  # type: ignore[arg-type]


def _folder(text: str) -> Path:
    if not text:
        raise ValueError
    return Path(text)


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
        except SettingsError:  # it says more
            raise
        except ValueError:
            raise SettingsError(f"{name} is {text!r}; it takes {self.takes}") from None


_ONE_MODEL = {
    "V2SERVE_MODEL_NAME": "name",
    "V2SERVE_MODEL_DIGEST": "digest",
    "V2SERVE_MODEL_VERSION": "version",
    "V2SERVE_MODEL_RUN": "run",
    "V2SERVE_MODEL_DIR": "dir",
    "V2SERVE_STORAGE_URI": "storage_uri",
}
_VARIABLES = {
    "V2SERVE_MODEL_NAME": _Variable("a name such as iris", _matching(_NAME)),
    "V2SERVE_MODEL_DIGEST": _Variable("sha256:<64 lowercase hex digits>", _matching(_DIGEST)),
    "V2SERVE_MODEL_VERSION": _Variable("a version such as 4", _matching(_NAME)),
    "V2SERVE_MODEL_RUN": _Variable("an MLflow run id", _matching(_NAME)),
    "V2SERVE_MODEL_DIR": _Variable("a folder", _folder, Path("/mnt/models")),
    "V2SERVE_STORAGE_URI": _Variable("a URI such as s3://bucket/iris/<64 hex>", _matching(_URI)),
    "V2SERVE_MODELS": _Variable(
        'a JSON list such as [{"name": "iris", "digest": "sha256:...", "dir": "/mnt/iris"}]', _models
    ),
    "V2SERVE_STORE": _Variable("a URI such as file:///srv/store", str),
    "V2SERVE_HOST": _Variable("an IP address such as 0.0.0.0", _address, "0.0.0.0"),  # noqa: S104 -- a pod serves its network
    "V2SERVE_PORT": _Variable("a port from 1 to 65535", _whole(1, 65535), 8080),
    "V2SERVE_THREADS": _Variable("a number of threads from 1 to 256", _whole(1, 256)),
    "V2SERVE_PROVIDERS": _Variable(
        "names such as CUDAExecutionProvider,CPUExecutionProvider", _providers, ("CPUExecutionProvider",)
    ),
    "V2SERVE_CONCURRENCY": _Variable("a number of inferences from 1 to 256", _whole(1, 256), 1),
    "V2SERVE_QUEUE": _Variable("a number of requests from 0 to 100000", _whole(0, 100_000), 128),
    "V2SERVE_MAX_BATCH": _Variable("a number of rows from 1 to 65536", _whole(1, 65_536), 1),
    "V2SERVE_DEADLINE_SECONDS": _Variable("seconds from 0.01 to 600", _seconds(0.01), 30.0),
    "V2SERVE_MAX_BODY_BYTES": _Variable("a number of bytes, at least 1024", _whole(1024, 1 << 40), 4 << 20),
    "V2SERVE_MAX_HELD_BYTES": _Variable("a number of bytes, at least 1024", _whole(1024, 1 << 40), 64 << 20),
    "V2SERVE_MAX_ELEMENTS": _Variable("a number of values, at least 1", _whole(1, 1 << 40), 4 << 20),
    "V2SERVE_READ_SECONDS": _Variable("seconds from 0.1 to 600", _seconds(0.1), 30.0),
    "V2SERVE_DRAIN_SECONDS": _Variable("seconds from 0 to 600", _seconds(0), 0.5),
    "V2SERVE_ACCESS_LOG": _Variable("the share of requests to log, from 0 to 1", _share, 0.0),
}
