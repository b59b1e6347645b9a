"""A small repository as texts, and ways to break one place of it."""

from collections.abc import Iterable

from infra.declarations.errors import DeclarationError
from infra.declarations.parts import PARTS
from infra.declarations.release import Candidate, Header, Release, ReleasedVersion, dump_release, release_path
from infra.declarations.repository import Repository, load

PROJECT = """\
name: mainline
runtime: python
main: infra/
config:
  repository: {type: string, default: https://git.example.com/team/mainline.git}
"""
STACK = """\
config:
  mainline:cloud: {account: "111111111111", region: eu-central-1, network: {cidr: 10.0.0.0/16}, \
tags: {team: platform, cost_centre: ml}, pools: {main: {instances: [m7i.large], nodes: {max: 4}}}, \
control_plane: {admins: [admin]}, budget: {monthly: 500, emails: [ml@example.com]}}
  mainline:store: s3://models-dev
  mainline:registry: https://mlflow.example.com
"""
# The same with every part that there is.
PARTS_STACK = (
    STACK.replace("budget:", "secrets: [grafana, mlflow], database: {}, budget:")
    + f"""\
  mainline:domain: models.example.com
  mainline:parts: [{", ".join(PARTS)}]
  mainline:queue: training
  mainline:quota: {{cpu: '32', memory: 64Gi}}
"""
)
MODEL = """\
name: iris
owner: flowers
description: Which iris it is.
job: iris
gates:
  - {metric: accuracy, at_least: 0.9}
objective: {latency_p95_ms: 20, availability: 0.999}
"""
JOB = f"""\
name: iris
owner: flowers
model: iris
data:
  - {{name: iris.csv, sha256: {"a" * 64}, package: sklearn.datasets.data/iris.csv}}
"""
STACK_PATH = "Pulumi.dev.yaml"
MODEL_PATH = "model-servers/iris/model.yaml"
JOB_PATH = "training-jobs/iris/job.yaml"
RELEASE_PATH = release_path("iris", "dev")


def digest(letter: str) -> str:
    return "sha256:" + letter * 64


def version(number: int, letter: str) -> ReleasedVersion:
    return ReleasedVersion(
        version=number,
        digest=digest(letter),
        run="0123456789abcdef0123456789abcdef",
        code="0123abc",
        data={"iris.csv": digest("d")},
        evidence={"accuracy": 0.96},
    )


def candidate(number: int = 2, letter: str = "b", **mode: object) -> Candidate:
    return Candidate.model_validate({**version(number, letter).model_dump(), **mode})


RELEASES = {
    "direct": Release(stable=version(1, "a")),
    "canary": Release(stable=version(1, "a"), candidate=candidate(mode="canary", traffic=10)),
    "shadow": Release(stable=version(1, "a"), candidate=candidate(mode="shadow")),
    "header": Release(
        stable=version(1, "a"),
        candidate=candidate(mode="header", header=Header(name="x-track", value="next")),
    ),
    "standby": Release(stable=version(2, "b"), standby=version(1, "a")),
}


def tree(release: Release | None = RELEASES["direct"], **texts: str) -> dict[str, str]:
    """The repository's texts; `stack`, `model`, `job` and `project` replace one of them."""
    files = {
        "Pulumi.yaml": texts.get("project", PROJECT),
        STACK_PATH: texts.get("stack", STACK),
        MODEL_PATH: texts.get("model", MODEL),
        JOB_PATH: texts.get("job", JOB),
    }
    return files | ({RELEASE_PATH: dump_release(release)} if release else {})


def repository(mode: str = "direct", **texts: str) -> Repository:
    return load(tree(RELEASES[mode], **texts))


def problems(files: dict[str, str]) -> tuple[str, ...]:
    """Why the tree is refused; empty if it is not."""
    try:
        load(files)
    except DeclarationError as error:
        return error.problems
    return ()


def only(found: Iterable[str]) -> str:
    (one,) = found
    return one


def edited(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)
