"""What was learned of DNS outlives an upgrade, though no nameserver answers any more."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.dns.scripted import SILENT, records
from tests.support.program.installed import Installed
from tests.support.program.program import Program, who_answers
from tests.support.program.site import Site

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("changed", ["proxy/demo/world.py", "shm/records.pxd"])
def test_addresses_are_not_learned_anew(tmp_path: Path, changed: str) -> None:
    """With the same layout of the segment, and with another one."""
    installed = Installed(tmp_path / "installed")
    with ExitStack() as stack:
        site = Site(tmp_path, stack, "127.44.33")
        address = site.serve(1)
        site.nameserver.set("app.test", "A", records(address))
        text = site.configuration(
            "server-template s 2 app.test:{port} resolvers r1 init-addr none check inter 100ms",
            pace="timeout resolve 100ms\n    hold timeout 600s\n    hold obsolete 600s",
        )
        program = stack.enter_context(
            Program(tmp_path, text, environ=installed.environ, executed=True)
        )
        site.program = program
        site.wait_answering(address)
        site.nameserver.set("app.test", "A", SILENT)
        installed.change(changed, "# another")
        installed.change("proxy/demo/world.py")
        program.process.send_signal(signal.SIGUSR2)
        told = program.output.read_text
        wait_for(lambda: "upgrade done" in told(), 2 * PATIENCE_SECONDS, "the upgrade")
        assert ("another layout" in told()) is (changed != "proxy/demo/world.py")
        assert [who_answers(site.front) for _ in range(6)] == [address] * 6
        asked = len(site.nameserver.asked("app.test"))
        wait_for(lambda: len(site.nameserver.asked("app.test")) > asked, 10, "it is asked on")
        assert who_answers(site.front) == address
