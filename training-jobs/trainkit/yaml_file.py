"""Read YAML strictly: no name twice, no number that YAML 1.1 reads as another than is written."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from trainkit.errors import TrainError

# 010 is 8, and 1:30 is 90, in YAML 1.1; DVC, which reads YAML 1.2, takes them for 10 and for words.
_OTHERWISE = re.compile(r"[-+]?(0[0-7_]*[1-7][0-7_]*|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")

# PyYAML's own, and what its constructors let through: the 31st of February, bytes that are no UTF-8, `!!int ""`.
BROKEN = (yaml.YAMLError, ValueError, LookupError, AttributeError)


class Unclear(yaml.YAMLError):
    """What PyYAML would take, in one of two senses; the text has its line."""


def read_yaml(path: Path, missing: str) -> Any:
    """Parsed YAML; `missing` says what is wrong when there is no such file."""
    try:
        return parsed(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TrainError(f"{missing}: there is no {path}") from None
    except OSError as error:
        raise TrainError(f"{path} cannot be read: {error.strerror}; check its permissions") from None
    except Unclear as error:
        raise TrainError(f"{path}: {error}") from None
    except RecursionError:
        raise TrainError(f"{path} is nested too deeply; write names and values") from None
    except BROKEN as error:
        raise TrainError(f"{path} is not YAML: {' '.join(str(error).split())}") from None


def parsed(text: str) -> Any:
    """Raises what PyYAML does, and Unclear."""
    return yaml.load(text, Loader=_Strict)  # noqa: S506 - a SafeLoader


class _Strict(yaml.SafeLoader):
    """A SafeLoader that refuses rather than guesses."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            name, line = (key.tag, str(key.value)), key.start_mark.line + 1
            if name in lines:
                raise Unclear(f"line {line}: {key.value} is there already, in line {lines[name]}; remove one")
            lines[name] = line
        return super().construct_mapping(node, deep)


def _number(loader: _Strict, node: yaml.ScalarNode) -> int | float:
    whole = node.tag.endswith(":int")
    value: int | float = loader.construct_yaml_int(node) if whole else loader.construct_yaml_float(node)
    if _OTHERWISE.fullmatch(node.value):
        line = node.start_mark.line + 1
        raise Unclear(f"line {line}: {node.value} would be read as {value}; write plain digits")
    return value


for _kind in ("int", "float"):
    _Strict.add_constructor(f"tag:yaml.org,2002:{_kind}", _number)
