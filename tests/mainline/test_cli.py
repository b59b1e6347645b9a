"""The command line: refusals are one line and exit code 1, help is light, JSON is for machines."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys

import pytest


def _mainline(world, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "mainline", *arguments],
        cwd=world.places.root, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def _refusal(done):
    """The one line of a refusal, without the progress lines before it."""
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("mainline: ")]
    assert len(lines) == 1, done.stderr
    return lines[0].removeprefix("mainline: ")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--canary", "0"], "--canary 0: a canary takes 1 to 99 per cent; leave it out to give all traffic"),
        (
            ["--canary", "101"],
            "--canary 101: a canary takes 1 to 99 per cent; leave it out to give all traffic",
        ),
        (["--header", "x-group"], "--header 'x-group': give NAME=VALUE, such as x-group=b"),
        (["--header", "x group=b"], "--header x group=b: name "),
        (["--canary", "5", "--shadow"], "--canary, --shadow and --header are three ways to start; give one"),
    ],
    ids=["canary of 0", "canary of 101", "header without value", "header with a space", "two modes"],
)
def test_a_mode_that_cannot_be_is_refused(world, options, reason):
    head = world.remote.resolve("main")
    assert _refusal(_mainline(world, "promote", "iris", "--to", "local", *options)).startswith(reason)
    assert world.remote.resolve("main") == head


def test_a_promotion_prints_its_findings_and_its_commit(world):
    done = _mainline(world, "promote", "iris", "--to", "local", "--version", "1")
    assert done.returncode == 0, done.stderr
    assert "accuracy is 0.96, the bar is at least 0.95" in done.stdout
    assert f"{world.remote.resolve('main')[:8]} on main: Promote iris version 1 to local" in done.stdout


def test_a_refused_promotion_prints_every_finding(world):
    done = _mainline(world, "promote", "iris", "--to", "local", "--version", "3")
    assert "FAIL" in done.stdout
    assert "log_loss is 0.13, the bar is at most 0.5" in done.stdout
    assert _refusal(done) == "iris version 3 is not promoted: accuracy is 0.9, the bar is at least 0.95"


def test_json_of_a_promotion_names_commit_version_and_findings(world):
    made = json.loads(_mainline(world, "promote", "iris", "--to", "local", "--version", "2", "--json").stdout)
    assert (made["version"], made["digest"]) == (2, world.digests[2])
    assert made["commit"] == world.remote.resolve("main")
    assert all(finding["passed"] for finding in made["findings"])


def test_a_locked_registry_is_one_line(world):
    database = world.places.registry
    with sqlite3.connect(database) as connection:
        connection.execute("begin exclusive")
        try:
            done = _mainline(world, "promote", "iris", "--to", "local")
        finally:
            connection.rollback()
    assert "database is locked" in _refusal(done)
    assert "end the process that holds it" in _refusal(done)


def test_a_registry_that_is_not_a_database_is_one_line(world):
    link = world.places.state / "mlflow"
    link.unlink()
    link.mkdir()
    world.places.registry.write_text("no database")
    assert "cannot be read (file is not a database)" in _refusal(
        _mainline(world, "promote", "iris", "--to", "local")
    )


def test_a_disk_that_refuses_to_be_written_is_one_line(world):
    # A file where the store's folder has to be: what a full or read-only disk does to a writer, as any user.
    world.places.store.write_text("not a folder")
    head = world.remote.resolve("main")
    assert "the store file://" in _refusal(_mainline(world, "promote", "iris", "--to", "local"))
    assert world.remote.resolve("main") == head


def test_render_check_names_the_files_that_differ_and_exits_with_1(world):
    manifest = world.places.root / "clusters/local/platform/1-manifest/v1-namespace-default-models.yaml"
    assert _mainline(world, "render", "--check").returncode == 0
    manifest.write_text(manifest.read_text().replace("name: models", "name: modells"))
    done = _mainline(world, "render", "--check", "local")
    assert done.returncode == 1
    assert "clusters/local/platform/1-manifest/v1-namespace-default-models.yaml" in done.stdout
    assert _mainline(world, "render", "local").returncode == 0
    assert _mainline(world, "render", "--check").returncode == 0


def test_render_removes_what_is_stale_and_never_what_it_does_not_own(world):
    folder = world.places.root / "clusters/local/platform/1-manifest"
    stale = folder / "v1-namespace-default-gone.yaml"
    stale.write_text(
        (folder / "v1-namespace-default-models.yaml").read_text().replace("name: models", "name: gone")
    )
    foreign = folder / "notes.yaml"
    foreign.write_text("kind: Note\n")
    assert _mainline(world, "render", "local").returncode == 0
    assert (stale.exists(), foreign.exists()) == (False, True)


def test_render_check_names_what_argo_cd_would_apply_although_nobody_rendered_it(world):
    foreign = world.places.root / "clusters/local/platform/pod.yml"
    foreign.write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: mine}\n")
    done = _mainline(world, "render", "--check", "local")
    assert done.returncode == 1
    assert "foreign   clusters/local/platform/pod.yml" in done.stdout
    assert "1 differ" in done.stdout
    assert "local: " in _mainline(world, "render", "local").stdout
    assert foreign.exists()
    assert _mainline(world, "render", "--check", "dev").returncode == 0


@pytest.mark.parametrize("options", [("--check",), ()])
def test_a_link_out_of_the_repository_is_refused_before_any_environment_is_rendered(world, tmp_path, options):
    clusters = world.places.root / "clusters"
    changed = clusters / "dev/platform/1-manifest/v1-namespace-default-models.yaml"
    changed.write_text("not rendered yet")
    shutil.move(clusters / "prod", tmp_path / "prod")
    (clusters / "prod").symlink_to(tmp_path / "prod")
    reason = _refusal(_mainline(world, "render", *options))
    assert "clusters/prod: is a symbolic link to" in reason
    assert changed.read_text() == "not rendered yet"


def test_a_typo_in_a_stack_file_names_file_line_and_field(world):
    stack = world.places.root / "Pulumi.dev.yaml"
    stack.write_text(stack.read_text().replace("mainline:trains", "mainline:trians"))
    reason = _refusal(_mainline(world, "render", "--check"))
    assert reason.startswith("Pulumi.dev.yaml:")
    assert "trians" in reason
    assert "trains" in reason


def test_an_unknown_environment_is_refused_by_render(world):
    assert "unknown environment 'prodd'; there are dev, local, prod, staging" in _refusal(
        _mainline(world, "render", "prodd")
    )


def test_help_imports_nothing_heavy():
    code = "import sys; sys.argv = ['mainline', '--help']\ntry:\n    from mainline.__main__ import main; main()\n" \
        "except SystemExit: pass\nprint(','.join(sys.modules), file=sys.stderr)"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.strip().splitlines()[-1].split(","))
    heavy = {"mlflow", "pydantic", "rich", "numpy", "yaml", "aiohttp", "obstore", "infra", "policies"}
    assert loaded & heavy == set()


def test_a_reader_that_goes_away_is_no_error(world):
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = ["sh", "-c", f"'{sys.executable}' -m mainline doctor --json | head -n 1"]
    done = subprocess.run(
        command, cwd=world.places.root, env=env, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_status_before_anything_runs_names_what_is_off(world):
    done = _mainline(world, "status")
    assert done.returncode == 1
    assert "! the agent is off; make up starts it" in done.stdout
    assert "! the gateway is off; make up starts it" in done.stdout


def test_verify_of_a_model_without_release_is_refused(world):
    assert (
        _refusal(_mainline(world, "verify", "--model", "iris"))
        == "iris has no release in local; promote it first"
    )


def test_verify_says_for_each_place_what_differs(world):
    _mainline(world, "promote", "iris", "--to", "local", "--version", "1")
    done = _mainline(world, "verify", "--json")
    assert done.returncode == 1
    (verdict,) = json.loads(done.stdout)
    assert (verdict["rendered"], verdict["store"], verdict["live"]) == ("ok", "ok", "nothing runs")
