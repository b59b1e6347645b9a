"""Steps and rollbacks are commits too, found in Git alone."""

import shutil

import pytest

from mainline.advance import advance
from mainline.errors import Refusal
from mainline.history import entries, since
from mainline.promote import promote
from mainline.rollback import rollback
from mainline.rollout import Mode
from mainline.truth import truth


def _promote(world, number, mode=None):
    return promote(world.places, "iris", "local", number, mode, lambda _: None).delivered.commit


def _release(world):
    where = truth(world.places, "local")
    return where.declared(where.head()).releases["iris", "local"]


def _actions(world):
    return [(entry.action, entry.version) for entry in entries(world.remote, "main")]


def test_a_canary_is_advanced_by_commits_that_change_one_number(world):
    _promote(world, 1)
    _promote(world, 2, Mode("canary", traffic=10))
    step = advance(world.places, "iris", "local", 50)
    changed = world.remote.run("diff", "--unified=0", f"{step.commit}^", step.commit)
    touched = [line for line in changed.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert sorted(line.strip() for line in touched) == sorted(
        [
            "-  traffic: 10",
            "+  traffic: 50",
            "-      weight: 90",
            "+      weight: 50",
            "-      weight: 10",
            "+      weight: 50",
        ]
    )
    advance(world.places, "iris", "local", None)
    assert (_release(world).stable.version, _release(world).candidate) == (2, None)
    assert _actions(world) == [("advance", "2"), ("advance", "2"), ("canary", "2"), ("promote", "1")]


def test_advancing_a_model_without_a_release_is_refused(world):
    with pytest.raises(Refusal, match="iris has no release in local; promote it first"):
        advance(world.places, "iris", "local", None)


def test_a_rollback_ends_a_rollout_first(world):
    _promote(world, 1)
    _promote(world, 2, Mode("canary", traffic=10))
    rollback(world.places, "iris", "local", None)
    assert (_release(world).stable.version, _release(world).candidate) == (1, None)


def test_a_rollback_restores_the_release_before_this_one_to_the_byte(world):
    first = _promote(world, 1)
    _promote(world, 2)
    made = rollback(world.places, "iris", "local", None)
    assert world.remote.run("diff", "--stat", first, made.commit) == ""
    assert _actions(world)[0] == ("rollback", "1")


def test_a_rollback_again_goes_further_back_and_then_says_there_is_nothing(world):
    for number in (1, 2, 6):
        _promote(world, number)
    assert rollback(world.places, "iris", "local", None).subject.endswith("version 2")
    assert rollback(world.places, "iris", "local", None).subject.endswith("version 1")
    with pytest.raises(Refusal, match=r"no earlier release.*git revert"):
        rollback(world.places, "iris", "local", None)


def test_a_rollback_to_a_named_version_needs_one_that_was_released(world):
    _promote(world, 1)
    _promote(world, 2)
    with pytest.raises(Refusal, match=r"version 6 was never released to local; released were 1, 2"):
        rollback(world.places, "iris", "local", 6)
    assert rollback(world.places, "iris", "local", 2) is None
    assert rollback(world.places, "iris", "local", 1).subject == "Roll back iris in local to version 1"


def test_a_rollback_to_bytes_that_are_gone_is_refused(world):
    _promote(world, 1)
    head = _promote(world, 2)
    shutil.rmtree(world.places.store / "iris" / world.digests[1][7:])
    with pytest.raises(Refusal, match=r"iris version 1 cannot serve again: .* is not in the store"):
        rollback(world.places, "iris", "local", None)
    assert world.remote.resolve("main") == head


def test_a_plain_git_revert_brings_the_old_release_back_and_shows_in_the_log(world, tmp_path):
    first = _promote(world, 1)
    _promote(world, 2)
    live = tmp_path / "live"
    world.remote.run("clone", "-q", str(world.places.remote), str(live))
    from mainline.git import Git

    Git(live).run("revert", "--no-edit", "HEAD")
    Git(live).run("push", "-q", "origin", "HEAD:main")
    assert world.remote.run("diff", "--stat", first, "main") == ""
    assert _actions(world) == [("revert", "2"), ("promote", "2"), ("promote", "1")]


def test_a_commit_that_did_not_parse_is_no_release_to_go_back_to(world):
    _promote(world, 1)
    head = world.remote.resolve("main")
    broken = world.remote.commit((head,), {"model-servers/iris/releases/local.yaml": ""}, "emptied\n")
    good = world.remote.commit_tree(
        world.remote.run("rev-parse", f"{head}^{{tree}}").strip(), (broken,), "restored\n"
    )
    world.remote.move("refs/heads/main", good, head)
    _promote(world, 2)
    assert rollback(world.places, "iris", "local", None).subject == "Roll back iris in local to version 1"


def test_a_head_that_does_not_parse_is_named_with_the_way_back(world):
    _promote(world, 1)
    head = world.remote.resolve("main")
    broken = world.remote.commit((head,), {"model-servers/iris/model.yaml": "ownr: x\n"}, "typo\n")
    world.remote.move("refs/heads/main", broken, head)
    reason = rf"main of gitops\.git \({broken[:8]}\) does not parse.*model\.yaml:1: .*git revert {broken[:8]}"
    with pytest.raises(Refusal, match=reason):
        rollback(world.places, "iris", "local", None)


def test_since_names_the_commit_that_brought_the_digest_back(world):
    _promote(world, 1)
    _promote(world, 2)
    made = rollback(world.places, "iris", "local", None)
    found = since(world.remote, "main", "iris", "local", world.digests[1])
    assert found is not None
    assert found[0] == made.commit
    assert since(world.remote, "main", "iris", "local", world.digests[2]) is None
