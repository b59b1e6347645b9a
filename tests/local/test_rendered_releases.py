"""The real chain: release files, rendered manifests, v2serve."""

import json
from collections import Counter

import pytest

from mainline.local.environment import LocalError
from tests.local.rendered import REQUEST, on_trial, promote, real_artifact, stable
from tests.local.world import World, name_of

pytestmark = pytest.mark.e2e
BODY = json.dumps(REQUEST).encode()


def served(world: World, **headers: str) -> str:
    status, answered, body = world.ask("iris", BODY, content_type="application/json", **headers)
    assert status == 200, body
    return answered["x-model-digest"]


def test_a_rendered_release_answers_and_is_what_its_declarations_mean(world: World) -> None:
    digest = real_artifact(world, "iris", 2.0)
    status = world.sync(promote(world, {"iris": stable(digest)}))
    assert status["warnings"] == []
    code, headers, body = world.ask("iris", BODY, content_type="application/json")
    assert (code, headers["x-model-digest"]) == (200, digest)
    assert body["outputs"][0]["data"] == pytest.approx([10.2, 7.0, 2.8, 0.4])


@pytest.mark.parametrize("mode", ["canary", "header", "shadow"])
def test_every_mode_of_a_rollout_is_honoured_as_it_is_rendered(world: World, mode: str) -> None:
    old, new = real_artifact(world, "iris", 2.0), real_artifact(world, "iris", 3.0)
    how = {
        "canary": {"traffic": 25},
        "header": {"header": {"name": "x-group", "value": "beta"}},
        "shadow": {},
    }
    world.sync(promote(world, {"iris": on_trial(old, new, mode=mode, **how[mode])}))
    expected = {"canary": {old: 15, new: 5}, "header": {old: 20}, "shadow": {old: 20}}
    assert Counter(served(world) for _ in range(20)) == expected[mode]
    assert served(world, x_group="beta") == (new if mode == "header" else old)
    if mode == "shadow":
        world.until(lambda: world.call("GET", "/-/gateway")[2]["totals"].get("mirror_sent") == 21)


def test_a_manifest_changed_by_hand_is_honoured_with_a_warning_that_names_it(world: World) -> None:
    old, new = real_artifact(world, "iris", 2.0), real_artifact(world, "iris", 3.0)
    world.sync(promote(world, {"iris": on_trial(old, new, mode="canary", traffic=10)}))
    path, text = next(iter(world.git.files(world.head, lambda p: "httproute-" in p).items()))
    status = world.sync(world.write("By hand", {path: text.replace("weight: 90", "weight: 10")}))
    assert status["warnings"] == [f"{path}: different, compared with what the declarations render to"]
    assert Counter(served(world) for _ in range(20)) == {old: 10, new: 10}


def test_a_flipped_bit_of_a_real_artifact_never_serves(world: World) -> None:
    old, new = real_artifact(world, "iris", 2.0), real_artifact(world, "iris", 3.0)
    world.sync(promote(world, {"iris": stable(old)}))
    model = world.root / ".mainline/store/iris" / new[7:] / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"\x00")
    commit = promote(world, {"iris": stable(new, 2)})
    with pytest.raises(LocalError, match=r"models/iris is Degraded: v2serve: .*model\.onnx"):
        world.sync(commit)
    assert served(world) == old
    world.sync(world.revert())
    assert list(world.status()["applications"]["models/iris"]["services"]) == [name_of("iris", old)]
