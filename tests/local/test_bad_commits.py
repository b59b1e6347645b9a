"""A commit that cannot run changes nothing that serves, and status.json says why."""

import pytest

from mainline.local.environment import LocalError
from tests.local.world import World, name_of, path_of, route, rule, runtime

pytestmark = pytest.mark.e2e


@pytest.fixture
def serving(world: World) -> World:
    world.first = world.artifact("iris", "one")
    world.sync(world.release("iris", world.first))
    return world


def refused(world: World, commit: str) -> str:
    """The reason of a refused commit, after looking that nothing else changed."""
    with pytest.raises(LocalError, match="is refused") as caught:
        world.sync(commit)
    status = world.status()
    assert status["head"] == commit
    assert status["accepted"] != commit
    assert status["error"] in str(caught.value)
    assert world.served("iris") == world.first
    return str(status["error"])


def test_a_manifest_that_is_not_yaml(serving: World) -> None:
    reason = refused(serving, serving.write("Broken", {"clusters/local/models/iris/x.yaml": "a: [b"}))
    assert reason.startswith("clusters/local/models/iris/x.yaml: is not YAML (while parsing")


def test_a_route_to_a_backend_that_does_not_exist(serving: World) -> None:
    lost = route("iris", rule("iris", {"name": "iris-00000000-predictor", "port": 80}))
    reason = refused(serving, serving.write("Lost", {path_of(lost, "models/iris"): lost}))
    assert "backend iris-00000000-predictor is the Service of no InferenceService of this commit" in reason


def test_a_runtime_that_is_taken_away_from_under_its_services(serving: World) -> None:
    reason = refused(serving, serving.write("No runtime", {path_of(runtime(), "platform"): None}))
    assert "spec.predictor.model.runtime: 'v2serve' is no ClusterServingRuntime here; known: none" in reason


def test_a_declaration_with_a_typo(serving: World) -> None:
    reason = refused(
        serving, serving.write("Typo", {"Pulumi.local.yaml": "config:\n  mainline:clutser: embedded\n"})
    )
    assert "Pulumi.local.yaml:2" in reason
    assert "clutser" in reason


def test_the_commit_after_a_refused_one_is_synced(serving: World) -> None:
    refused(serving, serving.write("Broken", {"clusters/local/models/iris/x.yaml": "a: [b"}))
    status = serving.sync(serving.revert())
    assert status["error"] is None


def test_a_digest_that_is_not_in_the_store_is_degraded_and_moves_nothing(serving: World) -> None:
    missing = "sha256:" + "ab" * 32
    commit = serving.release("iris", missing)
    with pytest.raises(
        LocalError, match=r"models/iris is Degraded: v2serve: model iris: .* is not in the store"
    ):
        serving.sync(commit)
    assert serving.served("iris") == serving.first
    assert serving.status()["applications"]["models/iris"]["sync"] == "OutOfSync"


def test_a_flipped_bit_in_the_store_is_refused_by_the_server(serving: World) -> None:
    digest = serving.artifact("iris", "two")
    (serving.root / ".mainline/store/iris" / digest[7:] / "model.txt").write_text("tvo")
    commit = serving.release("iris", digest)
    with pytest.raises(LocalError, match=r"but the bytes of model.txt are sha256:"):
        serving.sync(commit)
    assert serving.served("iris") == serving.first


def test_an_object_that_appears_in_the_store_later_heals_the_release(serving: World) -> None:
    digest = serving.artifact("iris", "two")
    folder = serving.root / ".mainline/store/iris" / digest[7:]
    folder.rename(folder.with_name("away"))
    commit = serving.release("iris", digest)
    with pytest.raises(LocalError, match="Degraded"):
        serving.sync(commit)
    folder.with_name("away").rename(folder)
    serving.until(lambda: serving.status()["commit"] == commit)
    assert serving.served("iris") == digest


def test_a_release_that_never_gets_ready_does_not_block_its_revert(serving: World) -> None:
    digest = serving.artifact("iris", "two")
    commit = serving.release("iris", digest, FAKE_NOT_READY="1")
    serving.until(lambda: name_of("iris", digest) in serving.pids())
    with pytest.raises(
        LocalError, match=f"not synced after 0.3 s: models/iris: waits for {name_of('iris', digest)}"
    ):
        serving.sync(commit, 0.3)
    assert serving.served("iris") == serving.first
    serving.sync(serving.revert(), 5)
    assert name_of("iris", digest) not in serving.pids()


def test_a_newer_commit_supersedes_one_that_waits(serving: World) -> None:
    stuck, good = serving.artifact("iris", "two"), serving.artifact("iris", "three")
    first = serving.release("iris", stuck, FAKE_NOT_READY="1")
    serving.until(lambda: serving.status()["accepted"] == first)
    status = serving.sync(serving.release("iris", good))
    assert serving.served("iris") == good
    assert list(status["applications"]["models/iris"]["services"]) == [name_of("iris", good)]


def test_a_restarted_agent_goes_on_with_the_last_good_commit(serving: World) -> None:
    good = serving.head
    refused(serving, serving.write("Broken", {"clusters/local/models/iris/x.yaml": "- 1"}))
    serving.end(serving.pids()["agent"])
    serving.environment.start(0)
    serving.until(lambda: serving.status()["commit"] == good)
    assert "is not a mapping" in serving.status()["error"]
    serving.kill(serving.pids()[name_of("iris", serving.first)])
    assert serving.served("iris") == serving.first


def test_wait_for_an_older_commit_ends_when_a_newer_one_is_live(serving: World) -> None:
    older = serving.release("iris", serving.artifact("iris", "two"))
    serving.sync(serving.release("iris", serving.artifact("iris", "three")))
    assert serving.sync(older)["commit"] == serving.head


def test_a_branch_that_was_out_of_reach_for_a_while_leaves_no_error_behind(serving: World) -> None:
    refs = serving.root / ".mainline" / "gitops.git"
    away = refs.with_name("away.git")
    refs.rename(away)
    serving.until(lambda: serving.status()["error"])
    away.rename(refs)
    serving.until(lambda: serving.status()["error"] is None)
    assert serving.served("iris")
