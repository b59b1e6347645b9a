"""An S3 for pods: one folder, path style, reads, puts and uploads in parts; keys are asked for and not checked."""

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
        body, file = self._body(), self._file()
        if not self._signed() or file is None:
            self._answer(403, b"")
            return
        part = re.search(r"partNumber=(\d+)", self.path)
        file = file.with_name(f".{file.name}.{int(part[1]):05d}") if part else file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)
        self._answer(200, b"")

    def do_POST(self) -> None:
        """The beginning and the end of an upload in parts; one at a time to a key."""
        self._body()
        file = self._file()
        if not self._signed() or file is None:
            self._answer(403, b"")
            return
        if "uploadId=" in self.path:
            parts = sorted(file.parent.glob(f".{file.name}.*"))
            file.write_bytes(b"".join(part.read_bytes() for part in parts))
            for part in parts:
                part.unlink()
            self._answer(200, _xml("CompleteMultipartUpload", f"<ETag>{self._tag(file.read_bytes())}</ETag>"))
            return
        self._answer(200, _xml("InitiateMultipartUpload", "<UploadId>one</UploadId>"))

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def _tag(self, body: bytes) -> str:
        return f'"{sha256(body).hexdigest()[:32]}"'

    def _signed(self) -> bool:
        return "Credential=e2e/" in self.headers.get("authorization", "")

    def _file(self) -> Path | None:
        key = _KEY.fullmatch(self.path.partition("?")[0])
        return None if key is None or ".." in key[1].split("/") else self.root / key[1]

    def _answer(self, status: int, body: bytes, part: str = "") -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.send_header("etag", self._tag(body))
        self.send_header("last-modified", formatdate(usegmt=True))
        if part:
            self.send_header("content-range", part)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def _xml(action: str, content: str) -> bytes:
    space = "http://s3.amazonaws.com/doc/2006-03-01/"
    place = f"<Bucket>{BUCKET}</Bucket><Key>key</Key>"
    return f'<{action}Result xmlns="{space}">{place}{content}</{action}Result>'.encode()
