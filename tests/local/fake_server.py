"""A V2 server of the standard library that obeys the same environment as v2serve; starts in a blink.

FAKE_NOT_READY=1 never gets ready, FAKE_SLOW=<seconds> waits before it answers inference,
FAKE_DEAF=<file> answers no probe while there is such a file.
"""

import hashlib
import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

NAME, DIGEST = os.environ["V2SERVE_MODEL_NAME"], os.environ["V2SERVE_MODEL_DIGEST"]


def refuse(reason: str) -> None:
    sys.stderr.write(f"v2serve: model {NAME}: {reason}\n")
    sys.exit(1)


def check_store() -> None:
    store = Path(os.environ["V2SERVE_STORE"].removeprefix("file://"))
    folder = store / os.environ["V2SERVE_STORAGE_URI"].removeprefix("mainline://store/")
    if not folder.is_dir():
        refuse(f"{folder.name} is not in the store")
    sums = (folder / "SHA256SUMS").read_bytes()
    lines = [line.split("  ") for line in sums.decode().splitlines()]
    for expected, name in [(f"{DIGEST[7:]}", "SHA256SUMS"), *((line[0], line[1]) for line in lines)]:
        found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if found != expected:
            refuse(f"Git names sha256:{expected}, but the bytes of {name} are sha256:{found}")


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("x-model-digest", DIGEST)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        if self.path == "/v2/health/ready" and Path(os.environ.get("FAKE_DEAF", "/none")).exists():
            time.sleep(60)
        elif self.path == "/v2/health/ready":
            self.answer(503 if os.environ.get("FAKE_NOT_READY") else 200, {})
        elif self.path == f"/v2/models/{NAME}":
            self.answer(200, {"name": NAME, "parameters": {"digest": DIGEST}})
        elif self.path == f"/v2/models/{NAME}/seen":
            self.answer(200, {"seen": SEEN})
        else:
            self.answer(404, {"error": "no such path"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        SEEN.append({"body": body.decode(), "headers": {k.lower(): v for k, v in self.headers.items()}})
        time.sleep(float(os.environ.get("FAKE_SLOW", "0")))
        self.answer(200, {"model_name": NAME, "outputs": [], "bytes": len(body)})

    def log_message(self, *arguments: object) -> None:
        return


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


SEEN: list[object] = []
check_store()
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
Server((os.environ["V2SERVE_HOST"], int(os.environ["V2SERVE_PORT"])), Handler).serve_forever()
