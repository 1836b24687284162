"""A source distribution holds what it takes to build; MANIFEST.in is what decides."""

from __future__ import annotations

import os
import subprocess
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
