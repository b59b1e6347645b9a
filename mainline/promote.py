"""mainline promote: gates, bytes into the store, one commit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.declarations.environment import Environment
from infra.declarations.model import ServedModel
from infra.declarations.release import Release, ReleasedVersion
from infra.declarations.repository import Repository
from mainline.delivery import Decision, Delivered, deliver, ready
from mainline.errors import Refusal
from mainline.places import Places
from mainline.registry import RegisteredVersion, Registry
from mainline.rollout import Mode, promoted
from mainline.store import Store
from policies.gates import Finding, examine, fits, passed

Say = Callable[[str], None]


@dataclass(slots=True)
class Promotion:
    """What a promotion saw and did; `delivered` is None when the version serves already."""

    model: str
    env: str
    version: RegisteredVersion
    mode: Mode
    findings: list[Finding] = field(default_factory=list)
    delivered: Delivered | None = None
    restored: bool = False  # it served already, but the store had lost its bytes


class GatesRefused(Refusal):
    """At least one gate said no; carries every finding."""

    def __init__(self, model: str, version: int, findings: Sequence[Finding]) -> None:
        reasons = (
            "; ".join(finding.reason for finding in findings if not finding.passed)
            or "model.yaml names no gate"
        )
        super().__init__(f"{model} version {version} is not promoted: {reasons}")
        self.findings = findings


def promote(
    places: Places, model: str, env: str, number: int | None, mode: Mode | None, say: Say
) -> Promotion:
    """Promote version `number` (or the newest) of a model to an environment.

    Raises Refusal for an unknown model, version or environment, a gate that is not met, bytes that are not what the
    registry says, and a clone or remote that does not allow the commit.
    """
    where = ready(places, model, env)
    environment = where.environment
    registry = Registry(registry_uri(places, environment.registry))
    say(f"reading {model} in the registry")
    version = registry.version(model, number)
    _refuse_uncommitted(version)
    made = Promotion(model, env, version, mode or Mode())

    def decide(repository: Repository) -> Decision | None:
        release = repository.releases.get((model, env))
        made.mode = mode or _default_mode(release, environment.steps)
        after = promoted(release, released(version), made.mode, environment.standby)
        if after is not None:
            made.findings = _pass_gates(_declared(repository, model), version, release)
        artifact = registry.fetch(version)
        if after is not None:
            made.findings += _pass_size(_declared(repository, model), version, artifact)
        say(f"copying {version.digest[:19]} to the store")
        store = store_of(places, environment)
        written = store.put(model, version.digest, artifact)
        if after is None:
            made.restored = written
            return None
        say("writing the commit")
        return _decision(model, env, release, after, made.mode)

    made.delivered = deliver(where, model, decide)
    return made


def released(version: RegisteredVersion) -> ReleasedVersion:
    """The lock entry of a registered version."""
    return ReleasedVersion(
        version=version.version,
        digest=version.digest,
        run=version.run,
        code=version.code,
        data=dict(version.data),
        evidence=dict(version.metrics),
    )


def registry_uri(places: Places, declared: str) -> str:
    """`mainline://...` is the registry of this checkout; everything else is MLflow's own syntax."""
    return f"sqlite:///{places.registry}" if declared.startswith("mainline://") else declared


def store_of(places: Places, environment: Environment) -> Store:
    """`mainline://...` is the store of this checkout."""
    if environment.store.startswith("mainline://"):
        return Store(f"file://{places.store}")
    return Store(environment.store, environment.endpoint)


def _refuse_uncommitted(version: RegisteredVersion) -> None:
    if version.dirty:
        raise Refusal(
            f"{version.model} version {version.version} was trained from uncommitted code; commit it and train again"
        )


def _declared(repository: Repository, model: str) -> ServedModel:
    if model not in repository.models:
        raise Refusal(
            f"model {model!r} is not declared on main yet; push the commit that adds model-servers/{model}/"
        )
    return repository.models[model]


def _pass_gates(model: ServedModel, version: RegisteredVersion, release: Release | None) -> list[Finding]:
    serving: Mapping[str, float] | None = release.stable.evidence if release else None
    findings = examine(model.gates, version.metrics, serving)
    if not passed(findings):
        raise GatesRefused(version.model, version.version, findings)
    return findings


def _pass_size(model: ServedModel, version: RegisteredVersion, artifact: Path) -> list[Finding]:
    sizes = {
        file.relative_to(artifact).as_posix(): file.stat().st_size
        for file in artifact.rglob("*")
        if file.is_file()
    }
    findings = fits(model, sizes)
    if any(not finding.passed for finding in findings):
        raise GatesRefused(version.model, version.version, findings)
    return findings


def _default_mode(release: Release | None, steps: Sequence[int]) -> Mode:
    """An environment that promotes in steps starts with the first, once there is something to compare with."""
    return Mode("canary", traffic=steps[0]) if release and steps else Mode()


def _decision(model: str, env: str, before: Release | None, after: Release, mode: Mode) -> Decision:
    shown = after.candidate or after.stable
    if after.candidate is None and before and before.stable.digest == shown.digest:
        subject = f"Stop the rollout of {model} in {env}: version {shown.version} serves alone"
    elif mode.kind == "direct":
        subject = f"Promote {model} version {shown.version} to {env}"
    else:
        subject = f"Promote {model} version {shown.version} to {env} as {mode}"
    return Decision(after, "promote" if mode.kind == "direct" else mode.kind, subject)
