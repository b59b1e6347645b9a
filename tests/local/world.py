"""A root with a bare repository and a store, and hand-written manifests to commit into it."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mainline.git import Git
from mainline.local import records
from mainline.local.environment import Embedded

FAKE = Path(__file__).with_name("fake_server.py")
Answer = tuple[int, dict[str, str], Any]


def runtime(*command: str) -> dict[str, Any]:
    container = {"name": "kserve-container", "command": list(command or ("python", str(FAKE)))}
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ClusterServingRuntime",
        "metadata": {"name": "v2serve"},
        "spec": {"containers": [container]},
    }


def service(model: str, digest: str, version: int = 1, replicas: int = 1, **extra: str) -> dict[str, Any]:
    told = {
        "V2SERVE_MODEL_NAME": model,
        "V2SERVE_MODEL_DIGEST": digest,
        "V2SERVE_MODEL_VERSION": str(version),
    } | extra
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name_of(model, digest), "namespace": "models"},
        "spec": {
            "predictor": {
                "minReplicas": replicas,
                "model": {
                    "runtime": "v2serve",
                    "storageUri": f"mainline://store/{model}/{digest[7:]}",
                    "env": [{"name": key, "value": value} for key, value in told.items()],
                },
            }
        },
    }


def name_of(model: str, digest: str) -> str:
    return f"{model}-{digest[7:15]}"


def backend(model: str, digest: str, weight: int | None = None) -> dict[str, Any]:
    ref: dict[str, Any] = {"name": f"{name_of(model, digest)}-predictor", "port": 80}
    return ref if weight is None else ref | {"weight": weight}


def rule(model: str, *backends: dict[str, Any], **more: Any) -> dict[str, Any]:
    match: dict[str, Any] = {"path": {"type": "PathPrefix", "value": f"/v2/models/{model}"}}
    if "headers" in more:
        match["headers"] = more.pop("headers")
    return {"matches": [match], "backendRefs": list(backends), **more}


def route(model: str, *rules: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": model, "namespace": "models"},
        "spec": {"parentRefs": [{"name": "mainline"}], "rules": list(rules)},
    }


def mirror(model: str, digest: str) -> dict[str, Any]:
    return {"type": "RequestMirror", "requestMirror": {"backendRef": backend(model, digest)}}


def path_of(manifest: Mapping[str, Any], folder: str) -> str:
    metadata = manifest["metadata"]
    return f"clusters/local/{folder}/1-manifest/{manifest['kind'].lower()}-{metadata['name']}.yaml"


@dataclass
class World:
    """One root; `commit` is what a push to main is."""

    root: Path
    environment: Embedded = field(init=False)
    first: str = ""

    def __post_init__(self) -> None:
        state = self.root / ".mainline"
        state.mkdir(parents=True)
        self.git = Git(state / "gitops.git")
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(self.git.folder)], check=True)
        self.environment = Embedded(self.root)
        empty = self.git.run("hash-object", "-w", "-t", "tree", "--stdin", stdin=b"").strip()
        first = self.git.commit_tree(empty, (), "Begin")
        self.git.run("update-ref", "refs/heads/main", first)
        self.write("Runtime", {path_of(runtime(), "platform"): runtime()})

    @property
    def head(self) -> str:
        return self.git.run("rev-parse", "refs/heads/main").strip()

    def write(self, message: str, changes: Mapping[str, Any]) -> str:
        """Commit these files (a dict as YAML, a str as it is, None removes) and move main."""
        before = self.head
        texts = {p: v if v is None or isinstance(v, str) else yaml.safe_dump(v) for p, v in changes.items()}
        commit = self.git.commit((before,), texts, message)
        assert self.git.move("refs/heads/main", commit, before)
        return commit

    def application(self, model: str, *manifests: Mapping[str, Any]) -> dict[str, Any]:
        """Changes that make a model's folder exactly these manifests."""
        folder = f"clusters/local/models/{model}/"
        changes: dict[str, Any] = dict.fromkeys(
            self.git.files(self.head, lambda path: path.startswith(folder))
        )
        return changes | {path_of(manifest, f"models/{model}"): manifest for manifest in manifests}

    def release(self, model: str, digest: str, **extra: Any) -> str:
        """What a direct promotion renders: one InferenceService with all the traffic."""
        served = service(model, digest, **extra)
        routed = route(model, rule(model, backend(model, digest)))
        return self.write(f"Release {digest[7:15]}", self.application(model, served, routed))

    def revert(self) -> str:
        """`git revert` of the newest commit."""
        before = self.head
        tree = self.git.run("rev-parse", f"{before}~1^{{tree}}").strip()
        commit = self.git.commit_tree(tree, (before,), "Revert")
        assert self.git.move("refs/heads/main", commit, before)
        return commit

    def artifact(self, model: str, content: str) -> str:
        """Put an artifact into the store; returns its digest."""
        line = f"{hashlib.sha256(content.encode()).hexdigest()}  model.txt\n"
        digest = hashlib.sha256(line.encode()).hexdigest()
        folder = self.root / ".mainline" / "store" / model / digest
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.txt").write_text(content)
        (folder / "SHA256SUMS").write_text(line)
        return f"sha256:{digest}"

    def start(self) -> "World":
        self.environment.start(0)
        return self

    def sync(self, commit: str, timeout: float = 20) -> dict[str, Any]:
        return self.environment.wait_synced(commit, timeout)

    def status(self) -> dict[str, Any]:
        return self.environment.status() or {}

    def ask(self, model: str, body: bytes = b"{}", **headers: str) -> Answer:
        """POST to the model's infer path at the gateway."""
        return self.call("POST", f"/v2/models/{model}/infer", body, **headers)

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        url = f"{self.environment.address}{path}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(url, body, named, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, {k.lower(): v for k, v in answer.headers.items()}, _json(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, {k.lower(): v for k, v in error.headers.items()}, _json(error.read())

    def served(self, model: str, **headers: str) -> str:
        status, answered, body = self.ask(model, **headers)
        assert status == 200, body
        return answered["x-model-digest"]

    def until(self, condition: Callable[[], Any], timeout: float = 15) -> Any:
        end = time.monotonic() + timeout
        while not (found := condition()):
            assert time.monotonic() < end, (
                f"not within {timeout} s; status: {json.dumps(self.status(), indent=1)}"
            )
            time.sleep(0.02)
        return found

    def signal(self, pid: Any, number: int) -> None:
        os.kill(int(pid), number)

    def kill(self, pid: Any) -> None:
        self._signal_to_the_end(int(pid), signal.SIGKILL)

    def end(self, pid: Any) -> None:
        self._signal_to_the_end(int(pid), signal.SIGTERM)

    def _signal_to_the_end(self, pid: int, number: int) -> None:
        """Until the whole process is gone: its leader looks dead while its threads still end."""
        process = records.Record("told", records.SERVER, pid, records.start_time(pid) or "")
        self.signal(pid, number)
        self.until(lambda: not process.alive())

    def pause(self, pid: Any) -> None:
        self.signal(pid, signal.SIGSTOP)

    def proceed(self, pid: Any) -> None:
        self.signal(pid, signal.SIGCONT)

    def background(self, work: Callable[[], Answer]) -> "Future[Answer]":
        pool = ThreadPoolExecutor(1)
        answer = pool.submit(work)
        pool.shutdown(wait=False)
        return answer

    def direct(self, port: int, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return _json(answer.read())

    def program(self, module: str, *arguments: str) -> tuple[int, str]:
        """Run one of our programs to its end: exit code and what it said."""
        command = [sys.executable, "-m", module, str(self.root), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        return done.returncode, done.stderr

    def pids(self) -> dict[str, int]:
        folder = self.root / ".mainline" / "run"
        return {path.stem: json.loads(path.read_text())["pid"] for path in folder.glob("*.json")}


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")
