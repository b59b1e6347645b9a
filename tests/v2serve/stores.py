"""A small S3 on 127.0.0.1: path style, GET and HEAD with ranges, and faults on demand."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BUCKET = "models"
_BLOCK = 64 << 10


@dataclass
class Asked:
    """One request: what of which file, and from which byte."""

    method: str
    path: str
    start: int


@dataclass
class Bucket:
    folder: Path
    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)  # answered first, one to a request
    cut: int | None = None  # bytes of a body before the connection breaks
    hold: str | None = None  # a file whose body stops half-way until `released`
    released: threading.Event = field(default_factory=threading.Event)
    holding: threading.Event = field(default_factory=threading.Event)
    busy: int = 0
    busiest: int = 0
    pause: float = 0.0

    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if "PROXY" not in key.upper()}
        return kept | {
            "AWS_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_SKIP_SIGNATURE": "true",
            "AWS_REGION": "eu-central-1",
        }

    def bodies(self, name: str) -> list[int]:
        """The first byte of each GET of a file of this name."""
        return [a.start for a in self.asked if a.method == "GET" and a.path.endswith("/" + name)]


@contextmanager
def serving(folder: Path) -> Iterator[Bucket]:
    """The folder as a bucket; `folder/a/b` is s3://models/a/b."""
    bucket = Bucket(folder)
    server = _Server(bucket)
    bucket.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield bucket
    finally:
        bucket.released.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, bucket: Bucket) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bucket = bucket
        self.counting = threading.Lock()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        bucket = self.server.bucket
        start = int(self.headers.get("range", "bytes=0-").partition("=")[2].partition("-")[0])
        name = self.path.removeprefix(f"/{BUCKET}/")
        bucket.asked.append(Asked(self.command, name, start))
        if bucket.statuses:
            return self._empty(bucket.statuses.pop(0))
        path = bucket.folder / name
        if not path.is_file():
            return self._empty(404)
        return self._counted(path, start)

    def _counted(self, path: Path, start: int) -> None:
        bucket = self.server.bucket
        with self.server.counting:
            bucket.busy += 1
            bucket.busiest = max(bucket.busy, bucket.busiest)
        try:
            self._send(path, start)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with self.server.counting:
                bucket.busy -= 1

    def _empty(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def _send(self, path: Path, start: int) -> None:
        size = path.stat().st_size
        if start >= size > 0:
            return self._empty(416)
        self.send_response(206 if "range" in self.headers else 200)
        self.send_header("content-length", str(size - start))
        self.send_header("etag", '"one"')
        self.send_header("last-modified", "Wed, 21 Oct 2026 07:28:00 GMT")
        if "range" in self.headers:
            self.send_header("content-range", f"bytes {start}-{size - 1}/{size}")
        self.end_headers()
        if self.command == "GET":
            self._body(path, start, (size - start) // 2)
        return None

    def _body(self, path: Path, start: int, half: int) -> None:
        bucket, sent = self.server.bucket, 0
        threading.Event().wait(bucket.pause)
        with path.open("rb") as stream:
            stream.seek(start)
            while block := stream.read(_BLOCK):
                if path.name == bucket.hold and sent >= half:
                    bucket.holding.set()
                    bucket.released.wait(60)
                if bucket.cut is not None and sent >= bucket.cut:
                    self.close_connection = True
                    return
                self.wfile.write(block)
                sent += len(block)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def until(true: Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait for something that another process does."""
    pause, waited = 0.02, 0.0
    while not true():
        assert waited < seconds, "it did not happen"
        threading.Event().wait(pause)
        waited += pause
