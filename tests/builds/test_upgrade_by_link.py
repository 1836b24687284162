"""Builds beside each other, and a link to the one that counts: forward, one that fails, and back."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from proxy import __version__
from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.program.installed import Installed
from tests.support.program.program import NamedBackend, Program, greet
from tests.system.test_upgrade_paths import Crowd

pytestmark = pytest.mark.slow

HOST = "127.44.34.1"
LIBRARIES = str(Path(pytest.__file__).parents[1])
DONE = "upgrade done: generation"
FAILS = 'import sys\nif "-c" not in sys.argv[1:]:\n    raise OSError("not like this")'
SCRIPT = """#!{folder}/bin/python
import sys
sys.path[:0] = [{folder!r}, {libraries!r}]
if sys.argv[1:2] == [{given!r}]:
    del sys.argv[1:4]  # the words of a test: <python> -m proxy
from proxy.__main__ import main
sys.exit(main())
"""
CONFIGURATION = """
global
    nbthread 1
    stats socket {{socket}} level admin
defaults
    mode tcp
    timeout connect 9s
    timeout client 99s
    timeout server 99s
listen web
    bind {host}:{port}
    server a 127.0.0.1:{server}
"""


def environment(folder: Path, version: str) -> Installed:
    """As a virtual environment: an interpreter, and a script that it runs."""
    build = Installed(folder)
    content = (folder / "proxy/__init__.py").read_text()
    build.replace("proxy/__init__.py", content.replace(__version__, version))
    script = folder / "bin" / "millrace"
    script.parent.mkdir()
    (folder / "bin" / "python").symlink_to(sys.executable)
    text = SCRIPT.format(folder=str(folder), libraries=LIBRARIES, given=sys.executable)
    script.write_text(text)
    script.chmod(0o755)
    return build


def lead(link: Path, build: Installed) -> None:
    beside = link.with_suffix(".new")
    beside.symlink_to(build.folder)
    beside.rename(link)


def test_a_link_says_which_build_serves(tmp_path: Path) -> None:
    one, two, bad = (
        environment(tmp_path / name, version)
        for name, version in (("one", "1.1.1"), ("two", "2.2.2"), ("bad", "3.3.3"))
    )
    bad.change("proxy/supervisor/legacy.py", FAILS)
    link, target = tmp_path / "current", (HOST, free_port())
    lead(link, one)
    with ExitStack() as stack:
        backend = NamedBackend("127.0.0.1", 0)
        stack.callback(backend.close)
        text = CONFIGURATION.format(host=HOST, port=target[1], server=backend.port)
        environ = {**os.environ, "PYTHONPATH": LIBRARIES}
        wrapper = (str(link / "bin" / "millrace"),)
        program = stack.enter_context(
            Program(tmp_path, text, environ=environ, wrapper=wrapper, executed=True)
        )
        greeted = greet(target)
        assert greeted is not None
        session = stack.enter_context(greeted[1])
        versions = []
        with Crowd(target) as crowd:
            for number, build in enumerate((two, bad, one), 2):
                lead(link, build)
                program.process.send_signal(signal.SIGUSR2)
                wait_for(
                    lambda done=f"{DONE} {number}": done in program.output.read_text(),
                    2 * PATIENCE_SECONDS,
                    "the upgrade",
                )
                versions.append(program.ask("show info").partition("\nVersion: ")[2][:5])
                session.sendall(b"still here")
                assert session.recv(100) == b"still here"
                crowd.await_more(10)
        assert versions == ["2.2.2", "2.2.2", "1.1.1"]
        assert "the former build goes on: OSError: not like this" in program.output.read_text()
        assert crowd.failures == []
