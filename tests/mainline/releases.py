"""Releases for tests: versions that differ in every byte of their digest."""

from infra.declarations.release import ReleasedVersion


def version(number: int, **changes: object) -> ReleasedVersion:
    digest = f"{number:02x}" * 32
    fields = {
        "version": number,
        "digest": f"sha256:{digest}",
        "run": digest[:32],
        "code": digest[:40],
        "data": {"iris.csv": f"sha256:{'a' * 64}"},
        "evidence": {"accuracy": 0.96},
    }
    return ReleasedVersion.model_validate({**fields, **changes})
