"""The relay's small parts as a module, and backends for them.

tests/relay/parts.pyx is compiled against the product's own files.
"""

from __future__ import annotations

import fcntl
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

from shm.segment import Segment
from shm.shape import Shape
from shm.slots import SlotTableWriter
from shm.states import StaticFlag, StaticState
from tests.support import PATIENCE_SECONDS

ROOT = Path(__file__).parents[1]
BUILD = """
import sys
from Cython.Build import cythonize
from setuptools import Extension, setup
source, target, root = sys.argv[1:]
extension = Extension("parts", [source], include_dirs=[root], extra_compile_args=["-O1", "-g0"])
setup(name="parts",
      script_args=["-q", "build_ext", "--build-lib", target, "--build-temp", target + "/objects"],
      ext_modules=cythonize([extension], build_dir=target, include_path=[root], quiet=True,
                            compiler_directives={"language_level": "3", "cdivision": True}))
"""

_open: list[Segment] = []


def backend_with(
    weights: list[int], backups: frozenset[int] = frozenset(), ids: list[int] | None = None
) -> Segment:
    """One backend whose servers are all up; its segment is closed when the test ends."""
    segment = Segment.create(Shape(len(weights), 1, 1, 1, 1, 0, 0))
    _open.append(segment)
    writer = SlotTableWriter(segment)
    writer.lay_backend(0, 0, len(weights))
    for slot, weight in enumerate(weights):
        flags = StaticFlag.BACKUP if slot in backups else StaticFlag(0)
        number = slot + 1 if ids is None else ids[slot]
        writer.place(slot, StaticState(0, flags, weight, 0, 2, 3, number))
        writer.publish(slot, "127.0.0.1", 80, now_ms=1)
    return segment


def close_segments() -> None:
    """What `backend_with` made is unmapped."""
    while _open:
        _open.pop().close()


def build_parts(target: Path) -> Any:
    """The module, built into `target` by the first process that asks for it."""
    target.mkdir(exist_ok=True)
    with (target / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not list(target.glob("*.so")):
            source = target / "parts.pyx"
            source.write_text((ROOT / "tests/relay/parts.pyx").read_text())
            command = [sys.executable, "-c", BUILD, str(source), str(target), str(ROOT)]
            subprocess.run(command, cwd=target, check=True, timeout=PATIENCE_SECONDS)
    sys.path.insert(0, str(target))
    try:
        return importlib.import_module("parts")
    finally:
        sys.path.remove(str(target))
