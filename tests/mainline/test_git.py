"""Commits are made without a working tree, one or none, and references move only from where they were."""

import os
import subprocess

import pytest

from mainline.errors import Refusal
from mainline.git import Git


@pytest.fixture
def git(tmp_path):
    git = Git(tmp_path / "it")
    git.folder.mkdir()
    git.run("init", "-q", "--initial-branch=main")
    (git.folder / "a.txt").write_text("one\n")
    (git.folder / "b").mkdir()
    (git.folder / "b" / "c.txt").write_text("grüße\n")
    git.run("add", "-A")
    git.run("commit", "-q", "-m", "first")
    return git


def _author(git, commit):
    return git.run("log", "-1", "--format=%an <%ae>", commit).strip()


def test_commits_carry_the_name_that_git_knows(git):
    assert (
        _author(git, git.commit((git.resolve("HEAD"),), {"a.txt": "x"}, "x\n")) == "Tester <tester@localhost>"
    )


def test_a_machine_without_a_git_identity_commits_as_the_tool(git, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    made = git.commit((git.resolve("HEAD"),), {"a.txt": "x"}, "x\n")
    assert _author(git, made) == "Mainline <mainline@localhost>"


def test_a_commit_changes_adds_and_removes_files_and_leaves_the_working_tree_alone(git):
    first = git.resolve("HEAD")
    made = git.commit((first,), {"a.txt": None, "b/c.txt": "changed\n", "d/e f.txt": "new ☃\n"}, "second\n")
    assert git.files(made, lambda path: True) == {"b/c.txt": "changed\n", "d/e f.txt": "new ☃\n"}
    assert git.resolve("HEAD") == first
    assert (git.folder / "a.txt").read_text() == "one\n"
    assert git.run("for-each-ref", "refs/mainline") == ""


def test_files_are_read_from_the_commit_and_not_from_the_working_tree(git):
    (git.folder / "a.txt").write_text("dirty\n")
    assert git.files("HEAD", lambda path: path.startswith("a")) == {"a.txt": "one\n"}
    assert git.text_at("HEAD", "b/c.txt") == "grüße\n"
    assert git.text_at("HEAD", "none") is None


def test_a_reference_moves_only_from_where_it_was(git):
    first = git.resolve("HEAD")
    ours, theirs = (git.commit((first,), {"a.txt": text}, text) for text in ("ours", "theirs"))
    assert git.move("refs/heads/main", ours, first)
    assert not git.move("refs/heads/main", theirs, first)
    assert git.resolve("refs/heads/main") == ours


def test_uncommitted_paths_are_named(git):
    (git.folder / "a.txt").write_text("dirty\n")
    (git.folder / "b" / "new.txt").write_text("x")
    assert git.changed_paths("a.txt", "b") == ["a.txt", "b/new.txt"]
    assert git.changed_paths("b/c.txt") == []


def test_what_git_refuses_is_one_line_without_its_path(git):
    with pytest.raises(Refusal, match=r"^git show in it: .*not-there"):
        git.run("show", "not-there")


def test_a_signed_commit_is_asked_of_git_when_the_user_signs(git, tmp_path):
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    for name, value in (("gpg.format", "ssh"), ("user.signingkey", str(key)), ("commit.gpgsign", "true")):
        git.run("config", name, value)
    made = git.commit((git.resolve("HEAD"),), {"a.txt": "signed"}, "signed\n")
    assert "gpgsig -----BEGIN SSH SIGNATURE" in git.run("cat-file", "commit", made)
