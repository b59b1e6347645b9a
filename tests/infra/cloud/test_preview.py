"""`make preview`, `make apply` and the workflows that call them: what is missing is said, and whose role is taken."""

import subprocess
from typing import Any

import pytest
import yaml

from infra.declarations import naming
from infra.iam import ci
from tests.infra.cloud.graph import ENVIRONMENTS, ROOT, fleet


def _make(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Where there is no Pulumi."""
    plain = {"PATH": "/usr/bin:/bin"}
    command = ["make", *arguments]
    return subprocess.run(command, cwd=ROOT, env=plain, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("target", ["preview", "apply"])
@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ((), "make: which environment? write ENV=dev"),
        (("ENV=prdo",), "make: there is no Pulumi.prdo.yaml; ENV is one of: dev local prod staging"),
        (("ENV=dev",), "make: pulumi is not on PATH; install it (docs/platform.md)"),
    ],
)
def test_what_is_missing_is_said_before_anything_starts(
    target: str, asked: tuple[str, ...], reason: str
) -> None:
    done = _make(target, *asked)
    assert done.returncode == 2
    assert done.stdout.startswith(reason)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("target", "verb"), [("preview", "preview"), ("apply", "up")])
def test_both_ask_the_rules(target: str, verb: str) -> None:
    assert f"pulumi {verb} --stack dev --policy-pack policies" in _make("-n", target, "ENV=dev").stdout


@pytest.mark.parametrize("target", ["preview", "apply"])
def test_what_has_no_price_or_breaks_a_budget_or_a_rule_stops_before_the_engine_starts(target: str) -> None:
    """The program itself knows no prices and does not read CEL."""
    lines = _make("-n", target, "ENV=dev").stdout.splitlines()
    (checks,) = [number for number, line in enumerate(lines) if line.endswith("mainline check dev")]
    (starts,) = [number for number, line in enumerate(lines) if line.startswith("pulumi ")]
    assert checks < starts


def _workflow(name: str) -> dict[Any, Any]:
    loaded: dict[Any, Any] = yaml.safe_load((ROOT / f".github/workflows/{name}.yaml").read_text())
    return loaded


def test_a_pull_request_looks_with_the_role_and_the_state_that_each_environment_declares() -> None:
    job = _workflow("preview")["jobs"]["preview"]
    rows = {row["environment"]: row for row in job["strategy"]["matrix"]["include"]}
    assert set(rows) == set(ENVIRONMENTS)
    for env, row in rows.items():
        cloud = fleet(0).environments[env].cloud
        assert cloud
        assert cloud.ci
        assert row["role"] == naming.role_arn(cloud, env, ci.role_name(env, "plan"))
        assert (row["region"], row["state"]) == (cloud.region, f"s3://{cloud.ci.state}")


def test_a_fork_gets_no_identity() -> None:
    job = _workflow("preview")["jobs"]["preview"]
    assert job["if"] == "github.event.pull_request.head.repo.full_name == github.repository"
    assert job["permissions"] == {"contents": "read", "id-token": "write"}


def test_an_environment_is_applied_by_hand_and_under_its_own_name() -> None:
    workflow = _workflow("apply")
    (started,) = workflow[True].values()  # YAML 1.1 reads `on` as true
    assert set(started["inputs"]["environment"]["options"]) == set(ENVIRONMENTS)
    job = workflow["jobs"]["apply"]
    assert job["environment"] == "${{ inputs.environment }}"
    assert list(workflow[True]) == ["workflow_dispatch"]
