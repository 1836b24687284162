"""Modules of the tests that are compiled against the product's own files.

A module is built once for all test processes, and again only when something changed that it is made
of: it is kept in build/tests, under a digest of that.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "tests"
BUILD = """
import sys
from Cython.Build import cythonize
from setuptools import Extension, setup
source, name, target, root, *flags = sys.argv[1:]
links = [flag for flag in flags if flag.startswith("-fsanitize")]
extension = Extension(name, [source], include_dirs=[root], extra_compile_args=flags,
                      extra_link_args=links)
setup(name=name,
      script_args=["-q", "build_ext", "--build-lib", target, "--build-temp", target + "/objects"],
      ext_modules=cythonize([extension], build_dir=target, include_path=[root], quiet=True,
                            compiler_directives={"language_level": "3", "cdivision": True}))
"""


def digest(source: Path, flags: tuple[str, ...]) -> str:
    """Of all that the module is made of."""
    made_of = hashlib.sha256(repr((sys.version, flags, BUILD)).encode())
    parts = [
        path
        for folder in ("shm", "proxy/relay", "proxy/rules")
        for path in (ROOT / folder).rglob("*.p*")
    ]
    for path in [source, *sorted(parts)]:
        if path.suffix in (".pyx", ".pxd", ".pxi", ".h"):
            made_of.update(path.name.encode() + path.read_bytes())
    return made_of.hexdigest()[:16]


def compiled(source: Path, *flags: str) -> Any:
    """The module of this .pyx."""
    name = source.stem
    target = KEPT / f"{name}-{digest(source, flags)}"
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            for former in KEPT.glob(f"{name}-*"):
                shutil.rmtree(former)
            build(source, target, flags)
    sys.path.insert(0, str(target))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(target))


def build(source: Path, target: Path, flags: tuple[str, ...]) -> None:
    """Build it beside `target`, which is there when it is whole."""
    place = KEPT / f"new-{source.stem}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    # cimports are found by walking packages: the copy lives outside any, the root is given
    copy = shutil.copy(source, place)
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    command = [sys.executable, "-c", BUILD, copy, source.stem, str(place), str(ROOT), *flags]
    subprocess.run(command, check=True, env=environment, cwd=place)
    place.rename(target)
