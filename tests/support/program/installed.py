"""Installations of the program in folders of a test: another build is one in which a file changed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGES = ("proxy", "resolverd", "shm")


class Installed:
    """One installation; its files are links to those of the tree until they are replaced."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for package in PACKAGES:
            for source in sorted((ROOT / package).rglob("*")):
                if source.suffix in (".py", ".so", ".pxd", ".cfg"):
                    target = folder / source.relative_to(ROOT)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.symlink_to(source)

    @property
    def command(self) -> tuple[str, ...]:
        """Starts the program of this installation, in whichever folder."""
        return (sys.executable, "-m", "proxy")

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.folder), "PYTHONSAFEPATH": "1"}

    def replace(self, name: str, content: str) -> None:
        """Install another file in the place of that one, as a package manager does."""
        fresh = self.folder / f"{name}.new"
        fresh.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(content)
        fresh.rename(self.folder / name)

    def change(self, name: str, line: str = "") -> None:
        """Another build: the same file with one line more."""
        self.replace(name, (self.folder / name).read_text() + f"{line}\n")
