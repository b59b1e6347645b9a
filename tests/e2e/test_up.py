"""mainline up: the whole chain, closed on real data, and what users do with it afterwards."""

import json
import re
import shutil
import subprocess
import time
import urllib.request

import pytest

pytestmark = pytest.mark.e2e
MODELS = ["iris", "production-tabular"]


def test_two_models_are_trained_promoted_and_answer(running):
    clone, table = running
    assert [row["model"] for row in table] == MODELS
    for row in table:
        release = clone.git(
            "show", f"main:model-servers/{row['model']}/releases/local.yaml", folder=clone.remote
        )
        assert f"digest: {row['digest']}" in release
        assert row["p95_ms"] > 0
    assert "label setosa" in table[0]["answer"]


def test_the_answer_says_the_digest_that_git_names(running):
    _, table = running
    request = urllib.request.Request(table[0]["address"])
    with urllib.request.urlopen(request, timeout=10) as response:
        metadata = json.load(response)
        assert response.headers["x-model-digest"] == table[0]["digest"]
    assert metadata["name"] == "iris"


def test_the_release_can_be_checked_with_coreutils_alone(running):
    clone, table = running
    for row in table:
        folder = clone.root / ".mainline" / "store" / row["model"] / row["digest"][7:]
        sums = subprocess.run(
            ["sha256sum", "SHA256SUMS"], cwd=folder, capture_output=True, text=True, check=True
        )
        assert sums.stdout.split()[0] == row["digest"][7:]
        subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=folder, check=True)


def test_up_again_makes_no_commit_and_registers_nothing(running):
    clone, table = running
    head = clone.head()
    again = clone.json("up")
    assert clone.head() == head
    assert [(row["version"], row["digest"]) for row in again] == [
        (row["version"], row["digest"]) for row in table
    ]
    assert clone.git("status", "--porcelain") == ""


def test_status_verify_and_log_agree(running):
    clone, table = running
    status = clone.json("status")
    assert status["error"] is None
    assert status["synced"] == status["head"] == clone.head()
    assert [(row["model"], row["running"], row["health"]) for row in status["models"]] == [
        (model, True, "Healthy") for model in MODELS
    ]
    assert all(verdict["agrees"] for verdict in clone.json("verify"))
    logged = {entry["model"]: entry["commit"] for entry in clone.json("log")}
    assert logged == {row["model"]: row["commit"] for row in table}


def test_promoting_what_serves_is_a_no_op_with_exit_code_0(running):
    clone, _ = running
    head = clone.head()
    done = clone.mainline("promote", "iris", "--to", "local", "--version", "1")
    assert (done.returncode, clone.head()) == (0, head)
    assert "serves in local already; nothing to do" in done.stdout


def test_a_commit_in_a_params_file_goes_the_whole_way_as_a_canary_and_back(running):
    clone, table = running
    params = clone.root / "training-jobs/iris/params.yaml"
    text = params.read_text()
    assert "seed: " in text
    params.write_text(text.replace("seed: ", "seed: 1"))
    refused = clone.mainline("train", "iris")
    assert refused.returncode == 1
    assert "training-jobs/iris/params.yaml has uncommitted changes" in refused.stderr
    clone.git("commit", "-qam", "another seed")
    trained = clone.json("train", "iris")
    assert (trained["version"], trained["new"]) == (2, True)
    diverged = clone.mainline("promote", "iris", "--to", "local")
    assert diverged.returncode == 1
    assert "have diverged; `mainline publish` merges" in diverged.stderr
    # A new version waits for somebody's decision; up alone changes nothing that serves.
    assert clone.json("up")[0]["digest"] == table[0]["digest"]
    clone.json("promote", "iris", "--to", "local", "--canary", "10", "--wait", "20")
    rows = [(row["role"], row["version"], row["live_traffic"]) for row in clone.json("status")["models"]]
    assert rows[:2] == [("stable", 1, "90 %"), ("candidate", 2, "10 %")]
    clone.json("advance", "iris", "--to", "local", "--wait", "20")
    assert clone.json("status")["models"][0]["digest"] == trained["digest"]
    clone.json("rollback", "iris", "--to", "local", "--wait", "20")
    assert all(verdict["agrees"] for verdict in clone.json("verify"))
    assert clone.json("status")["models"][0]["digest"] == table[0]["digest"]
    # What was rolled back is not promoted again behind anybody's back.
    head = clone.head()
    assert clone.json("up")[0]["digest"] == table[0]["digest"]
    assert clone.head() == head


def test_the_curl_of_the_readme_answers_as_it_is_written(running):
    clone, table = running
    (command,) = re.findall(r"^curl .*$", (clone.root / "README.md").read_text(), re.M)
    port = table[0]["address"].split(":")[2].split("/")[0]
    done = subprocess.run(
        ["sh", "-c", command.replace("8080", port)], capture_output=True, text=True, check=True
    )
    outputs = {output["name"]: output["data"] for output in json.loads(done.stdout)["outputs"]}
    assert outputs["label"] == ["setosa"]


def test_a_route_that_was_taken_out_of_git_by_hand_shows_in_status_and_verify(running, tmp_path):
    clone, _ = running
    live = tmp_path / "live"
    clone.git("clone", "-q", str(clone.remote), str(live))
    clone.git("rm", "-q", "clusters/local/models/iris/1-manifest/*httproute*", folder=live)
    clone.git("commit", "-qm", "no route", folder=live)
    clone.git("push", "-q", "origin", "HEAD:main", folder=live)
    try:
        _until(lambda: json.loads(clone.mainline("status", "--json").stdout)["synced"] == clone.head())
        status = clone.mainline("status")
        assert status.returncode == 1
        assert "none, Git says 100 %" in status.stdout
        verdict = clone.mainline("verify", "--model", "iris", "--json")
        assert verdict.returncode == 1
        (found,) = json.loads(verdict.stdout)
        assert "httproute-models-iris.yaml is missing" in found["rendered"]
        assert "HTTP 404: no route for /v2/models/iris" in found["live"]
    finally:
        clone.git("revert", "--no-edit", "HEAD", folder=live)
        clone.git("push", "-q", "origin", "HEAD:main", folder=live)
        _until(lambda: clone.mainline("verify").returncode == 0)


def test_bytes_that_the_store_lost_are_put_back_by_up(running):
    clone, table = running
    shutil.rmtree(clone.root / ".mainline" / "store" / "iris" / table[0]["digest"][7:])
    found = clone.mainline("doctor", "--json")
    assert found.returncode == 1
    assert {check["name"]: check["fix"] for check in json.loads(found.stdout)}["store"] == "make up"
    again = clone.json("up")
    assert again[0]["digest"] == table[0]["digest"]
    assert all(verdict["agrees"] for verdict in clone.json("verify"))


def _until(true, seconds=20):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.2)


def test_one_flipped_bit_in_the_store_is_found_by_verify(running):
    clone, table = running
    victim = clone.root / ".mainline" / "store" / "iris" / table[0]["digest"][7:] / "model.onnx"
    good = victim.read_bytes()
    try:
        victim.chmod(0o644)
        victim.write_bytes(good[:100] + bytes([good[100] ^ 1]) + good[101:])
        done = clone.mainline("verify", "--model", "iris")
        assert done.returncode == 1
        assert "model.onnx of sha256:" in done.stdout.replace("\n", " ")
        assert "was changed in the store" in done.stdout.replace("\n", " ")
    finally:
        victim.write_bytes(good)


def test_down_leaves_nothing_running_and_up_comes_back_with_the_same(running):
    clone, table = running
    done = clone.mainline("down")
    assert done.returncode == 0
    assert clone.processes() == []
    assert clone.mainline("down").stdout == "nothing was running\n"
    status = clone.mainline("status")
    assert status.returncode == 1
    assert "the agent is off; make up starts it" in status.stdout
    assert clone.mainline("verify").returncode == 1
    head = clone.head()
    again = clone.json("up", "--port", table[0]["address"].split(":")[2].split("/")[0])
    assert clone.head() == head
    assert [row["digest"] for row in again] == [row["digest"] for row in table]


def test_a_missing_registry_is_one_clear_line(clone):
    clone.mainline("down")
    from mainline.places import Places
    from mainline.publish import publish

    publish(Places(clone.root))
    done = clone.mainline("promote", "iris", "--to", "local")
    assert done.returncode == 1
    assert done.stderr.startswith("mainline: the MLflow database")
    assert "does not exist; run `mainline train JOB` or `make up` first" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_unknown_job_and_a_broken_declaration_are_refused_before_anything_starts(clone):
    done = clone.mainline("up", "irsi")
    assert done.returncode == 1
    assert "unknown job 'irsi'" in done.stderr
    (clone.root / "model-servers/iris/model.yaml").write_text("nmae: iris\n")
    clone.git("commit", "-qam", "a typo")
    done = clone.mainline("up")
    assert done.returncode == 1
    assert "model-servers/iris/model.yaml:1: nmae" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (clone.root / ".mainline" / "run").exists()


def test_a_taken_port_is_named(clone):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = clone.mainline("up", "--port", str(port))
    assert done.returncode == 1
    assert str(port) in done.stderr
    assert "Traceback" not in done.stderr
    assert clone.processes() == []


def test_outside_of_a_repository_the_option_is_named(tmp_path, clone):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(clone.root / "README.md", elsewhere)
    done = clone.mainline("--repo", str(elsewhere), "status")
    assert done.returncode == 1
    assert "is not inside a Mainline repository" in done.stderr
    assert "use --repo DIR" in done.stderr
