"""A commit is what moves traffic: promotion, revert, weights, headers, shadow, removal."""

from collections import Counter

import pytest

from tests.local.world import World, backend, mirror, name_of, path_of, route, rule, service

pytestmark = pytest.mark.e2e


def test_a_promotion_by_commit_moves_the_traffic_and_prunes_the_old_server(world: World) -> None:
    old, new = world.artifact("iris", "one"), world.artifact("iris", "two")
    world.sync(world.release("iris", old))
    assert world.served("iris") == old
    status = world.sync(world.release("iris", new))
    assert world.served("iris") == new
    assert list(status["applications"]["models/iris"]["services"]) == [name_of("iris", new)]
    assert not (world.root / ".mainline/models" / name_of("iris", old)).exists()


def test_a_revert_brings_the_old_model_back(world: World) -> None:
    old, new = world.artifact("iris", "one"), world.artifact("iris", "two")
    world.sync(world.release("iris", old))
    world.sync(world.release("iris", new))
    world.sync(world.revert())
    assert world.served("iris") == old


def test_a_weight_changed_by_hand_moves_exactly_its_share(world: World) -> None:
    old, new = world.artifact("iris", "one"), world.artifact("iris", "two")
    servers = (service("iris", old), service("iris", new, 2))
    split = route("iris", rule("iris", backend("iris", old, 90), backend("iris", new, 10)))
    world.sync(world.write("Canary", world.application("iris", *servers, split)))
    assert Counter(world.served("iris") for _ in range(40)) == {old: 36, new: 4}
    by_hand = route("iris", rule("iris", backend("iris", old, 1), backend("iris", new, 3)))
    status = world.sync(world.write("By hand", {path_of(by_hand, "models/iris"): by_hand}))
    assert Counter(world.served("iris") for _ in range(40)) == {old: 10, new: 30}
    assert {entry["restarts"] for entry in status["applications"]["models/iris"]["services"].values()} == {0}


def test_a_header_sends_to_the_candidate_and_everybody_else_to_the_stable_model(world: World) -> None:
    old, new = world.artifact("iris", "one"), world.artifact("iris", "two")
    chosen = [{"type": "Exact", "name": "X-Group", "value": "beta"}]
    split = route(
        "iris", rule("iris", backend("iris", new), headers=chosen), rule("iris", backend("iris", old))
    )
    world.sync(
        world.write("A/B", world.application("iris", service("iris", old), service("iris", new, 2), split))
    )
    assert world.served("iris", x_group="beta") == new
    assert world.served("iris", x_group="Beta") == old
    assert world.served("iris") == old


def test_a_shadow_gets_each_request_and_its_failures_reach_nobody(world: World) -> None:
    old, new = world.artifact("iris", "one"), world.artifact("iris", "two")
    shadowed = route("iris", rule("iris", backend("iris", old), filters=[mirror("iris", new)]))
    world.sync(
        world.write(
            "Shadow", world.application("iris", service("iris", old), service("iris", new, 2), shadowed)
        )
    )
    assert {world.ask("iris", b'{"id": "%d"}' % n)[1]["x-model-digest"] for n in range(10)} == {old}
    world.until(lambda: len(seen_by(world, new)) == 10)
    assert {entry["body"] for entry in seen_by(world, new)} == {f'{{"id": "{n}"}}' for n in range(10)}
    shadow = world.status()["applications"]["models/iris"]["services"][name_of("iris", new)]
    world.kill(shadow["pid"])
    assert {world.served("iris") for _ in range(10)} == {old}


def seen_by(world: World, digest: str) -> list[dict[str, str]]:
    """What a server noted, asked past the gateway."""
    port = world.status()["applications"]["models/iris"]["services"][name_of("iris", digest)]["port"]
    seen: list[dict[str, str]] = world.direct(port, "/v2/models/iris/seen")["seen"]
    return seen


def test_a_removed_model_loses_its_route_first_and_its_server_last(world: World) -> None:
    digest = world.artifact("iris", "one")
    world.sync(world.release("iris", digest))
    world.sync(world.write("Remove", world.application("iris")))
    assert world.ask("iris")[0] == 404
    assert set(world.pids()) == {"agent", "gateway"}
    assert world.status()["applications"] == {}


def test_two_models_are_synced_independently_of_each_other(world: World) -> None:
    iris, other = world.artifact("iris", "one"), world.artifact("wine", "two")
    world.sync(world.release("iris", iris))
    commit = world.release("wine", other, FAKE_NOT_READY="1")
    world.until(lambda: world.status()["accepted"] == commit)
    newer = world.artifact("iris", "three")
    world.release("iris", newer)
    world.until(lambda: world.served("iris") == newer)
    assert world.status()["applications"]["models/wine"]["health"] == "Progressing"
    assert world.ask("wine")[0] == 404


def test_a_changed_environment_replaces_the_server_without_a_gap(world: World) -> None:
    digest = world.artifact("iris", "one")
    world.sync(world.release("iris", digest))
    before = world.status()["applications"]["models/iris"]["services"][name_of("iris", digest)]["pid"]
    status = world.sync(world.release("iris", digest, FAKE_SLOW="0.001"))
    after = status["applications"]["models/iris"]["services"][name_of("iris", digest)]["pid"]
    assert before != after
    assert world.served("iris") == digest
    assert len(world.pids()) == 3


def test_the_old_server_goes_only_after_the_gateway_has_the_new_route(world: World) -> None:
    old, new = world.artifact("iris", "one"), world.artifact("iris", "two")
    world.sync(world.release("iris", old, FAKE_SLOW="1.0"))
    gateway = world.pids()["gateway"]
    slow = world.background(lambda: world.ask("iris"))
    world.until(
        lambda: world.call("GET", "/-/gateway")[2]["inflight"] == {f"{name_of('iris', old)}-predictor": 1}
    )
    world.pause(gateway)
    world.release("iris", new)
    world.until(lambda: any(s["ready"] for n, s in services(world).items() if n == name_of("iris", new)))
    assert services(world)[name_of("iris", old)]["state"] == "ready"
    world.proceed(gateway)
    world.until(lambda: name_of("iris", old) not in services(world))
    assert slow.result()[:1] == (200,)
    assert slow.result()[1]["x-model-digest"] == old


def services(world: World) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = world.status()["applications"]["models/iris"]["services"]
    return found
