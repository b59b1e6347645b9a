"""A scratch clone of this repository with a stack for the cluster: what a team would fork, commit and push."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from infra.declarations.release import Release, ReleasedVersion, dump_release, release_path
from tests.e2e.cluster.settings import Settings
from tests.repository.tracked import ROOT, tracked
from tests.v2serve.artifacts import iris, write

ENV = "e2e"
MODEL = "iris"
MODELS = {MODEL, "production-tabular"}
SECRET = "store-access"  # a name
KEYS = {"AWS_ACCESS_KEY_ID": "e2e", "AWS_SECRET_ACCESS_KEY": "e2e", "AWS_REGION": "eu-central-1"}
_DECLARATION = re.compile(r"(model-servers/[^/]+/model|training-jobs/[^/]+/job)\.yaml")


@dataclass(frozen=True)
class Fork:
    """Every change is a commit on main of the remote."""

    root: Path
    store: Path  # the folder behind s3://models
    endpoint: str

    def run(self, *command: str, timeout: float = 180) -> str:
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def mainline(self, *arguments: str) -> str:
        return self.run(sys.executable, "-m", "mainline", *arguments)

    def environment(self) -> dict[str, str]:
        path = os.pathsep.join(str(self.root / part) for part in ("", "model-servers", "training-jobs"))
        who = {
            f"GIT_{role}_{what}": "e2e@localhost"
            for role in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        store = {**KEYS, "AWS_ENDPOINT": self.endpoint, "AWS_ALLOW_HTTP": "true"}
        return {**os.environ, **who, **store, "PYTHONPATH": path, "GIT_CONFIG_GLOBAL": os.devnull}

    def render(self) -> str:
        return self.mainline("render", ENV)

    def push(self, subject: str) -> str:
        """Renders, commits and pushes what is in the clone; the commit."""
        self.render()
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "--allow-empty", "-m", subject)
        self.run("git", "push", "-q", "origin", "HEAD:main")
        return self.run("git", "rev-parse", "HEAD")

    def release(self, release: Release, subject: str) -> str:
        file = self.root / release_path(MODEL, ENV)
        file.parent.mkdir(exist_ok=True)
        file.write_text(dump_release(release))
        return self.push(subject)

    def revert(self, commit: str) -> str:
        self.run("git", "revert", "--no-edit", commit)
        self.run("git", "push", "-q", "origin", "HEAD:main")
        return self.run("git", "rev-parse", "HEAD")

    def merge(self, branch: str) -> str:
        """What the host does when a pull request is approved."""
        self.run("git", "fetch", "-q", "origin", branch)
        self.run("git", "merge", "-q", "--ff-only", "FETCH_HEAD")
        self.run("git", "push", "-q", "origin", "HEAD:main")
        return self.run("git", "rev-parse", "HEAD")

    def version(self, number: int) -> ReleasedVersion:
        """A version of its own bytes in the store: the same small model with another bias."""
        draft = self.store / MODEL / f"draft-{number}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        digest = write(draft, iris(number / 1000))
        target = draft.with_name(digest.removeprefix("sha256:"))
        shutil.rmtree(target, ignore_errors=True)
        draft.rename(target)
        return ReleasedVersion(
            version=number, digest=digest, run="0" * 32, code="0" * 40, data={}, evidence={"accuracy": 0.96}
        )


def make_fork(root: Path, store: Path, endpoint: str, registry: str, told: Settings) -> Fork:
    """The files of this working tree as one commit, pushed to main of the remote, whatever was there."""
    for path in _small(tracked()):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes((ROOT / path).read_bytes())
    fork = Fork(root, store, endpoint)
    (root / f"Pulumi.{ENV}.yaml").write_text(yaml.safe_dump({"config": _stack(endpoint, registry, told)}))
    for job in root.glob(
        "training-jobs/*/job.yaml"
    ):  # small enough for two of them beside a model on two cores
        job.write_text(job.read_text().replace('cpu: "1"', "cpu: 200m").replace('cpu: "2"', "cpu: 200m"))
    _prepare(told.remote)
    fork.run("git", "init", "-q", "--initial-branch=main")
    fork.run("git", "remote", "add", "origin", told.remote)
    fork.render()
    fork.run("git", "add", "-A")
    fork.run("git", "commit", "-q", "-m", "A fork for one cluster")
    fork.run("git", "push", "-q", "--force", "origin", "HEAD:main")
    return fork


def _small(paths: tuple[str, ...]) -> list[str]:
    """Without the other models and their jobs, which would fill a small cluster."""
    declared = {path.split("/")[1] for path in paths if _DECLARATION.fullmatch(path)} - MODELS
    rooms = tuple(f"{room}/{name}/" for room in ("model-servers", "training-jobs") for name in declared)
    return [path for path in paths if not path.startswith(rooms)]


def _stack(endpoint: str, registry: str, told: Settings) -> dict[str, object]:
    fields = {
        "cluster": "existing",
        "store": "s3://models",
        "endpoint": endpoint,
        "credentials": SECRET,
        "registry": registry,
        "repository": told.remote,
        "gateway": {"class": told.gateway_class, "pods": told.gateway_namespace, "mirrors": False},
        "autoscaler": "none",
        "trains": True,
        "drain": 5,
    }
    return {f"mainline:{name}": value for name, value in fields.items()}


def _prepare(remote: str) -> None:
    """A remote that is a folder is made; every other one has to be there."""
    folder = Path(remote.removeprefix("file://"))
    if remote.startswith("file://") and not folder.exists():
        subprocess.run(["git", "init", "-q", "--bare", "--initial-branch=main", str(folder)], check=True)
