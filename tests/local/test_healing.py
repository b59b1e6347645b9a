"""Each kind of process can die alone, and the state left behind is one to go on from."""

import signal
import time
from pathlib import Path

import pytest

from mainline.local.environment import LocalError
from tests.local.world import World, name_of

LONGER_THAN_A_HUNG_ONE_LIVES = 14.0

pytestmark = pytest.mark.e2e


def live(world: World, digest: str) -> dict[str, object]:
    found: dict[str, object] = world.status()["applications"]["models/iris"]["services"][
        name_of("iris", digest)
    ]
    return found


def test_a_killed_server_is_started_again_and_no_request_is_lost(world: World) -> None:
    digest = world.artifact("iris", "one")
    world.sync(world.release("iris", digest))
    world.kill(live(world, digest)["pid"])
    assert [world.served("iris") for _ in range(20)] == [digest] * 20
    world.until(lambda: live(world, digest)["restarts"] == 1 and live(world, digest)["ready"])


def test_a_hung_server_is_replaced_and_its_requests_are_answered(world: World) -> None:
    digest = world.artifact("iris", "one")
    world.sync(world.release("iris", digest))
    world.pause(live(world, digest)["pid"])
    assert world.served("iris") == digest
    assert live(world, digest)["restarts"] == 1


def test_a_server_that_answers_requests_but_no_probe_is_not_ended(
    idle: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_DEAF", str(idle.root / "deaf"))
    idle.start()
    digest = idle.artifact("iris", "one")
    idle.sync(idle.release("iris", digest))
    before = live(idle, digest)["pid"]
    (idle.root / "deaf").touch()
    end = time.monotonic() + LONGER_THAN_A_HUNG_ONE_LIVES
    while time.monotonic() < end:
        assert idle.served("iris") == digest
        time.sleep(0.25)
    assert (live(idle, digest)["pid"], live(idle, digest)["restarts"]) == (before, 0)


def test_a_killed_gateway_is_started_again_on_its_port(world: World) -> None:
    digest = world.artifact("iris", "one")
    world.sync(world.release("iris", digest))
    before = world.environment.address
    world.kill(world.pids()["gateway"])
    world.until(lambda: world.environment.address == before)
    assert world.served("iris") == digest


def test_a_killed_agent_leaves_traffic_alone_and_the_next_adopts_the_servers(world: World) -> None:
    old, new = world.artifact("iris", "one"), world.artifact("iris", "two")
    world.sync(world.release("iris", old))
    server = live(world, old)["pid"]
    world.kill(world.pids()["agent"])
    world.release("iris", new)
    newest = world.revert()
    assert world.served("iris") == old
    assert world.environment.running()["agent"] is False
    world.environment.start(0)
    world.sync(newest)
    assert live(world, old)["pid"] == server
    assert world.served("iris") == old


def test_an_agent_that_was_off_catches_up_with_the_newest_commit(world: World) -> None:
    digests = [world.artifact("iris", text) for text in ("one", "two", "three")]
    world.sync(world.release("iris", digests[0]))
    world.end(world.pids()["agent"])
    for digest in digests[1:]:
        newest = world.release("iris", digest)
    world.environment.start(0)
    world.sync(newest)
    assert world.served("iris") == digests[2]
    log = world.root / ".mainline/logs" / f"{name_of('iris', digests[1])}.log"
    assert not log.exists()


def test_everything_killed_at_once_comes_back_with_start(world: World) -> None:
    digest = world.artifact("iris", "one")
    commit = world.release("iris", digest)
    world.sync(commit)
    for pid in world.pids().values():
        world.kill(pid)
    with pytest.raises(LocalError, match="the agent does not run"):
        world.sync(commit)
    world.environment.start(0)
    world.sync(commit)
    assert world.served("iris") == digest


def test_each_of_several_replicas_is_healed_while_the_others_answer(
    idle: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAINLINE_REPLICAS", "2")
    idle.start()
    digest = idle.artifact("iris", "one")
    idle.sync(idle.release("iris", digest, replicas=3))
    name = name_of("iris", digest)
    assert set(idle.pids()) == {"agent", "gateway", name, f"{name}.1"}
    assert live(idle, digest)["replicas"] == 2
    idle.kill(idle.pids()[f"{name}.1"])
    assert [idle.served("iris") for _ in range(10)] == [digest] * 10
    idle.until(lambda: live(idle, digest)["replicas"] == 2)
    idle.sync(idle.release("iris", digest, replicas=1))
    assert set(idle.pids()) == {"agent", "gateway", name}


def test_objects_and_status_that_somebody_removed_are_written_again(world: World) -> None:
    digest = world.artifact("iris", "one")
    world.sync(world.release("iris", digest))
    state = world.root / ".mainline"
    (state / "objects.json").write_text("{}")
    (state / "status.json").unlink()
    world.until(lambda: world.ask("iris")[0] == 200)
    world.until(lambda: (world.environment.status() or {}).get("commit") == world.head)


def test_an_environment_without_a_repository_says_what_it_waits_for(tmp_path: Path, world: World) -> None:
    world.git.folder.rename(tmp_path / "away")
    world.end(world.pids()["agent"])
    world.environment.start(0)
    world.until(lambda: world.status()["error"] == "gitops.git has no branch main yet; push one")
    (tmp_path / "away").rename(world.git.folder)
    assert world.sync(world.head)["applications"] == {}


def test_a_second_agent_on_one_root_ends_with_one_line(world: World) -> None:
    code, said = world.program("mainline.local.agent")
    assert code == 1
    assert (
        said == f"agent: another agent (pid {world.pids()['agent']}) runs for {world.root}; stop it first\n"
    )


def test_stop_leaves_no_process_and_can_be_said_twice(world: World) -> None:
    digest = world.artifact("iris", "one")
    world.sync(world.release("iris", digest))
    assert sorted(world.environment.stop()) == ["agent", "gateway", name_of("iris", digest)]
    assert world.environment.stop() == []
    assert world.environment.running() == {"agent": False, "gateway": False}
    assert world.environment.address is None


def test_start_is_idempotent_and_says_when_another_port_is_asked_for(world: World) -> None:
    before = world.pids()
    world.environment.start(0)
    assert world.pids() == before
    port = int((world.environment.address or "").rpartition(":")[2])
    with pytest.raises(LocalError, match=f"listens on port {port} already, not 1; stop it first"):
        world.environment.start(1)


def test_a_port_of_somebody_else_is_refused_in_one_line(
    world: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    port = int((world.environment.address or "").rpartition(":")[2])
    other = World(tmp_path_factory.mktemp("other"))
    with pytest.raises(LocalError, match=f"port {port} of 127.0.0.1 cannot be used"):
        other.environment.start(port)
    other.environment.stop()


def test_a_pid_that_went_to_another_program_is_never_ended(world: World) -> None:
    digest = world.artifact("iris", "one")
    world.sync(world.release("iris", digest))
    stranger = live(world, digest)["pid"]
    record = world.root / ".mainline/run" / f"{name_of('iris', digest)}.json"
    told = record.read_text()
    world.end(world.pids()["agent"])
    record.write_text(told.replace('"started":"', '"started":"9'))
    assert name_of("iris", digest) not in world.environment.stop()
    world.signal(stranger, signal.SIGKILL)
