"""mainline check: every rule on every rendered object, and one line for each object that would be refused."""

import json
import shutil
from datetime import date

import pytest
import yaml
from typer.testing import CliRunner

from infra.declarations.waiver import WAIVERS_FILE
from mainline.check import check
from mainline.cli import app
from mainline.errors import Refusal
from mainline.places import Places
from tests.repository.tracked import ROOT, tracked

JOB = "clusters/prod/jobs/iris/1-manifest"


@pytest.fixture
def places(tmp_path):
    """This repository's declarations and one environment of its rendered tree."""
    wanted = ("Pulumi", "policies/", "model-servers/", "training-jobs/", "clusters/prod/", "infra/prices/")
    for path in tracked():
        if path.startswith(wanted) and path.endswith((".yaml", ".py")) and path != WAIVERS_FILE:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, tmp_path / path)
    return Places(tmp_path)


def _edit(places, change):
    file = next((places.root / JOB).glob("batch_v1-job-*.yaml"))
    item = yaml.safe_load(file.read_text())
    change(item)
    file.write_text(yaml.safe_dump(item))
    return item["metadata"]["name"]


def test_this_repositorys_tree_passes_its_own_rules():
    for one in check(Places(ROOT), []):
        assert one.violations == ()
        assert one.objects > 20
        assert one.rules == 12


def test_an_object_that_would_be_refused_is_named_with_the_rule_and_its_pod_too(places):
    def change(item):
        item["spec"]["template"]["spec"]["containers"][0]["image"] = "python:3.12"

    name = _edit(places, change)
    (found,) = check(places, ["prod"])
    assert [(one.object, one.rule) for one in found.violations] == [
        (f"batch/v1/Job/training/{name}", "known-images"),
        (f"v1/Pod/training/{name}", "known-images"),
    ]
    said = found.violations[0].message
    assert said.startswith(f"image python:3.12 of Job {name} is not of ")
    assert "mainline/training" in said


def test_the_command_says_it_and_ends_with_1(places):
    _edit(places, lambda item: item["spec"]["template"]["spec"].pop("automountServiceAccountToken"))
    plain = CliRunner().invoke(app, ["--repo", str(places.root), "check", "prod"])
    assert plain.exit_code == 1
    assert "restricted-pods: Job iris-" in plain.stdout
    assert plain.stdout.splitlines()[-1].endswith("12 rules, 2 refused")
    (found,) = json.loads(
        CliRunner().invoke(app, ["--repo", str(places.root), "check", "prod", "--json"]).stdout
    )
    assert {one["rule"] for one in found["violations"]} == {"restricted-pods"}


def test_a_foreign_file_is_checked_as_well_because_argo_cd_applies_it(places):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "mine", "namespace": "training"}}
    pod["spec"] = {"containers": [{"name": "a", "image": "busybox:1"}]}
    (places.root / JOB / "mine.yaml").write_text(yaml.safe_dump(pod))
    (found,) = check(places, ["prod"])
    assert {one.rule for one in found.violations} == {
        "known-images",
        "network-policies",
        "requests-and-limits",
        "restricted-pods",
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [", "not YAML"),
        ("[]", "is no object with apiVersion"),
        ("kind: Job\napiVersion: batch/v1\n", "is no object"),
    ],
)
def test_what_is_no_object_is_refused_with_its_path(places, text, reason):
    (places.root / JOB / "broken.yaml").write_text(text)
    with pytest.raises(Refusal, match=rf"^{JOB}/broken.yaml: {reason}"):
        check(places, ["prod"])


def test_a_rule_that_is_no_cel_is_named_with_the_file_that_it_comes_from(places):
    for file in places.root.glob("clusters/prod/platform/*/*validatingadmissionpolicy-*ceilings*"):
        text = file.read_text()
        file.write_text(text.replace("expression: variables.replicas <= variables.server", "expression: (("))
    with pytest.raises(
        Refusal, match=r"^policies/ceilings/policy.yaml: '\(\(' is not CEL: .*; mend it, then run "
    ):
        check(places, ["prod"])


def test_where_waivers_have_to_be_judged_and_nothing_is_committed_a_day_is_asked_for(places):
    shutil.copy(ROOT / WAIVERS_FILE, places.root / WAIVERS_FILE)
    with pytest.raises(Refusal, match="there is no commit to take it of; give --today YYYY-MM-DD"):
        check(places, ["prod"])
    assert check(places, ["prod"], date(2026, 12, 1))[0].violations == ()


def test_a_job_without_a_template_is_refused_by_its_name(places):
    _edit(places, lambda item: item["spec"].pop("template"))
    with pytest.raises(
        Refusal, match=r"^batch/v1/Job/training/iris-\w+: a pod's template has no spec; run make"
    ):
        check(places, ["prod"])


def test_an_unknown_environment_is_refused():
    with pytest.raises(Refusal, match="unknown environment 'prd'; there are dev"):
        check(Places(ROOT), ["prd"])


def test_a_tree_without_rules_is_refused_because_nothing_would_be_checked(places):
    shutil.rmtree(places.root / "clusters/prod/platform")
    with pytest.raises(Refusal, match="clusters/prod/ puts no admission rule into force; run make render"):
        check(places, ["prod"])
