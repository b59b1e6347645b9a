"""How go-yaml v2 writes a scalar: plain unless a Go reader would take it for something else than this text.

Source: gopkg.in/yaml.v2, encode.go, resolve.go and emitterc.go, as sigs.k8s.io/yaml and so pulumi-kubernetes use it.
"""

import re
from datetime import date
from functools import lru_cache
from typing import Literal

Style = Literal["plain", "single", "double", "literal"]

WIDTH = 80
_WORDS = frozenset(
    word
    for lower in (
        "y",
        "yes",
        "true",
        "on",
        "n",
        "no",
        "false",
        "off",
        "null",
        "~",
        "",
        ".nan",
        ".inf",
        "+.inf",
        "-.inf",
    )
    for word in (lower, lower.title(), lower.upper())
) | {".NaN", ".Inf", "+.Inf", "-.Inf"}
_POINT = re.compile(r"\.[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+(?:_[0-9]+)*)?")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INTEGER = re.compile(
    r"(?P<sign>[-+]?)(?:0[xX](?P<x>[0-9a-fA-F]+)|0[bB](?P<b>[01]+)|0[oO]?(?P<o>[0-7]+)|(?P<d>0|[1-9][0-9]*))"
)
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")
_TIME = re.compile(
    r"(?P<y>[0-9]{4})-(?P<m>[0-9]{1,2})-(?P<d>[0-9]{1,2})"
    r"(?:(?P<t>[Tt ])(?P<H>[0-9]{1,2}):(?P<M>[0-9]{1,2}):(?P<S>[0-9]{1,2})(?:[.,][0-9]+)?"
    r"(?P<z>Z|[-+](?P<zh>[0-9]{2}):(?P<zm>[0-9]{2}))?)?"
)
# What libyaml calls printable; the tab and everything above the basic plane are not.
_SPECIAL = re.compile("[^\n\x20-\x7e\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd]")
_ESCAPED = re.compile('[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd]|["\\\\]')
_ESCAPES = {
    "\0": "0",
    "\a": "a",
    "\b": "b",
    "\t": "t",
    "\n": "n",
    "\v": "v",
    "\f": "f",
    "\r": "r",
    "\x1b": "e",
}
_ESCAPES |= {'"': '"', "\\": "\\", "\x85": "N", "\u2028": "L", "\u2029": "P"}
_INDICATED = re.compile(r"[#,\[\]{}&*!|>'\"%@`]|[?:](?:[ \t]|$)|-(?:[ \t]|$)|---|\.\.\.")
_INDICATOR = re.compile(r":(?:[ \t]|$)|[ \t\n]#")


@lru_cache(maxsize=65536)
def style(text: str) -> Style:
    """The style of a text in block context."""
    special = _SPECIAL.search(text) is not None or " \n" in text
    if "\n" in text:
        return "double" if special or text.endswith(" ") else "literal"
    if _means_something_else(text) or special:
        return "double"
    if text[0] == " " or text[-1] == " " or _INDICATED.match(text) or _INDICATOR.search(text):
        return "single"
    return "plain"


def _means_something_else(text: str) -> bool:
    """Whether go-yaml's resolver gives the plain text another type than string."""
    if not text or text[0] in "yYnNtTfFoO~":
        return text in _WORDS
    if text[0] == ".":
        return text in _WORDS or (_POINT.fullmatch(text) is not None and _is_float(text.replace("_", "")))
    if text[0] not in "+-0123456789":
        return False
    number = text.replace("_", "")
    return (
        text in _WORDS
        or _is_time(text)
        or _is_integer(number)
        or _is_float(number)
        or _SEXAGESIMAL.fullmatch(text) is not None
    )


def _is_integer(text: str) -> bool:
    match = _INTEGER.fullmatch(text)
    if match is None or match["d"]:
        return match is not None
    digits, base = (match["x"], 16) if match["x"] else (match["b"], 2) if match["b"] else (match["o"], 8)
    limit = {"": 2**64 - 1, "+": 2**63 - 1, "-": 2**63}[match["sign"]]
    return int(digits, base) <= limit


def _is_float(text: str) -> bool:
    return _FLOAT.fullmatch(text) is not None and abs(float(text)) != float("inf")


def _is_time(text: str) -> bool:
    match = _TIME.fullmatch(text)
    if match is None or (match["t"] and (match["t"] == " ") == bool(match["z"])):
        return False
    try:
        date(int(match["y"]) or 4, int(match["m"]), int(match["d"]))
    except ValueError:
        return False
    hour, minute, second = (int(match[part] or 0) for part in "HMS")
    zone = int(match["zh"] or 0) <= 24 and int(match["zm"] or 0) < 60
    return hour < 24 and minute < 60 and second < 60 and zone


def quoted(text: str, kind: Style) -> str:
    """The text on one line, without folding."""
    if kind == "single":
        return "'" + text.replace("'", "''") + "'"
    return f'"{_ESCAPED.sub(_escape, text)}"' if kind == "double" else text


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    if character in _ESCAPES:
        return "\\" + _ESCAPES[character]
    code = ord(character)
    return f"\\x{code:02X}" if code <= 0xFF else f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


def folded(text: str, kind: Style, column: int, indent: int) -> str:
    """The text broken at the first single space behind column 80, as often as it takes."""
    if kind == "literal":
        return _literal(text, indent)
    line = quoted(text, kind)
    if column + len(line) <= WIDTH:
        return line
    return _fold(line, kind, column, indent)


def _fold(line: str, kind: Style, column: int, indent: int) -> str:
    pieces: list[str] = []
    inner = 0 if kind == "plain" else 1  # the quotes are no place to break
    start, lead = 0, ""
    for space in re.finditer(" ", line):
        index = space.start()
        if column + index - start > WIDTH and _breakable(line, kind, index, inner):
            pieces.append(lead + line[start:index])
            lead = "\\" if line[index + 1] == " " else ""  # keeps a leading space in double quotes
            start, column = index + 1, indent + len(lead)
    return f"\n{' ' * indent}".join([*pieces, lead + line[start:]])


def _breakable(line: str, kind: Style, index: int, inner: int) -> bool:
    if line[index - 1] == " " or not inner < index < len(line) - 1 - inner:
        return False
    return kind == "double" or line[index + 1] != " "


def _literal(text: str, indent: int) -> str:
    hint = "2" if text[0] in " \n" else ""
    chomp = "-" if text[-1] != "\n" else "+" if text == "\n" or text[-2] == "\n" else ""
    margin = " " * indent
    lines = [margin + line if line else "" for line in text.removesuffix("\n").split("\n")]
    return f"|{hint}{chomp}\n" + "\n".join(lines)
