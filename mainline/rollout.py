"""What a promotion, a step and a rollback make of a release. Pure: release in, release out."""

from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from infra.declarations.release import Candidate, Header, Release, ReleasedVersion
from mainline.errors import Refusal


@dataclass(frozen=True, slots=True)
class Mode:
    """How a version starts to serve: at once, or as a candidate beside the stable one."""

    kind: Literal["direct", "canary", "shadow", "header"] = "direct"
    traffic: int | None = None
    header: Header | None = None

    def __str__(self) -> str:
        if self.kind == "canary":
            return f"canary {self.traffic} %"
        if self.kind == "header" and self.header:
            return f"header {self.header.name}={self.header.value}"
        return self.kind


def mode_of(canary: int | None, shadow: bool, header: str | None) -> Mode | None:
    """The one way to start that the options of `mainline promote` name, or None; Refusal for two of them."""
    if sum((canary is not None, shadow, header is not None)) > 1:
        raise Refusal("--canary, --shadow and --header are three ways to start; give one")
    if canary is not None:
        if not 1 <= canary <= 99:
            raise Refusal(
                f"--canary {canary}: a canary takes 1 to 99 per cent; leave it out to give all traffic"
            )
        return Mode("canary", traffic=canary)
    if header is not None:
        name, _, value = header.partition("=")
        if not name or not value:
            raise Refusal(f"--header {header!r}: give NAME=VALUE, such as x-group=b")
        return Mode("header", header=_header(name, value))
    return Mode("shadow") if shadow else None


def _header(name: str, value: str) -> Header:
    try:
        return Header(name=name, value=value)
    except ValidationError as error:
        first = error.errors()[0]
        raise Refusal(
            f"--header {name}={value}: {first['loc'][0]} {first['msg'].removeprefix('Value error, ')}; give NAME=VALUE"
        ) from error


def promoted(release: Release | None, version: ReleasedVersion, mode: Mode, standby: bool) -> Release | None:
    """The release that serves `version` in this mode, or None when it does already."""
    if release is None:
        if mode.kind != "direct":
            raise Refusal(
                f"nothing serves yet, so there is nothing to run a {mode.kind} beside; promote without --{mode.kind}"
            )
        return Release(stable=version)
    if release.stable.digest == version.digest:
        return None if release.candidate is None else _kept(release)
    if mode.kind == "direct":
        return Release(stable=version, standby=release.stable if standby else None)
    candidate = Candidate(**version.model_dump(), mode=mode.kind, traffic=mode.traffic, header=mode.header)
    waiting = release.standby if release.standby and release.standby.digest != version.digest else None
    made = Release(stable=release.stable, candidate=candidate, standby=waiting)
    return None if made == release else made


def advanced(release: Release, steps: tuple[int, ...], traffic: int | None, standby: bool) -> Release:
    """The next step of a rollout: more traffic for the candidate, or the candidate as the stable version."""
    candidate = release.candidate
    if candidate is None:
        raise Refusal(
            "no rollout runs: the release has no candidate; start one with `mainline promote --canary PCT`"
        )
    share = _next_share(candidate, steps) if traffic is None else traffic
    if share >= 100:
        stable = ReleasedVersion(**candidate.model_dump(exclude={"mode", "traffic", "header"}))
        return Release(stable=stable, standby=release.stable if standby else None)
    if candidate.mode != "canary":
        raise Refusal(
            f"the candidate runs as {candidate.mode}; only a canary takes --traffic {share}, or 100 to finish"
        )
    if share == candidate.traffic:
        raise Refusal(f"the candidate has {share} % already; give another --traffic")
    return Release(
        stable=release.stable,
        candidate=candidate.model_copy(update={"traffic": share}),
        standby=release.standby,
    )


def rolled_back(release: Release, earlier: ReleasedVersion | None) -> Release:
    """Without a rollout: the earlier version. While one runs: the stable version alone."""
    if release.candidate is not None:
        return _kept(release)
    if earlier is None:
        raise Refusal(
            "there is no earlier release to go back to; take the model away with `git revert` of its promotion"
        )
    return Release(stable=earlier)


def _kept(release: Release) -> Release:
    return Release(stable=release.stable, standby=release.standby)


def _next_share(candidate: Candidate, steps: tuple[int, ...]) -> int:
    if candidate.mode != "canary":
        return 100
    return next((step for step in steps if step > (candidate.traffic or 0)), 100)
