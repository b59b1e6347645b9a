"""What a sweep found, as a change of params.yaml: values in their lines, everything else as it is."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from trainkit.errors import TrainError

BEST = Path("work/best.yaml")
_LINE = re.compile(
    r"(?P<indent>\s+)(?P<name>[A-Za-z_]\w*):(?P<space>\s+)(?P<value>[^#]*?)(?P<rest>\s*(?:\s#.*)?)"
)


def nested(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """`{"train.lr": 0.1}` as `{"train": {"lr": 0.1}}`."""
    found: dict[str, dict[str, Any]] = {}
    for path, value in values.items():
        section, _, name = path.partition(".")
        found.setdefault(section, {})[name] = value
    return found


def write_best(folder: Path, values: Mapping[str, Any], note: str) -> Path:
    """`work/best.yaml`, whole or not at all: the found values, nested as params.yaml is."""
    path = folder / BEST
    path.parent.mkdir(exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_text(f"# {note}\n{yaml.safe_dump(nested(values), sort_keys=False)}", encoding="utf-8")
    draft.replace(path)
    return path


def write_params(folder: Path, values: Mapping[str, Any]) -> None:
    """Put the values into params.yaml, or refuse and leave it."""
    path = folder / "params.yaml"
    text = patched(path.read_text(encoding="utf-8"), values)
    draft = folder / f".params.yaml.{os.getpid()}"
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def patched(text: str, values: Mapping[str, Any]) -> str:
    """The text with other values, comments and order kept; checked by reading it again."""
    lines, section = text.splitlines(keepends=True), ""
    for index, line in enumerate(lines):
        if line[:1].strip() and not line.startswith("#"):
            section = line.partition(":")[0].strip()
        lines[index] = _replaced(line, section, values)
    wanted = yaml.safe_load(text)
    for path, value in values.items():
        of, _, name = path.partition(".")
        wanted[of][name] = value
    done = "".join(lines)
    if yaml.safe_load(done) != wanted:
        raise TrainError(f"params.yaml is not written one parameter a line: put {BEST} into it by hand")
    return done


def _replaced(line: str, section: str, values: Mapping[str, Any]) -> str:
    found = _LINE.fullmatch(line.rstrip("\n"))
    if found is None or f"{section}.{found['name']}" not in values:
        return line
    value = _scalar(values[f"{section}.{found['name']}"])
    return f"{found['indent']}{found['name']}:{found['space']}{value}{found['rest']}\n"


def _scalar(value: Any) -> str:
    return str(yaml.safe_dump(value, default_flow_style=True)).removesuffix("\n").removesuffix("\n...")
