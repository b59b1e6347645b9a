"""The digest is one definition: coreutils agrees with it, and nothing that differs passes."""

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2serve.artifact import ArtifactError, digest, parse_sums, verify, write_sums

_HEX = "0" * 64
_names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,8}", fullmatch=True)
_trees = st.dictionaries(
    st.builds(lambda a, b: f"{a}/{b}" if b else a, _names, st.none() | _names),
    st.binary(max_size=64),
    min_size=1,
).filter(lambda tree: _is_a_tree(tree))


def _is_a_tree(tree: dict[str, bytes]) -> bool:
    return "SHA256SUMS" not in {p.split("/")[0] for p in tree} and not any(
        p.split("/")[0] in tree for p in tree if "/" in p
    )


def _folder(root: Path, tree: dict[str, bytes]) -> Path:
    for path, content in tree.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tree = {"model.onnx": b"weights", "contract.json": b"{}", "extra/labels.txt": b"a\nb\n"}
    return _folder(tmp_path, tree)


def _coreutils_agree(folder: Path) -> bool:
    command = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


def test_the_digest_is_what_coreutils_say(folder: Path) -> None:
    named = write_sums(folder)
    assert _coreutils_agree(folder)
    command = ["sha256sum", "SHA256SUMS"]
    printed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    assert named == "sha256:" + printed.split()[0]
    assert named == "sha256:" + hashlib.sha256((folder / "SHA256SUMS").read_bytes()).hexdigest()


def test_lines_are_sorted_bytewise_as_sort_does(folder: Path) -> None:
    write_sums(folder)
    command = ["env", "LC_ALL=C", "sort", "-c", "SHA256SUMS"]
    subprocess.run(command, cwd=folder, check=True)


def test_writing_twice_gives_the_same_digest_and_leaves_no_other_file(folder: Path) -> None:
    assert write_sums(folder) == write_sums(folder) == digest(folder)
    assert sorted(p.name for p in folder.iterdir()) == ["SHA256SUMS", "contract.json", "extra", "model.onnx"]


@pytest.mark.parametrize("name", ["-", "-c", "-/x"])
def test_a_name_that_programs_take_for_an_option_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactError, match=r"starts with '-'; rename the file"):
        write_sums(_folder(tmp_path / "artifact", {name: b"x"}))


@settings(max_examples=40, deadline=None)
@given(tree=_trees)
def test_any_tree_verifies_against_its_own_digest_and_coreutils_agree(tree: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = _folder(Path(root), tree)
        verify(folder, write_sums(folder))
        assert _coreutils_agree(folder)
        assert parse_sums((folder / "SHA256SUMS").read_bytes()).keys() == tree.keys()


@settings(max_examples=50, deadline=None)
@given(tree=_trees, data=st.data())
def test_any_flipped_bit_is_refused(tree: dict[str, bytes], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = _folder(Path(root), tree)
        named = write_sums(folder)
        victims = sorted(p for p in folder.rglob("*") if p.is_file() and p.stat().st_size)
        victim = data.draw(st.sampled_from(victims))
        content = bytearray(victim.read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        victim.write_bytes(content)
        with pytest.raises(ArtifactError, match=r"sha256:[0-9a-f]{64}"):
            verify(folder, named)


@settings(max_examples=40, deadline=None)
@given(tree=_trees, data=st.data(), change=st.sampled_from(["add", "remove", "rename"]))
def test_any_added_removed_or_renamed_file_is_refused(
    tree: dict[str, bytes], data: st.DataObject, change: str
) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = _folder(Path(root), tree)
        named = write_sums(folder)
        victim = folder / data.draw(st.sampled_from(sorted(tree)))
        if change == "add":
            (victim.parent / "zz-added-by-nobody").write_bytes(b"")
        elif change == "remove":
            victim.unlink()
        else:
            victim.rename(victim.parent / "zz-renamed-by-nobody")
        with pytest.raises(ArtifactError, match=r"extra file|missing file|empty folder"):
            verify(folder, named)


@pytest.mark.parametrize("link", ["symbolic file", "symbolic folder", "pipe"])
def test_links_and_pipes_are_refused_by_name(folder: Path, link: str) -> None:
    named = write_sums(folder)
    if link == "pipe":
        os.mkfifo(folder / "odd")
    else:
        (folder / "odd").symlink_to(folder / ("model.onnx" if link == "symbolic file" else "extra"))
    with pytest.raises(ArtifactError, match=r"^odd: (a link|neither a file)"):
        verify(folder, named)
    with pytest.raises(ArtifactError, match=r"^odd: (a link|neither a file)"):
        write_sums(folder)


def test_an_empty_folder_inside_is_refused(folder: Path) -> None:
    (folder / "extra" / "nothing").mkdir()
    with pytest.raises(ArtifactError, match="extra/nothing: empty folder"):
        write_sums(folder)


def test_a_name_outside_the_alphabet_is_refused(folder: Path) -> None:
    (folder / "my model.bin").write_bytes(b"x")
    with pytest.raises(ArtifactError, match=r"'my model.bin' has characters outside"):
        write_sums(folder)


def test_another_digest_is_refused_and_both_are_named(folder: Path) -> None:
    named, other = write_sums(folder), "sha256:" + _HEX
    with pytest.raises(ArtifactError, match=f"names {other}, but the bytes are {named}"):
        verify(folder, other)


@pytest.mark.parametrize(
    "text", ["", "latest", "sha256:ab", _HEX, "sha256:" + "A" * 64, "sha256:" + _HEX + "\n"]
)
def test_a_malformed_digest_is_refused_with_the_form_to_write(folder: Path, text: str) -> None:
    with pytest.raises(ArtifactError, match="malformed; write sha256:"):
        verify(folder, text)


def test_a_folder_without_sums_or_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="SHA256SUMS: missing"):
        digest(tmp_path)
    with pytest.raises(ArtifactError, match="no files"):
        write_sums(tmp_path)
    with pytest.raises(ArtifactError, match="not a folder"):
        write_sums(tmp_path / "absent")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(f"{_HEX}  a".encode(), "does not end with a newline", id="no newline"),
        pytest.param(f"{_HEX}  b\n{_HEX}  a\n".encode(), "not sorted", id="unsorted"),
        pytest.param(f"{_HEX}  a\n{_HEX}  a\n".encode(), "a is named twice", id="duplicate"),
        pytest.param(f"{_HEX} *a\n".encode(), "line 1: .* is not '<64 hex>  <path>'", id="binary mode"),
        pytest.param(f"{'A' * 64}  a\n".encode(), "line 1: .* is not", id="upper case"),
        pytest.param(f"{_HEX}  a\r\n".encode(), "line 1: .* is not", id="carriage return"),
        pytest.param(f"{_HEX}  \xe9\n".encode(), "byte 66 is not ASCII", id="not ASCII"),
        pytest.param(f"{_HEX}  ../a\n".encode(), "'../a' is not a plain relative path", id="parent"),
        pytest.param(
            f"{_HEX}  /etc/passwd\n".encode(), "'/etc/passwd' is not a plain relative path", id="absolute"
        ),
        pytest.param(f"{_HEX}  a//b\n".encode(), "'a//b' is not a plain relative path", id="double slash"),
        pytest.param(f"{_HEX}  SHA256SUMS\n".encode(), "'SHA256SUMS' is not a plain", id="itself"),
        pytest.param(
            f"{_HEX}  a\n{_HEX}  a/b\n".encode(), "a is both a file and the folder of a/b", id="both"
        ),
    ],
)
def test_sums_that_write_sums_would_not_write_are_refused(content: bytes, reason: str) -> None:
    with pytest.raises(ArtifactError, match=reason):
        parse_sums(content)
