"""What is shipped and what is installed: MANIFEST.in names all that a build needs, and
pyproject.toml all that tests import, so that a fresh clone runs them.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
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


OWN = ("shm", "resolverd", "proxy", "loadtest", "tests")


def imported(path: Path) -> Iterator[str]:
    """Top-level names that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name.partition(".")[0] for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def with_their_own(names: set[str]) -> set[str]:
    """Names of distributions, with those that they require in turn."""
    found: set[str] = set()
    left = list(names)
    while left:
        name = re.sub(r"[-_.]+", "-", left.pop()).lower()
        if name in found:
            continue
        found.add(name)
        try:
            needs = requires(name) or []
        except PackageNotFoundError:  # not for this machine
            continue
        left += [bare(each) for each in needs if "extra ==" not in each]
    return found


def bare(requirement: str) -> str:
    """The name in `name[extra]>=version; marker`."""
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]


def test_what_the_tests_import_is_installed_for_them() -> None:
    """`make bench` installs more, on the machine of who wrote the test."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    listed = [*project["dependencies"], *extras["test"], *extras["lint"]]
    installed = with_their_own({bare(each) for each in listed})
    homes = packages_distributions()
    for package in OWN:
        for path in sorted((ROOT / package).rglob("*.py")):
            for name in sorted({*imported(path)} - sys.stdlib_module_names - {*OWN}):
                needed = {re.sub(r"[-_.]+", "-", each).lower() for each in homes.get(name, [])}
                assert needed & installed, f"{path.relative_to(ROOT)}: {name}"
