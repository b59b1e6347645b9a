"""Rules of the whole tree: their samples, what they say about the trees that are rendered, and what they overlook."""

import pytest

from infra.declarations.ceiling import Ceilings
from infra.declarations.document import read_document
from infra.declarations.repository import load
from infra.manifests.manifest import identity
from policies.tree.rules import NAMES, found, judged
from tests.infra.samples import RELEASES, STACK, tree
from tests.policies.rules import ROOT, folders

FILES = sorted((ROOT / "policies/tree").glob("*/*/*.yaml"))


def _asked(path):
    """What the sample's rule says, as messages, and the sample's reason."""
    shown = read_document(path.name, path.read_text()).value
    ceilings = Ceilings.model_validate(shown.get("ceilings", {}))
    every = judged(shown["objects"], ceilings, shown.get("owners", {}))
    return [one.message for rule, one in every if rule == path.parents[1].name], shown.get("reason")


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parents[1].name}/{path.stem}")
def test_a_sample_is_answered_as_its_folder_says(path):
    said, reason = _asked(path)
    if path.parent.name == "allowed":
        assert said == []
    else:
        assert reason
        assert any(message.startswith(reason) for message in said), said


@pytest.mark.parametrize("rule", NAMES)
def test_a_rule_has_samples_of_both_kinds(rule):
    for kind in ("allowed", "refused"):
        assert list((ROOT / "policies/tree" / rule / kind).glob("*.yaml")), kind


def test_no_folder_of_samples_is_without_its_rule():
    assert {path.parents[1].name for path in FILES} == set(NAMES)


@pytest.mark.parametrize("mode", RELEASES)
def test_every_rollout_that_is_rendered_passes(mode):
    declared = load(tree(RELEASES[mode]))
    objects = [item for folder in folders(mode).values() for item in folder]
    assert [(rule, identity(one.object)) for rule, one in found(declared, "dev", objects)] == []


def test_a_team_is_found_by_the_owner_of_its_model():
    stack = f"{STACK}  mainline:ceilings: {{teams: {{flowers: {{replicas: 1}}}}}}\n  mainline:floor: 2\n"
    declared = load(tree(RELEASES["canary"], stack=stack))
    objects = [item for folder in folders("canary", stack).values() for item in folder]
    ((rule, one),) = found(declared, "dev", objects)
    assert rule == "team-ceilings"
    assert one.message.startswith("team flowers may scale to 4 replicas, the ceiling is 1; lower a model's")
