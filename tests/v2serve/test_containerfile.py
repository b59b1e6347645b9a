"""The images: pinned bases, hashed packages, an ordinary user, and nothing that a process does not run on."""

import json
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from infra.declarations.environment import Images
from infra.manifests.names import USER
from tests.repository.tracked import ROOT, tracked

FILES = ["model-servers/Containerfile", "training-jobs/Containerfile"]
GROUPS = dict(zip(FILES, ("serve", "train"), strict=True))


def _instructions(path: str) -> list[tuple[str, str]]:
    """(instruction, its arguments); comments left out, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / path).read_text("utf-8"), flags=re.M)
    lines = text.replace("\\\n", " ").splitlines()
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines if line.strip())]


def _all(path: str, name: str) -> list[str]:
    return [rest for instruction, rest in _instructions(path) if instruction == name]


def _final(path: str) -> list[tuple[str, str]]:
    found = _instructions(path)
    last = max(number for number, (name, _) in enumerate(found) if name == "FROM")
    return found[last:]


def test_every_containerfile_is_tested_here() -> None:
    assert [path for path in tracked() if path.endswith("Containerfile")] == FILES


@pytest.mark.parametrize("path", FILES)
def test_the_base_is_one_tag_of_python_that_a_build_can_pin_by_digest(path: str) -> None:
    assert "BASE=python:3.11-slim" in _all(path, "ARG")
    assert {base.split(" ")[0] for base in _all(path, "FROM")} <= {"${BASE}", "scratch"}
    assert "latest" not in (ROOT / path).read_text("utf-8")


@pytest.mark.parametrize("path", FILES)
def test_packages_are_one_group_of_the_project_with_the_hashes_of_the_lock(path: str) -> None:
    installs = re.findall(r"pip install .*?(?=&&|$)", " ".join(_all(path, "RUN")))
    assert len(installs) == 2
    assert all("--require-hashes" in install for install in installs)
    assert f"-c requirements.lock --group pyproject.toml:{GROUPS[path]}" in re.sub(r"\s+", " ", installs[1])


@pytest.mark.parametrize("path", FILES)
def test_the_process_is_an_ordinary_user_and_is_stopped_by_sigterm(path: str) -> None:
    final = _final(path)
    assert ("USER", f"{USER}:{USER}") in final
    assert ("STOPSIGNAL", "SIGTERM") in final
    assert ("USER", "root") not in final
    entry = json.loads(dict(final)["ENTRYPOINT"])
    assert entry[:2] == ["python", "-m"]
    assert "PYTHONDONTWRITEBYTECODE=1" in dict(final)["ENV"]


@pytest.mark.parametrize("path", FILES)
def test_the_labels_say_what_it_is_and_which_commit_made_it(path: str) -> None:
    (labels,) = _all(path, "LABEL")
    for name in ("title", "description", "source", "revision", "version"):
        assert f"org.opencontainers.image.{name}=" in labels
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert f"VERSION={version}" in _all(path, "ARG")


def test_the_tags_that_manifests_ask_for_are_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert Images() == Images(v2serve=f"mainline/v2serve:{version}", training=f"mainline/training:{version}")


def test_nothing_runs_in_the_final_stage_of_the_server_for_it_has_no_shell() -> None:
    names = {name for name, _ in _final(FILES[0])}
    assert _final(FILES[0])[0] == ("FROM", "scratch")
    assert names <= {
        "FROM",
        "ARG",
        "LABEL",
        "COPY",
        "ENV",
        "WORKDIR",
        "USER",
        "STOPSIGNAL",
        "EXPOSE",
        "ENTRYPOINT",
        "CMD",
    }


def _let_in(path: str, rules: list[str]) -> bool:
    """The last rule that speaks of a path, or of a folder above it, decides."""
    above = [path, *map(str, Path(path).parents)]
    speaking = [rule for rule in rules if any(fnmatch(one, rule.removeprefix("!")) for one in above)]
    return not speaking or speaking[-1].startswith("!")


def test_no_rule_takes_back_files_of_an_ignored_folder_by_a_wildcard() -> None:
    """buildah 1.28 would leave them out, and say nothing."""
    rules = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert [rule for rule in rules if rule.startswith("!") and "*" in rule] == []


def test_a_build_sees_only_what_the_images_are_made_of() -> None:
    rules = [
        line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[:1] not in ("", "#")
    ]
    assert rules[0] == "*"
    taken = {rule[1:] for rule in rules if rule.startswith("!")}
    assert taken == {
        "pyproject.toml", "requirements.lock", ".dvc/config", "model-servers", "training-jobs",
    }  # fmt: skip
    left = [path for path in tracked() if path.startswith("model-servers/") and _let_in(path, rules)]
    for path in left:
        assert re.fullmatch(r"model-servers/(rootfs\.py|v2serve/.*|[^/]+/model\.py)", path), path
    made = [line.removeprefix("/") for line in (ROOT / "training-jobs/.gitignore").read_text().splitlines()]
    for name in made:
        if not name.startswith("#"):
            assert f"training-jobs/{name.rstrip('/')}" in rules


def test_a_job_finds_v2serve_and_the_model_py_that_its_artifact_holds() -> None:
    """Golden answers are given by the code that serves them (ADR 7)."""
    text = (ROOT / "training-jobs/Containerfile").read_text("utf-8")
    assert "--group pyproject.toml:train --group pyproject.toml:serve" in text
    assert "${FLEET:+--group pyproject.toml:fleet}" in text  # the second image of training
    assert "mv /build/model-servers/v2serve /opt/venv/lib/python3.11/site-packages/v2serve" in text
    assert ("COPY", "--from=packages /build/model-servers model-servers") in _final(
        "training-jobs/Containerfile"
    )


def test_the_root_holds_what_python_loads_and_no_more(tmp_path: Path) -> None:
    """A small stand-in for the packages: the collector itself is run, with this interpreter."""
    environment, root = tmp_path / "venv", tmp_path / "root"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    packages = environment / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    (packages / "onnxruntime/tools").mkdir(parents=True)
    (packages / "onnxruntime/tools/convert.py").write_text("")
    (packages / "onnxruntime/__init__.py").write_text("word = 'loaded'\n")
    (packages / "onnxruntime/tests").mkdir()
    subprocess.run([environment / "bin/python", str(ROOT / "model-servers/rootfs.py"), str(root)], check=True)
    inside = {path.relative_to(root).as_posix() for path in root.rglob("*")}
    assert not [path for path in inside if fnmatch(path, "*/onnxruntime/t*") or "/bin/activate" in path]
    assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777
    assert "65532:65532" in (root / "etc/passwd").read_text()
    assert [path for path in inside if fnmatch(path, "*libc.so.6")]
    assert [path for path in inside if fnmatch(path, "*/onnxruntime/__pycache__/__init__.*.pyc")]
    assert not [path for path in inside if re.search(r"/(idlelib|ensurepip|tkinter|test)/", path)]
