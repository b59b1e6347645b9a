"""Refuse images that the network must not learn from, and decode the others once for all later stages."""

from checks import Limits, check_balance, check_copies, read_split
from images import FILES, save_images

from trainkit.checks import Finding
from trainkit.params import read_params
from trainkit.stage import run_stage
from trainkit.validation import reported


def validate() -> str:
    limits, splits, findings = read_params("validate", Limits), {}, []
    for name, path in FILES.items():
        splits[name], found = read_split(path)
        findings += _in(path.name, [*found, *check_balance(splits[name], limits)])
    findings += check_copies(splits, limits)
    passed = reported(findings, "cifar10", rows={name: len(split) for name, split in splits.items()})
    save_images(splits)
    return f"{len(splits['train'])} + {len(splits['test'])} images, {passed}"


def _in(file: str, findings: list[Finding]) -> list[Finding]:
    return [Finding(f"{one.check} of {file}", one.passed, one.detail) for one in findings]


if __name__ == "__main__":
    run_stage(validate)
