"""The rooms import what docs/architecture.md allows them, and nothing else of ours."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("infra", "mainline", "monitoring", "policies", "trainkit", "v2serve")
DECLARATIONS = "infra.declarations"
# Room -> what it may import of ours; the longest room that fits a module is its room.
ALLOWED = {
    "infra/declarations": (DECLARATIONS,),
    "infra/manifests": (DECLARATIONS, "infra.manifests"),
    "infra/render.py": (DECLARATIONS, "infra.manifests"),
    "infra/cost": (DECLARATIONS, "infra.cost", "infra.manifests.serving"),
    "infra/iam": (DECLARATIONS, "infra.iam"),
    "infra/cloud": ("infra",),
    "infra/__main__.py": ("infra",),
    "infra": (),
    "policies": (DECLARATIONS, "policies"),
    "monitoring": (DECLARATIONS, "monitoring"),
    "mainline": ("infra", "mainline", "monitoring", "policies", "v2serve.artifact"),
    "model-servers/v2serve": ("v2serve",),
    "training-jobs/trainkit": ("trainkit",),
    "training-jobs/trainkit/release.py": ("trainkit", "v2serve"),
}
PURE = {
    "infra/declarations": {"pydantic", "pydantic_core", "yaml"},
    "infra/manifests": set(),
    "infra/cost": {"pydantic"},
    "infra/iam": set(),
    "infra/render.py": {"yaml"},
}
PULUMI_ROOMS = ("infra/__main__.py", "infra/cloud", "policies/__main__.py")
SOURCES = sorted(
    path.relative_to(ROOT).as_posix()
    for room in {
        room.split("/")[0] if "v2serve" not in room and "trainkit" not in room else room for room in ALLOWED
    }
    for path in (ROOT / room).rglob("*.py")
)


def _imports(path: str) -> Iterator[str]:
    """Absolute names of the modules that a file imports, at the top and inside functions."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; write the whole name"
            assert node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _room(path: str) -> str:
    return max((room for room in ALLOWED if path == room or path.startswith(f"{room}/")), key=len)


def _within(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


@pytest.mark.parametrize("path", SOURCES)
def test_a_room_imports_only_what_it_may(path: str) -> None:
    ours = [name for name in _imports(path) if name.split(".")[0] in OURS]
    assert [name for name in ours if not any(_within(name, module) for module in ALLOWED[_room(path)])] == []


@pytest.mark.parametrize("path", SOURCES)
def test_only_the_shell_knows_pulumi(path: str) -> None:
    uses = [name for name in _imports(path) if name.startswith("pulumi")]
    assert uses == [] or path.startswith(PULUMI_ROOMS)


@pytest.mark.parametrize("path", [path for path in SOURCES if _room(path) in PURE])
def test_the_core_needs_pydantic_and_yaml_only(path: str) -> None:
    others = {name.split(".")[0] for name in _imports(path)} - set(sys.stdlib_module_names) - set(OURS)
    assert others <= PURE[_room(path)]


@pytest.mark.parametrize(
    "path",
    [path for path in SOURCES if path.startswith(("infra/declarations", "infra/iam", "infra/manifests"))],
)
def test_the_core_touches_nothing(path: str) -> None:
    """The one exception is the function that reads a working tree."""
    reaching = {"os", "socket", "subprocess", "random", "time", "pathlib", "tempfile", "urllib.request"}
    used = {name for name in _imports(path) for module in reaching if _within(name, module)}
    assert used == ({"pathlib.Path"} if path == "infra/declarations/tree.py" else set())


def test_the_program_is_short() -> None:
    assert len((ROOT / "infra/__main__.py").read_text().splitlines()) < 30


@pytest.mark.parametrize("path", [path for path in SOURCES if path.startswith("infra/")])
def test_files_and_functions_stay_small(path: str) -> None:
    text = (ROOT / path).read_text()
    assert len(text.splitlines()) <= 400
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    assert [node.name for node in functions if (node.end_lineno or 0) - node.lineno >= 50] == []
