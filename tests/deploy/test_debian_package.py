"""The Debian package, installed where nothing but Debian is: `make long` has made both before."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.generated import LONG

ROOT = Path(__file__).parents[2]
SYSTEM = ROOT / "build" / "bookworm.tar"
INSIDE = """
set -eu
root=$1
mount --bind /dev "$root/dev"
mount -t proc proc "$root/proc"
as() { user=$1; shift; chroot --userspec="$user:$user" "$root" "$@"; }
as root dpkg --install /millrace.deb
as root getent passwd millrace
as root test -f /usr/share/man/man1/millrace.1
as root millrace -c -f /etc/millrace/millrace.cfg
as root install -d -o millrace -g millrace /run/millrace
as millrace millrace -db -f /etc/millrace/millrace.cfg -p /run/millrace/millrace.pid &
main=$!
tries=0
until as millrace millrace ping; do
    tries=$((tries + 1))
    [ "$tries" -lt 200 ]
done
as millrace millrace show info
as millrace /usr/bin/python3 -c "
import urllib.request
print(urllib.request.urlopen('http://127.0.0.1:8404/ready').read())"
kill "$main"
wait "$main" || true
as root dpkg --purge millrace
[ ! -e "$root/etc/millrace" ] && [ ! -e "$root/usr/lib/millrace" ]
"""


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A system of Debian's essential packages and Python."""
    made = tmp_path / "root"
    made.mkdir()
    subprocess.run(["tar", "-C", made, "-xf", SYSTEM], check=True, timeout=300)
    yield made
    subprocess.run(["rm", "-rf", "--one-file-system", made], check=True)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.skipif(not LONG, reason="in the long run: make long")
@pytest.mark.skipif(os.geteuid() != 0, reason="root installs")
def test_it_serves_in_a_system_that_has_nothing_else(root: Path) -> None:
    (package,) = (ROOT / "dist").glob("*.deb")
    (root / "millrace.deb").write_bytes(package.read_bytes())
    result = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", INSIDE, "sh", root],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Configuration file is valid" in result.stdout
    assert "ok: " in result.stdout
    assert "Name: Millrace" in result.stdout
    assert "b'ready\\n'" in result.stdout
