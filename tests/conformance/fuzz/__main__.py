"""python -m tests.conformance.fuzz: malformed requests of every kind, reproducible by seed and number."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from ..http1 import Address
from .campaign import Report, campaign
from .shots import KINDS

_EPILOG = "Ends with 1 if an answer is a 5xx, a connection hangs, the server ends or its memory grows."


def main() -> int:
    told = _parser().parse_args()
    with _server(told) as (address, pid):
        report = campaign(
            address, told.model, told.kinds.split(","), told.seed, told.first, told.requests, pid
        )
    sys.stdout.write(shown(report) + "\n")
    grown = report.grown_kib or 0
    return 0 if report.clean and grown <= told.growth * 1024 else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("fuzz", description=__doc__, epilog=_EPILOG)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--target", metavar="URL", help="a server that runs, such as http://127.0.0.1:8080")
    where.add_argument("--serve", action="store_true", help="start v2serve with a model of many datatypes")
    parser.add_argument("--pid", type=int, help="the process of --target, to watch its memory")
    parser.add_argument("--model", default="iris", help="its name (default iris)")
    parser.add_argument("--requests", type=int, default=20_000, help="of each kind (default 20000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the number of the first message (default 0)")
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"default {','.join(KINDS)}")
    parser.add_argument(
        "--growth", type=int, default=16, metavar="MiB", help="of memory that is borne (default 16)"
    )
    return parser


@contextmanager
def _server(told: argparse.Namespace) -> Iterator[tuple[Address, int | None]]:
    if told.target:
        parts = urlsplit(told.target)
        yield Address(str(parts.hostname), int(parts.port or 80)), told.pid
        return
    from tests.conformance.models import mixed
    from tests.v2serve.artifacts import write
    from tests.v2serve.servers import running

    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), write(Path(folder), mixed())) as started,
    ):
        yield Address("127.0.0.1", started.port), started.process.pid


def shown(report: Report) -> str:
    rate = report.requests / max(report.seconds, 1e-9)
    lines = [
        f"{report.requests:,} answers in {report.seconds:.1f} s, {rate:,.0f}/s; memory grew {report.grown_kib} KiB"
    ]
    for kind, counter in report.answers.items():
        lines.append(
            f"{kind:7} " + ", ".join(f"{status}: {count:,}" for status, count in counter.most_common())
        )
    for find in report.finds:
        again = f"--kinds {find.kind} --seed {find.seed} --first {find.number} --requests 1"
        lines.append(f"WRONG {find.seen}; again with {again}\n  {find.message[:600]!r}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
