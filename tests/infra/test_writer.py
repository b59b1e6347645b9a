"""The writer touches what it owns and what differs, and nothing else."""

from pathlib import Path

import pytest

from infra.declarations.errors import DeclarationError
from infra.render import Difference, compare, foreign, owned, read_rendered, refuse_links, render, write
from tests.infra.samples import repository

RENDERED = render(repository("canary"), "dev")
SMALLER = render(repository("direct"), "dev")
FOREIGN = "clusters/dev/platform/1-manifest/v1-configmap-default-mine.yaml"
SOMEBODYS = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: mine\n"


def _on_disk(root: Path) -> dict[str, str]:
    return {file.relative_to(root).as_posix(): file.read_text() for file in root.rglob("*") if file.is_file()}


def test_an_empty_folder_becomes_what_was_rendered(tmp_path: Path) -> None:
    differences = write(tmp_path, "dev", RENDERED)
    assert {difference.kind for difference in differences} == {"missing"}
    assert _on_disk(tmp_path) == RENDERED


def test_a_second_write_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, "dev", RENDERED)
    before = {path: (tmp_path / path).stat().st_mtime_ns for path in RENDERED}
    assert write(tmp_path, "dev", RENDERED) == []
    assert {path: (tmp_path / path).stat().st_mtime_ns for path in RENDERED} == before


def test_a_hand_edit_is_put_right_and_reported(tmp_path: Path) -> None:
    write(tmp_path, "dev", RENDERED)
    path = sorted(RENDERED)[0]
    (tmp_path / path).write_text("broken: [\n")
    assert write(tmp_path, "dev", RENDERED) == [Difference(path, "different")]
    assert _on_disk(tmp_path) == RENDERED


def test_what_is_no_longer_rendered_goes_with_its_empty_folders(tmp_path: Path) -> None:
    write(tmp_path, "dev", RENDERED)
    without = {path: text for path, text in SMALLER.items() if "/models/iris/" not in path}
    kinds = {difference.kind for difference in write(tmp_path, "dev", without)}
    assert kinds == {"stale"}
    assert _on_disk(tmp_path) == without
    assert not (tmp_path / "clusters/dev/models").exists()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (FOREIGN, SOMEBODYS),
        ("clusters/dev/platform/README.md", "# mine\n"),
        ("clusters/dev/extra/kustomization.yaml", "resources: []\n"),
        ("clusters/dev/platform/1-manifest/broken.yaml", "a: [\n"),
        ("clusters/dev/platform/1-manifest/list.yaml", "- a\n"),
        ("clusters/dev/platform/1-manifest/empty.yaml", ""),
    ],
    ids=["an object of somebody", "a text", "a kustomization", "broken YAML", "a list", "an empty file"],
)
def test_files_of_others_stay(tmp_path: Path, path: str, text: str) -> None:
    write(tmp_path, "dev", RENDERED)
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(text)
    assert write(tmp_path, "dev", RENDERED) == []
    assert (tmp_path / path).read_text() == text


def test_a_file_is_owned_by_its_place_and_its_label() -> None:
    path, text = next(iter(RENDERED.items()))
    assert owned(path, text)
    assert not owned(path.replace(".yaml", "-copy.yaml"), text)
    assert not owned(path, text.replace("managed-by: mainline", "managed-by: helm"))


def test_files_that_are_not_utf8_do_not_stop_the_writer(tmp_path: Path) -> None:
    write(tmp_path, "dev", RENDERED)
    path = sorted(RENDERED)[0]
    (tmp_path / path).write_bytes(b"\xff\xfe")
    assert write(tmp_path, "dev", RENDERED) == [Difference(path, "different")]


def test_no_drafts_are_left_behind(tmp_path: Path) -> None:
    write(tmp_path, "dev", RENDERED)
    write(tmp_path, "dev", SMALLER)
    assert list(tmp_path.rglob(".*")) == []


def test_another_environment_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path, "dev", RENDERED)
    write(tmp_path, "prod", {})
    assert compare(RENDERED, read_rendered(tmp_path, "dev")) == []


@pytest.mark.parametrize(
    "path",
    [
        FOREIGN,
        "clusters/dev/platform/1-manifest/job.yml",
        "clusters/dev/models/iris/pod.json",
        "clusters/dev/argocd/.hidden.yaml",
        "clusters/dev/argocd/made.jsonnet",
    ],
)
def test_what_argo_cd_would_apply_although_nobody_rendered_it_is_foreign(tmp_path: Path, path: str) -> None:
    write(tmp_path, "dev", RENDERED)
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(SOMEBODYS)
    existing = read_rendered(tmp_path, "dev")
    assert foreign(RENDERED, existing) == [Difference(path, "foreign")]
    assert compare(RENDERED, existing) == []
    assert write(tmp_path, "dev", RENDERED) == []
    assert (tmp_path / path).read_text() == SOMEBODYS


def test_texts_and_stale_files_are_not_foreign(tmp_path: Path) -> None:
    write(tmp_path, "dev", RENDERED)
    (tmp_path / "clusters/dev/README.md").write_text("# mine\n")
    existing = read_rendered(tmp_path, "dev")
    assert {difference.kind for difference in compare(SMALLER, existing)} >= {"stale"}
    assert foreign(SMALLER, existing) == []


@pytest.mark.parametrize(
    "link",
    [
        "clusters",
        "clusters/dev",
        "clusters/dev/platform",
        "clusters/dev/platform/1-manifest",
        "clusters/dev/notes.yaml",
    ],
)
def test_a_link_that_leads_out_of_the_repository_is_refused_before_anything_is_touched(
    tmp_path: Path, link: str
) -> None:
    root, outside = tmp_path / "repository", tmp_path / "outside"
    outside.mkdir()
    (outside / "theirs.yaml").write_text(SOMEBODYS)
    (root / link).parent.mkdir(parents=True)
    (root / link).symlink_to(outside)
    for touch in (refuse_links, read_rendered, lambda root, env: write(root, env, RENDERED)):
        with pytest.raises(DeclarationError) as caught:
            touch(root, "dev")
        assert str(caught.value) == (
            f"{link}: is a symbolic link to '{outside}', and rendering stays inside of the repository; "
            "put a folder or a file there"
        )
    assert _on_disk(outside) == {"theirs.yaml": SOMEBODYS}
    assert [path.name for path in (root / link).parent.iterdir()] == [Path(link).name]


def test_a_folder_that_cannot_be_looked_into_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "dev", RENDERED)

    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(PermissionError):
        refuse_links(tmp_path, "dev")


def test_a_comparison_names_each_kind_of_difference_in_order() -> None:
    first, second, *_ = sorted(SMALLER)
    stale = sorted(set(RENDERED) - set(SMALLER))[0]
    existing = {**SMALLER, second: "x\n", stale: RENDERED[stale], FOREIGN: SOMEBODYS}
    del existing[first]
    assert compare(SMALLER, existing) == sorted(
        [Difference(first, "missing"), Difference(second, "different"), Difference(stale, "stale")],
        key=lambda difference: difference.path,
    )
