"""Gives a program an /etc/resolv.conf of its own, in a mount namespace that ends with it (root)."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.common import require_program
from tests.support.dns.scripted import ScriptedNameserver

# What the tests put there has no name any more, so nothing can be put over it.
SCRIPT = 'umount /etc/resolv.conf; mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'


def nameserver_at_port_53() -> ScriptedNameserver:
    """That is all that resolv.conf can name; other tests may have one, too."""
    if os.geteuid() != 0:
        pytest.skip("only root listens at port 53 and gives a program another resolv.conf")
    for last in range(1, 250):
        with suppress(OSError):
            return ScriptedNameserver(f"127.0.35.{last}", 53)
    pytest.fail("no free address with port 53")


def with_resolv_conf(folder: Path, *nameservers: str) -> tuple[str, ...]:
    """The words before a program's own that make it see only these nameservers."""
    file = folder / "resolv.conf"
    lines = [f"nameserver {address}" for address in nameservers]
    file.write_text("\n".join([*lines, "options timeout:1 attempts:1"]) + "\n")
    return (require_program("unshare"), "--mount", "sh", "-c", SCRIPT, "sh", str(file))


class Etc:
    """An /etc of its own for a program, in which resolv.conf is replaced while it runs (root)."""

    SCRIPT = 'mount --bind "$1" /etc && shift && exec "$@"'

    def __init__(self, folder: Path) -> None:
        """A copy of the host's; `wrapper` are the words before a program's own."""
        self.folder = folder / "etc"
        shutil.copytree("/etc", self.folder, symlinks=True, ignore_dangling_symlinks=True)
        self.file = self.folder / "resolv.conf"
        self.wrapper = (
            *(require_program("unshare"), "--mount", "sh", "-c", self.SCRIPT, "sh"),
            str(self.folder),
        )

    def replace(self, *lines: str) -> None:
        """Rename a new file over resolv.conf, as programs do that mean it well."""
        new = self.folder / "resolv.conf.new"
        new.write_text("".join(f"{line}\n" for line in lines))
        new.rename(self.file)
