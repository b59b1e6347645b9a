"""Collects what v2serve runs on into one folder: the interpreter, its packages, and the libraries that these load.

python rootfs.py ROOT       # run by the Containerfile, with the Python of a virtual environment
"""

import compileall
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

USER = 65532
_ETC = {
    "passwd": f"root:x:0:0::/:/none\nv2serve:x:{USER}:{USER}::/tmp:/none\n",
    "group": f"root:x:0:\nv2serve:x:{USER}:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
# Of the standard library: the tests, the windows, the installers.
_STDLIB_UNUSED = (
    "config-*", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages", "dist-packages", "test", "tkinter",
    "turtledemo", "turtle.py", "venv",
)  # fmt: skip
# Of the packages: other ways in, tools for building models, and a C library that the Python module has built in.
_PACKAGES_UNUSED = (
    "_distutils_hack", "pip", "setuptools", "pkg_resources",
    "numpy/f2py", "numpy/distutils", "numpy/typing/tests", "numpy/_core/include", "numpy/_core/lib",
    "numpy/random/lib", "numpy/_pyinstaller",
    "onnxruntime/capi/libonnxruntime.so.*", "onnxruntime/datasets", "onnxruntime/quantization",
    "onnxruntime/tools", "onnxruntime/transformers", "onnxruntime/backend",
    "zstandard/_cffi.*", "zstandard/backend_cffi.py",
    # tokenizers asks a hub for what an artifact holds already; what only the hub's client needs goes with it.
    "huggingface_hub", "hf_xet", "fsspec", "filelock", "httpx2", "httpcore2", "h11", "anyio", "tqdm", "yaml", "_yaml",
    "click", "truststore", "colorama",
    # Pillow reads JPEG and PNG here.
    "PIL/_avif.*", "PIL/_webp.*", "PIL/_imagingtk.*", "PIL/_imagingcms.*", "PIL/_imagingft.*",
    "pillow.libs/libavif*", "pillow.libs/libwebp*", "pillow.libs/libsharpyuv*", "pillow.libs/libfreetype*",
    "pillow.libs/libharfbuzz*", "pillow.libs/liblcms2*",
)  # fmt: skip
_NOT_LOADED = ("tests", "__pycache__", "*.pyi", "*.pyx", "*.pxd", "*.pxi", "*.a", "*.h", "*.c", "*.proto")
_LIBRARY = re.compile(r"(?:=>\s+|^\s+)(/\S+)\s+\(0x", re.M)


def collect(root: Path) -> None:
    """Fill the folder with the whole root file system, and byte-compile it: the running one is read-only."""
    stdlib, environment = Path(sysconfig.get_path("stdlib")), Path(sys.prefix)
    trees = {stdlib: (*_NOT_LOADED, *_STDLIB_UNUSED), environment: _NOT_LOADED}
    for tree, unused in trees.items():
        shutil.copytree(tree, _in(root, tree), symlinks=True, ignore=shutil.ignore_patterns(*unused))
    _prune(_in(root, Path(sysconfig.get_path("purelib"))), _PACKAGES_UNUSED)
    for script in _in(root, environment / "bin").iterdir():
        if not script.name.startswith("python"):
            script.unlink()
    python = Path(sys.executable)
    _place(root, python)
    _place_libraries(root, [python, *_extensions(root)])
    for name, content in _ETC.items():
        (_made(root / "etc") / name).write_text(content)
    (_made(root / "tmp")).chmod(0o1777)
    for tree in trees:
        compileall.compile_dir(
            _in(root, tree), quiet=2, stripdir=str(root),
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )  # fmt: skip


def _in(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _prune(tree: Path, patterns: Iterable[str]) -> None:
    for pattern in patterns:
        for found in tree.glob(pattern):
            shutil.rmtree(found) if found.is_dir() else found.unlink()


def _extensions(root: Path) -> Iterator[Path]:
    return (path for path in root.rglob("*.so*") if path.is_file() and not path.is_symlink())


def _place_libraries(root: Path, programs: list[Path]) -> None:
    """ldd: what the loader finds for them here, it must find there; paths under ROOT came with their packages."""
    done = subprocess.run(["ldd", *map(str, programs)], capture_output=True, text=True, check=False)
    if missing := re.findall(r"(\S+) => not found", done.stdout):
        raise SystemExit(f"rootfs: libraries that the base image lacks: {', '.join(sorted(set(missing)))}")
    for path in sorted(set(_LIBRARY.findall(done.stdout))):
        if not Path(path).is_relative_to(root):
            _place(root, Path(path))
    shutil.copytree("/etc/ld.so.conf.d", root / "etc/ld.so.conf.d")
    shutil.copy("/etc/ld.so.conf", root / "etc/ld.so.conf")
    subprocess.run(["ldconfig", "-r", str(root)], check=True)


def _place(root: Path, path: Path) -> None:
    """Copy a file, and each link on the way to it, to the same path below root."""
    target = _in(root, path)
    _made(target.parent)
    if path.is_symlink():
        if not target.is_symlink():
            target.symlink_to(path.readlink())
        _place(root, path.parent / path.readlink())
    elif not target.exists():
        shutil.copy2(path, target)


if __name__ == "__main__":
    collect(Path(sys.argv[1]))
