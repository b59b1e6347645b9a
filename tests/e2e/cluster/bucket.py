"""An S3 for pods: one folder, path style, GET, HEAD and PUT; keys are asked for and not checked."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BUCKET = "models"
_KEY = re.compile(rf"/{BUCKET}/((?!\.)[A-Za-z0-9][-A-Za-z0-9._/]*)")


@contextmanager
def bucket(host: str, folder: Path) -> Iterator[str]:
    """Serves `folder` as s3://models; yields the endpoint."""

    class Handler(_Handler):
        root = folder

    server = ThreadingHTTPServer((host, 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    root: Path

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        file = self._file()
        if not self._signed() or file is None or not file.is_file():
            self._answer(404 if self._signed() else 403, b"")
            return
        body = file.read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", ""))
        if asked is None:
            self._answer(200, body)
            return
        start, end = int(asked[1]), min(int(asked[2] or len(body)), len(body) - 1)
        self._answer(206, body[start : end + 1], f"bytes {start}-{end}/{len(body)}")

    def do_PUT(self) -> None:
        body, file = self.rfile.read(int(self.headers.get("content-length", 0))), self._file()
        if not self._signed() or file is None:
            self._answer(403, b"")
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
        self._answer(200, b"")

    def _signed(self) -> bool:
        return "Credential=e2e/" in self.headers.get("authorization", "")

    def _file(self) -> Path | None:
        key = _KEY.fullmatch(self.path.partition("?")[0])
        return None if key is None or ".." in key[1].split("/") else self.root / key[1]

    def _answer(self, status: int, body: bytes, part: str = "") -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("etag", f'"{sha256(body).hexdigest()[:32]}"')
        self.send_header("last-modified", formatdate(usegmt=True))
        if part:
            self.send_header("content-range", part)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""
