"""mainline doctor: what is missing on this machine, and the command that mends it."""

import importlib.util
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from mainline.errors import Refusal
from mainline.git import Git
from mainline.local.environment import Embedded
from mainline.places import EMBEDDED, Places
from mainline.restore import lost
from mainline.truth import stack, truth

_GIT_NEEDED = (2, 38)  # merge-tree --write-tree


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is needed (or only wished for): state is ok, missing or optional."""

    name: str
    state: str
    detail: str
    fix: str = ""


def doctor(places: Places) -> list[Check]:
    """Every check, in the order in which a new machine meets them."""
    checks: tuple[Callable[[Places], Check], ...] = (
        _python, _git, _packages, _writable, _commit, _declarations, _port, _registry, _store, _environment, _origin,
    )  # fmt: skip
    return [check(places) for check in checks] + [_tool(*tool) for tool in _TOOLS]


_TOOLS = (
    ("pulumi", "pulumi up per environment", "install the Pulumi CLI (pulumi.com/docs/install)"),
    ("kubectl", "looking into a real cluster", "install kubectl (kubernetes.io/docs/tasks/tools)"),
)


def _python(_: Places) -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    return Check("python", "ok", version)


def _git(_: Places) -> Check:
    if not shutil.which("git"):
        return Check("git", "missing", "not on PATH", "install git 2.38 or newer")
    said = subprocess.run(["git", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    numbers = re.search(r"(\d+)\.(\d+)", said)
    new_enough = numbers is not None and tuple(map(int, numbers.groups())) >= _GIT_NEEDED
    return (
        Check("git", "ok", said) if new_enough else Check("git", "missing", said, "install git 2.38 or newer")
    )


def _packages(_: Places) -> Check:
    needed = (
        "granian",
        "msgspec",
        "onnxruntime",
        "obstore",
        "mlflow",
        "dvc",
        "sklearn",
        "skl2onnx",
        "aiohttp",
    )
    absent = [name for name in needed if importlib.util.find_spec(name) is None]
    if absent:
        return Check("packages", "missing", ", ".join(absent), "make up")
    return Check("packages", "ok", f"{len(needed)} of {len(needed)}")


def _writable(places: Places) -> Check:
    folder = places.state if places.state.exists() else places.root
    if not os.access(folder, os.W_OK):
        return Check(
            "disk", "missing", f"{folder} cannot be written", f"chmod u+w {folder}, or clone somewhere else"
        )
    free = shutil.disk_usage(folder).free >> 20
    if free < 500:
        return Check("disk", "missing", f"{free} MiB free", "free 500 MiB")
    return Check("disk", "ok", f"{free} MiB free")


def _commit(places: Places) -> Check:
    try:
        head = Git(places.root).resolve("HEAD")
    except Refusal:
        head = None
    if head is None:
        return Check("commit", "missing", "only commits are served", "git init, git add -A, git commit")
    return Check("commit", "ok", head[:12])


def _declarations(places: Places) -> Check:
    from infra.declarations.errors import DeclarationError
    from infra.declarations.repository import load
    from infra.declarations.tree import read_tree

    try:
        repository = load(read_tree(places.root))
    except DeclarationError as error:
        return Check("declarations", "missing", str(error).splitlines()[0], "mend the named field")
    return Check(
        "declarations", "ok", f"{len(repository.models)} models, {len(repository.environments)} environments"
    )


def _port(places: Places) -> Check:
    try:
        port = stack(places, EMBEDDED).port
    except Exception as error:  # the declarations check has said it already
        return Check("port", "missing", str(error).splitlines()[0], "mend the named field")
    address = Embedded(places.root, EMBEDDED).address
    if address:
        return Check("port", "ok", f"the gateway listens at {address}")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            return Check(
                "port",
                "missing",
                f"{port} is taken",
                "mainline up --port 0, or set mainline:port in Pulumi.local.yaml",
            )
    return Check("port", "ok", f"{port} is free")


def _registry(places: Places) -> Check:
    if not places.registry.is_file():
        return Check("registry", "optional", "no model was trained here yet", "make up")
    try:
        with sqlite3.connect(f"file:{places.registry}?mode=ro", uri=True, timeout=2) as connection:
            count = connection.execute("select count(*) from model_versions").fetchone()[0]
    except sqlite3.Error as error:
        return Check(
            "registry",
            "missing",
            f"{places.registry}: {error}",
            "end the process that holds it, or remove the file and make up",
        )
    return Check("registry", "ok", f"{count} versions")


def _store(places: Places) -> Check:
    if not (places.remote / "HEAD").is_file():
        return Check("store", "optional", "nothing was released here yet", "make up")
    try:
        missing = lost(places, truth(places, EMBEDDED))
    except Exception as error:  # a broken head or stack file, which other checks name as well
        return Check("store", "missing", str(error).splitlines()[0], "mend what is named")
    if missing:
        names = ", ".join(f"{model} {shown.short}" for model, shown in missing)
        return Check("store", "missing", f"lost or changed: {names}", "make up")
    return Check("store", "ok", "every released byte is what Git names")


def _environment(places: Places) -> Check:
    running = Embedded(places.root, EMBEDDED).running()
    off = [name for name, alive in running.items() if not alive]
    if off:
        return Check("environment", "optional", f"{', '.join(off)} not running", "make up")
    return Check("environment", "ok", ", ".join(running))


def _origin(places: Places) -> Check:
    url = Git(places.root).run("remote", "get-url", "origin", check=False).strip()
    if not url:
        return Check("origin", "optional", "needed to promote beyond local", "git remote add origin URL")
    return Check("origin", "ok", re.sub(r"//[^@/]*@", "//", url))


def _tool(name: str, why: str, fix: str) -> Check:
    where = shutil.which(name)
    return Check(name, "ok", where) if where else Check(name, "optional", f"not on PATH; for {why}", fix)
