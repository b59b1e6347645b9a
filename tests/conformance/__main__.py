"""python -m tests.conformance: what a server of the Open Inference Protocol does, rule by rule."""

from __future__ import annotations

import argparse
import json
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from . import report, suite
from .http1 import Address
from .probe import Target

_EPILOG = "Ends with 0 if no MUST departs, with 1 if one does, with 2 if it cannot run."


def main(words: list[str] | None = None) -> int:
    parser = _parser()
    told = parser.parse_args(words)
    rules = suite.chosen(told.only)
    if not rules:
        parser.error(f"--only {told.only}: no rule has such an id; --list shows them")
    if told.list:
        sys.stdout.write(report.as_list(rules) + "\n")
        return 0
    target = _target(parser, told)
    findings = suite.run(target, rules)
    sys.stdout.write(_shown(told.format, findings) + "\n")
    return 0 if report.passes(findings) else 1


def _shown(form: str, findings: list[Any]) -> str:
    written = {"json": report.as_json, "markdown": report.as_markdown, "table": report.as_table}
    return written[form](findings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("conformance", description=__doc__, epilog=_EPILOG)
    add = parser.add_argument
    add("--rest", metavar="URL", help="base address of REST, such as http://127.0.0.1:8080")
    add("--grpc", metavar="HOST:PORT", help="address of gRPC without TLS")
    add("--model", help="the name of a model that is served and ready")
    add("--version", help="a version of it; default: the first in its metadata")
    add(
        "--request",
        metavar="FILE",
        type=Path,
        help="a valid V2 request; default: zeros of the declared shapes",
    )
    add("--max-body", metavar="BYTES", type=int, help="the server's limit of a body, to see it kept")
    add("--timeout", metavar="SECONDS", type=float, default=5.0, help="for each answer (default 5)")
    add("--only", metavar="PATTERN", help="only rules with such an id: refuse, 'grpc.*', infer.id.echoed")
    add("--list", action="store_true", help="say what the rules are and where they stand, ask nobody")
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", dest="format", action="store_const", const="json", help="for machines")
    forms.add_argument(
        "--markdown",
        dest="format",
        action="store_const",
        const="markdown",
        help="what departs, for a document",
    )
    parser.set_defaults(format="table")
    return parser


def _target(parser: argparse.ArgumentParser, told: argparse.Namespace) -> Target:
    if not told.model:
        parser.error("--model is needed: the name in V2 paths")
    if not told.rest and not told.grpc:
        parser.error("--rest, --grpc or both are needed")
    rest = _address(parser, "--rest", told.rest)
    grpc = _address(parser, "--grpc", told.grpc)
    return Target(
        rest, told.model, grpc, told.version, _request(parser, told.request), told.max_body, told.timeout
    )


def _address(parser: argparse.ArgumentParser, option: str, text: str | None) -> Address | None:
    if text is None:
        return None
    parts = urlsplit(text if "://" in text else f"//{text}")
    try:
        fits = (
            parts.scheme in ("", "http") and parts.path in ("", "/") and bool(parts.hostname and parts.port)
        )
    except ValueError:
        fits = False
    if not fits:
        parser.error(f"{option} {text}: give {'http://' if option == '--rest' else ''}HOST:PORT")
    address = Address(str(parts.hostname), int(parts.port or 0))
    try:
        socket.create_connection(address, timeout=5).close()
    except OSError as error:
        parser.error(f"{option} {text}: nobody answers there: {error}")
    return address


def _request(parser: argparse.ArgumentParser, path: Path | None) -> Mapping[str, Any] | None:
    if path is None:
        return None
    try:
        told = json.loads(path.read_text("utf-8"))
        fits = isinstance(told, dict) and all(
            {"name", "shape", "datatype", "data"} <= set(t) for t in told["inputs"]
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        parser.error(f"--request {path}: {error or type(error).__name__}")
    if not fits:
        parser.error(f"--request {path}: each input needs name, shape, datatype and data (JSON values)")
    return dict(told)


if __name__ == "__main__":
    sys.exit(main())
