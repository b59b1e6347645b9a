"""Rendering is a function of the commit: the same bytes everywhere, and those that are committed."""

import hashlib
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.declarations.errors import DeclarationError
from infra.declarations.repository import load
from infra.declarations.tree import is_declaration, read_tree
from infra.manifests.normal import NormalFormError
from infra.render import applications, compare, foreign, read_rendered, render
from tests.infra.samples import RELEASES, candidate, repository, tree, version

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = sorted(load(read_tree(ROOT)).environments)
RENDER = """
import hashlib, pathlib, sys
from infra.declarations.repository import load
from infra.declarations.tree import read_tree
from infra.render import render
repository = load(read_tree(pathlib.Path(sys.argv[1])))
print(hashlib.sha256(repr([render(repository, env) for env in sorted(repository.environments)]).encode()).hexdigest())
"""


def _fingerprint(root: Path) -> str:
    own = load(read_tree(root))
    return hashlib.sha256(repr([render(own, env) for env in sorted(own.environments)]).encode()).hexdigest()


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_the_committed_tree_is_what_the_declarations_mean(env: str) -> None:
    wanted, committed = render(load(read_tree(ROOT)), env), read_rendered(ROOT, env)
    assert compare(wanted, committed) == []
    assert foreign(wanted, committed) == []


def test_another_folder_and_another_hash_seed_give_the_same_bytes(tmp_path: Path) -> None:
    for path in read_tree(ROOT):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    for seed in ("1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": "Asia/Tokyo", "LC_ALL": "C"}
        command = [sys.executable, "-c", RENDER, str(tmp_path)]
        answer = subprocess.run(
            command, capture_output=True, text=True, env=environment, check=True, cwd=ROOT
        )
        assert answer.stdout.strip() == _fingerprint(ROOT)


def test_rendering_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("rendering opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert len(render(repository("canary"), "dev")) > 20


def test_the_order_of_files_does_not_matter() -> None:
    files = tree(RELEASES["canary"])
    assert render(load(files), "dev") == render(load(dict(reversed(files.items()))), "dev")


def test_one_number_of_a_release_changes_one_line() -> None:
    before, after = (
        render(
            load(
                tree(RELEASES["direct"].model_copy(update={"candidate": candidate(mode="canary", traffic=t)}))
            ),
            "dev",
        )
        for t in (10, 50)
    )
    changed = [path for path in before if before[path] != after[path]]
    assert [path.rpartition("/")[2] for path in changed] == [
        "gateway.networking.k8s.io_v1-httproute-models-iris.yaml"
    ]


def test_only_yaml_files_below_the_environment_are_rendered() -> None:
    paths = render(repository(), "dev")
    assert all(path.startswith("clusters/dev/") and path.endswith(".yaml") for path in paths)
    assert list(paths) == sorted(paths)
    assert not any(is_declaration(path) for path in paths)


def test_an_unknown_environment_is_refused() -> None:
    with pytest.raises(DeclarationError, match="'prod' is not a known environment; known: dev"):
        render(repository(), "prod")


def test_two_objects_on_one_path_are_refused_by_name() -> None:
    twin = version(2, "a").model_copy(update={"digest": "sha256:" + "a" * 8 + "b" * 56})
    files = tree(RELEASES["direct"].model_copy(update={"standby": twin}))
    with pytest.raises(NormalFormError) as caught:
        applications(load(files), "dev")
    name = "serving.kserve.io/v1beta1/InferenceService/models/iris-aaaaaaaa"
    assert f"{name} and {name} render to this path; rename one of them" in str(caught.value)
