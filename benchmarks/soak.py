"""v2serve at half of its peak for as long as asked: memory, descriptors and latency must not grow."""

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.artifacts import iris
from benchmarks.load import Plan, http_message, load
from benchmarks.servers import Running, running

_CONNECTIONS = 100
_SLICE_SECONDS = 60.0


@dataclass(frozen=True)
class Slice:
    """A minute: what was answered a second, latencies in ms, MiB resident, open descriptors, answers other than 200."""

    minute: int
    per_second: float
    p50_ms: float
    p99_ms: float
    resident_mib: float
    descriptors: int
    failed: int


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="Example: python -m benchmarks.soak --minutes 5"
    )
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--peak", type=float, help="requests a second, where this machine's peak is known")
    parser.add_argument("--json", action="store_true", help="print JSON lines instead of a table")
    chosen = parser.parse_args()
    slices = _soak(chosen.minutes, chosen.peak, chosen.json)
    verdict = _verdict(slices)
    print(verdict)
    raise SystemExit(0 if verdict.endswith("no growth") else 1)


def _soak(minutes: int, known: float | None, as_json: bool) -> list[Slice]:
    with tempfile.TemporaryDirectory() as folder:
        model = iris(Path(folder))
        body = json.dumps(model.request()).encode()
        message = http_message(f"/v2/models/{model.name}/infer", body, content_type="application/json")
        with running("v2serve", model) as server:
            peak = known or load(Plan(server.port, _CONNECTIONS, 5), message).per_second
            print(f"peak {peak:,.0f} requests a second; {peak / 2:,.0f} are offered for {minutes} min")
            return [_slice(n, server, int(peak / 2), message, as_json) for n in range(minutes)]


def _slice(minute: int, server: Running, rate: int, message: bytes, as_json: bool) -> Slice:
    seen = load(Plan(server.port, _CONNECTIONS, _SLICE_SECONDS, rate), message)
    time.sleep(0.2)  # the connections of the load are closed
    descriptors = len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))
    resident = server.resident_mib()
    told = Slice(minute + 1, seen.per_second, seen.p50_ms, seen.p99_ms, resident, descriptors, seen.failed)
    if as_json:
        print(json.dumps(asdict(told)), flush=True)
    else:
        numbers = f"{seen.per_second:>8,.0f}/s  p50 {seen.p50_ms:6.2f} ms  p99 {seen.p99_ms:7.2f} ms"
        print(
            f"{minute + 1:>3} min {numbers}  {resident:6.1f} MiB  {descriptors} fds  {seen.failed} failed",
            flush=True,
        )
    return told


def _verdict(slices: list[Slice]) -> str:
    """The last fifth beside the first fifth, after a minute of warming up."""
    warm = slices[1:] if len(slices) > 1 else slices
    count = max(1, len(warm) // 5)
    first, last = warm[:count], warm[-count:]
    grown = {
        "MiB": statistics.median(s.resident_mib for s in last)
        - statistics.median(s.resident_mib for s in first),
        "descriptors": last[-1].descriptors - first[0].descriptors,
        "p50": statistics.median(s.p50_ms for s in last) / statistics.median(s.p50_ms for s in first),
    }
    told = f"memory {grown['MiB']:+.1f} MiB, descriptors {grown['descriptors']:+d}, median latency x{grown['p50']:.2f}"
    failed = sum(s.failed for s in slices)
    good = grown["MiB"] < 5 and grown["descriptors"] <= 0 and grown["p50"] < 1.5 and not failed
    return f"{told}, {failed} failed: {'no growth' if good else 'GROWTH'}"


if __name__ == "__main__":
    main()
