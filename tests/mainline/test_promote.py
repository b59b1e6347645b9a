"""mainline promote, on a real registry and real Git: one commit or none, and the reason for none."""

import shutil
import threading

import pytest

from infra.declarations.release import Header
from mainline.errors import Refusal
from mainline.git import Git
from mainline.history import entries
from mainline.promote import promote
from mainline.rollout import Mode
from mainline.store import Store
from mainline.truth import truth
from policies.gates import Finding
from tests.mainline.conftest import CODE


def _promote(world, number=None, mode=None, model="iris", env="local"):
    return promote(world.places, model, env, number, mode, lambda _: None)


def _release(world, env="local"):
    where = truth(world.places, env)
    return where.declared(where.head()).releases["iris", env]


def test_a_promotion_is_one_commit_with_the_release_the_rendered_tree_and_the_trailers(world):
    before = world.remote.resolve("main")
    made = _promote(world, 1)
    assert world.remote.run("rev-list", f"{before}..main").split() == [made.delivered.commit]
    changed = world.remote.run("diff", "--name-only", before, "main").split()
    assert "model-servers/iris/releases/local.yaml" in changed
    service = f"serving.kserve.io_v1beta1-inferenceservice-models-iris-{world.digests[1][7:15]}.yaml"
    assert f"clusters/local/models/iris/1-manifest/{service}" in changed
    assert all(path.startswith(("clusters/local/", "model-servers/iris/releases/")) for path in changed)
    trailers = world.remote.run("log", "-1", "--format=%(trailers:unfold)", "main").split("\n")
    assert trailers[:6] == [
        "Model: iris",
        "Version: 1",
        f"Digest: {world.digests[1]}",
        f"Run: {_release(world).stable.run}",
        "Environment: local",
        "Action: promote",
    ]


def test_the_release_names_the_code_the_data_and_what_was_measured(world):
    _promote(world, 1)
    stable = _release(world).stable
    assert (stable.version, stable.digest, stable.code) == (1, world.digests[1], CODE)
    assert stable.data == {"iris.csv": f"sha256:{'a' * 64}"}
    assert stable.evidence == {"accuracy": 0.96, "log_loss": 0.15}


def test_the_bytes_are_in_the_store_before_the_commit_names_them(world):
    made = _promote(world, 1)
    assert made.delivered is not None
    assert Store(f"file://{world.places.store}").problem("iris", world.digests[1]) is None


def test_the_newest_version_is_promoted_when_none_is_named(world):
    assert _promote(world).version.version == 6


def test_promoting_what_serves_already_makes_no_commit(world):
    _promote(world, 2)
    head = world.remote.resolve("main")
    assert _promote(world, 2).delivered is None
    assert world.remote.resolve("main") == head


def test_promoting_what_serves_puts_bytes_back_that_the_store_lost(world):
    _promote(world, 2)
    victim = world.places.store / "iris" / world.digests[2][7:] / "model.bin"
    victim.write_bytes(b"other")
    head = world.remote.resolve("main")
    made = _promote(world, 2)
    assert (made.delivered, made.restored) == (None, True)
    assert Store(f"file://{world.places.store}").problem("iris", world.digests[2]) is None
    assert world.remote.resolve("main") == head


def test_lost_bytes_that_no_registered_version_has_are_named(world):
    from mainline.restore import lost, restore

    _promote(world, 2)
    where = truth(world.places, "local")
    shutil.rmtree(world.places.store)
    missing = lost(world.places, where)
    assert [(model, shown.version) for model, shown in missing] == [("iris", 2)]
    strange = missing[0][1].model_copy(update={"digest": f"sha256:{'9' * 64}"})
    with pytest.raises(
        Refusal, match=r"the store lacks iris version 2 \(99999999\), and no registered version"
    ):
        restore(world.places, where, [("iris", strange)])
    restore(world.places, where, missing)
    assert lost(world.places, where) == []


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (3, r"iris version 3 is not promoted: accuracy is 0\.9, the bar is at least 0\.95"),
        (4, r"iris version 4 is not promoted: accuracy was not measured"),
        (5, r"iris version 5 was trained from uncommitted code; commit it and train again"),
        (99, r"iris has no version 99 in the registry; it has 1, 2, 3, 4, 5, 6"),
    ],
    ids=["below the bar", "not measured", "uncommitted code", "unknown version"],
)
def test_a_version_that_may_not_serve_is_refused_and_changes_nothing(world, number, reason):
    head = world.remote.resolve("main")
    with pytest.raises(Refusal, match=reason):
        _promote(world, number)
    assert world.remote.resolve("main") == head
    assert not world.places.store.exists()


def test_a_version_that_is_worse_than_what_serves_is_refused(world):
    _promote(world, 2)
    with pytest.raises(Refusal, match=r"iris version 1 is not promoted: 0\.96 against 0\.97"):
        _promote(world, 1)


def test_an_unknown_model_is_refused_with_the_known_ones(world):
    with pytest.raises(Refusal, match=r"unknown model 'irsi'.*there are iris, production-tabular"):
        _promote(world, model="irsi")


def test_an_unknown_environment_is_refused_with_the_known_ones(world):
    with pytest.raises(Refusal, match=r"unknown environment 'prodd'.*there are dev, local, prod, staging"):
        _promote(world, env="prodd")


def test_a_model_without_a_version_says_how_to_get_one(world):
    with pytest.raises(
        Refusal, match=r"'production-tabular' has no version in the registry; run `mainline train`"
    ):
        _promote(world, model="production-tabular")


def test_a_clone_that_is_dirty_where_a_promotion_reads_is_refused(world):
    (world.places.root / "model-servers/iris/model.yaml").write_text("owner: nobody\n")
    with pytest.raises(
        Refusal, match=r"model-servers/iris/model\.yaml has uncommitted changes.*commit or stash"
    ):
        _promote(world, 1)


def test_a_clone_with_commits_that_the_embedded_host_has_not_is_refused(world):
    world.commit("README.md", "new")
    with pytest.raises(
        Refusal, match=r"HEAD \(.*\) and main of gitops\.git \(.*\) have diverged; `mainline publish` merges"
    ):
        _promote(world, 1)


def test_without_an_embedded_host_the_fix_is_named(world):
    world.places.remote.rename(world.places.state / "gone")
    with pytest.raises(Refusal, match=r"make up"):
        _promote(world, 1)


def test_bytes_that_changed_after_they_were_registered_stop_the_promotion(world, registered, monkeypatch):
    model = registered[0] / "1" / "model.bin"
    good = model.read_bytes()
    try:
        model.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        with pytest.raises(Refusal, match=r"model\.bin is not what SHA256SUMS says.*train again"):
            _promote(world, 1)
    finally:
        model.write_bytes(good)
    assert entries(world.remote, "main") == []


@pytest.mark.parametrize(
    ("mode", "shown"),
    [
        (Mode("canary", traffic=10), "canary 10 %"),
        (Mode("shadow"), "shadow"),
        (Mode("header", header=Header(name="x-group", value="b")), "header x-group=b"),
    ],
    ids=["canary", "shadow", "header"],
)
def test_a_rollout_keeps_the_stable_version_beside_the_candidate(world, mode, shown):
    _promote(world, 1)
    made = _promote(world, 2, mode)
    release = _release(world)
    assert (release.stable.version, release.candidate.version, release.candidate.mode) == (1, 2, mode.kind)
    assert made.delivered.subject == f"Promote iris version 2 to local as {shown}"


def test_two_promotions_at_once_both_land_or_one_says_why_on_a_straight_line(world):
    _promote(world, 1)
    before = world.remote.resolve("main")
    made, refused, barrier = [], [], threading.Barrier(2)

    def run(number):
        barrier.wait()
        try:
            made.append(_promote(world, number).delivered.commit)
        except Refusal as refusal:
            refused.append(str(refusal))

    threads = [threading.Thread(target=run, args=(number,)) for number in (2, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    landed = world.remote.run("rev-list", f"{before}..main").split()
    assert set(landed) == set(made)
    # Where 6 lands first, 2 is worse than what then serves.
    assert refused in ([], ["iris version 2 is not promoted: 0.97 against 0.98"]) or len(landed) == 1
    assert len(made) + len(refused) == 2
    assert world.remote.run("rev-list", "--merges", f"{before}..main") == ""


def test_a_lost_race_is_decided_again_on_the_commit_that_won(world, monkeypatch):
    from mainline.git import Git

    real, moved = Git.move, []

    def move(git, reference, new, old):
        if not moved:
            moved.append(
                real(git, reference, git.commit((old,), {"docs/other.md": "first"}, "somebody else\n"), old)
            )
        return real(git, reference, new, old)

    monkeypatch.setattr(Git, "move", move)
    made = _promote(world, 1)
    subjects = world.remote.run("log", "-2", "--format=%s", "main").splitlines()
    assert subjects == ["Promote iris version 1 to local", "somebody else"]
    assert world.remote.resolve("main") == made.delivered.commit
    assert world.remote.text_at("main", "docs/other.md") == "first"


def test_a_promotion_beyond_local_needs_an_origin(world):
    with pytest.raises(Refusal, match=r"'origin', and there is none; git remote add origin URL"):
        _promote(world, 1, env="staging")


@pytest.fixture
def origin(world, tmp_path):
    """A Git host for staging, whose registry and store are this machine's."""
    path = world.places.root / "Pulumi.staging.yaml"
    kept = [line for line in path.read_text().splitlines() if "registry" not in line and "store" not in line]
    text = "\n".join(
        [*kept, "  mainline:registry: mainline://registry", "  mainline:store: mainline://store", ""]
    )
    world.commit("Pulumi.staging.yaml", text)
    host = Git(tmp_path / "origin.git")
    world.clone.run("clone", "-q", "--bare", str(world.places.root), str(host.folder))
    world.clone.run("remote", "add", "origin", str(host.folder))
    return host


def test_beyond_local_a_promotion_is_a_branch_of_origin_on_its_newest_main(world, origin):
    newer = origin.commit((origin.resolve("main"),), {"docs/x.md": "merged meanwhile"}, "merged meanwhile\n")
    origin.move("refs/heads/main", newer, origin.resolve("main"))
    made = _promote(world, 1, env="staging")
    assert made.delivered.branch == "promote/iris-v1-staging"
    assert origin.run("rev-list", "main..promote/iris-v1-staging").split() == [made.delivered.commit]
    assert origin.resolve("main") == newer
    changed = origin.run("diff", "--name-only", "main", "promote/iris-v1-staging").split()
    assert "model-servers/iris/releases/staging.yaml" in changed
    assert all(path.startswith(("clusters/staging/", "model-servers/iris/releases/")) for path in changed)
    assert world.clone.changed_paths() == []


def test_the_same_proposal_again_is_the_same_branch_and_commit(world, origin):
    first = _promote(world, 1, env="staging")
    again = _promote(world, 1, env="staging")
    assert again.delivered == first.delivered


def test_a_proposal_is_renewed_when_main_moved_on(world, origin):
    first = _promote(world, 1, env="staging").delivered
    newer = origin.commit((origin.resolve("main"),), {"docs/x.md": "merged meanwhile"}, "merged meanwhile\n")
    origin.move("refs/heads/main", newer, origin.resolve("main"))
    second = _promote(world, 1, env="staging").delivered
    assert second.branch == first.branch
    assert origin.run("rev-parse", f"{second.branch}^").strip() == newer


def test_an_environment_with_steps_starts_a_later_promotion_as_a_canary(world, origin):
    first = _promote(world, 1, env="staging").delivered
    origin.move("refs/heads/main", first.commit, origin.resolve("main"))
    made = _promote(world, 2, env="staging")
    assert str(made.mode) == "canary 50 %"
    assert made.delivered.branch == "canary/iris-v2-staging"


def test_offline_status_of_a_cluster_shows_what_git_names_and_says_that_it_was_not_asked(world, origin):
    from mainline.status import status

    first = _promote(world, 1, env="staging").delivered
    origin.move("refs/heads/main", first.commit, origin.resolve("main"))
    world.clone.run("fetch", "-q", "origin", "main:refs/remotes/origin/main")
    (row,) = status(world.places, "staging", offline=True)["models"]
    assert (row["version"], row["digest"], row["running"]) == (1, world.digests[1], None)
    assert row["commit"] == first.commit


def test_a_model_too_large_for_lambda_is_not_promoted_and_nothing_is_stored(world, monkeypatch):
    monkeypatch.setattr("mainline.promote.fits", lambda model, sizes: [Finding("size", False, "too large")])
    before = world.remote.resolve("main")
    with pytest.raises(Refusal, match="iris version 1 is not promoted: too large"):
        _promote(world, 1)
    assert world.remote.resolve("main") == before
    assert Store(f"file://{world.places.store}").problem("iris", world.digests[1]) is not None
