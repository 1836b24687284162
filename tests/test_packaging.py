"""A source distribution holds what it takes to build; MANIFEST.in is what decides."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from setuptools.command.egg_info import FileList

ROOT = Path(__file__).parent.parent
NEEDED = (
    "shm/*.pyx",
    "shm/*.pxd",
    "shm/*.h",
    "proxy/*.pyx",
    "proxy/*.pxd",
    "proxy/*.h",
    "proxy/*.cfg",
    "deploy/*",
)


def test_a_source_distribution_holds_all_compiled_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    listed = FileList()
    listed.allfiles = [
        os.fsdecode(name)
        for name in subprocess.check_output(["git", "ls-files", "-z"]).split(b"\0")
        if name
    ]
    for line in (ROOT / "MANIFEST.in").read_text().splitlines():
        if line and not line.startswith("#"):
            listed.process_template_line(line)
    tracked = subprocess.check_output(["git", "ls-files", *NEEDED], text=True).split()
    assert any(name.endswith(".pyx") for name in tracked)
    assert set(tracked) <= set(listed.files)


DEPENDS = """
import runpy, Cython.Build, setuptools
Cython.Build.cythonize = lambda found, **_: [print(each) for one in found for each in one.depends]
setuptools.setup = lambda **_: None
runpy.run_path("setup.py")
"""


def test_a_build_looks_at_no_copies_of_an_earlier_one(tmp_path: Path) -> None:
    """Each build would copy them into its own folder, so that the next one has twice as many."""
    (tmp_path / "setup.py").write_text((ROOT / "setup.py").read_text())
    for name in (
        "shm/a.pyx",
        "shm/a.pxd",
        "proxy/b.pyx",
        "proxy/relay/b.pxd",
        "build/cython/shm/a.pxd",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    listed = subprocess.check_output([sys.executable, "-c", DEPENDS], text=True, cwd=tmp_path)
    assert sorted(listed.split()) == ["proxy/relay/b.pxd", "shm/a.pxd", "shm/a.pxd"]
