"""The embedded Git host takes the clone's HEAD in, keeps its promotions, and only moves forward."""

import pytest

from mainline.errors import Refusal
from mainline.git import Git
from mainline.places import Places
from mainline.promote import promote
from mainline.publish import publish
from mainline.truth import truth


def _promote(world, number):
    return promote(world.places, "iris", "local", number, None, lambda _: None).delivered.commit


def test_the_first_publication_is_head_itself(world):
    assert world.remote.resolve("main") == world.clone.resolve("HEAD")


def test_publishing_again_changes_nothing(world):
    promoted = _promote(world, 1)
    assert publish(world.places) == promoted


def test_new_commits_of_the_clone_are_merged_with_the_promotions_and_rendered_again(world):
    _promote(world, 1)
    model = (world.places.root / "model-servers/iris/model.yaml").read_text()
    head = world.commit("model-servers/iris/model.yaml", model.replace("owner: ", "owner: new-"))
    merged = publish(world.places)
    assert world.remote.is_ancestor(head, merged)
    where = truth(world.places, "local")
    from infra.render import render

    declared = where.declared(merged)
    assert declared.models["iris"].owner.startswith("new-")
    assert declared.releases["iris", "local"].stable.version == 1
    assert dict(where.rendered(merged)) == render(declared, "local")
    _promote(world, 2)


def test_what_both_sides_rendered_is_rendered_again_instead_of_merged(world):
    promoted = _promote(world, 1)
    path = "clusters/local/models/iris/1-manifest/v1-serviceaccount-models-iris.yaml"
    assert world.remote.text_at(promoted, path)
    world.commit(path, "edited by hand\n")
    merged = publish(world.places)
    assert world.remote.text_at(merged, path) == world.remote.text_at(promoted, path)


def test_a_conflict_in_a_declaration_is_for_a_person(world, tmp_path):
    live = Git(tmp_path / "live")
    world.remote.run("clone", "-q", str(world.places.remote), str(live.folder))
    stack = (live.folder / "Pulumi.local.yaml").read_text()
    (live.folder / "Pulumi.local.yaml").write_text(f"{stack}  mainline:port: 9001\n")
    live.run("commit", "-qam", "theirs")
    live.run("push", "-q", "origin", "HEAD:main")
    theirs = world.remote.resolve("main")
    world.commit("Pulumi.local.yaml", f"{stack}  mainline:port: 9002\n")
    with pytest.raises(
        Refusal, match=r"both changed Pulumi\.local\.yaml; git pull .*gitops\.git main, solve it, commit"
    ):
        publish(world.places)
    assert world.remote.resolve("main") == theirs


def test_a_folder_without_a_commit_says_what_to_do(tmp_path):
    Git(tmp_path).run("init", "-q")
    with pytest.raises(
        Refusal, match=r"has no commit, and only commits are served; git init, git add -A, git commit"
    ):
        publish(Places(tmp_path))


def test_history_of_the_embedded_host_cannot_be_rewritten(world, tmp_path):
    _promote(world, 1)
    live = Git(tmp_path / "live")
    world.remote.run("clone", "-q", str(world.places.remote), str(live.folder))
    live.run("reset", "-q", "--hard", "HEAD^")
    with pytest.raises(Refusal, match="push"):
        live.run("push", "-q", "--force", "origin", "HEAD:main")
