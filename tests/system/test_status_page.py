"""The status page in a browser: six situations, wide and narrow, light and dark, judged by axe-core.

One program and one browser, and two of the four looks but under MILLRACE_LONG; MILLRACE_PICTURES
names a folder where the pictures are left to be looked at.
"""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.support.browser import Browser
from tests.support.common import PATIENCE_SECONDS, free_port, stand_still, wait_for
from tests.support.dns.scripted import SILENT, records
from tests.support.generated import sample
from tests.support.program.program import NamedBackend, greet
from tests.support.program.site import Site

NAME = "db.test"
ATTEMPTS = 20  # to ask within a second of a reload
LOOKS = [(1280, False), (400, True), (1280, True), (400, False)][: sample(2, 4)]  # width, dark
SERVERS = f"""
    server db {NAME}:{{port}} check inter 100ms fall 1 rise 1 resolvers r1 init-addr none
"""
MORE = """
frontend shop
    bind 127.0.61.250:{shop}
    default_backend shop_servers
backend shop_servers
    server s1 127.0.61.11:{{port}} check inter 100ms fall 1 rise 1
    server s2 127.0.61.12:{{port}} check inter 100ms fall 1 rise 1
    server s3 127.0.61.13:{{port}} backup
    server s4 127.0.61.14:{{port}} disabled
listen mail
    bind 127.0.61.250:{mail}
    timeout queue 600s
    server m1 127.0.61.15:{{port}} maxconn 1 check inter 100ms fall 1 rise 1
frontend status
    mode http
    bind 127.0.61.250:{status}
    stats enable
    stats uri /
    stats show-legends
    stats admin if {{{{ src 127.0.0.0/8 }}}}
"""


class Stage(Site):
    """A program with three services, and its page."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        super().__init__(folder, stack, "127.0.61")
        self.nameserver.set(NAME, "A", records(self.serve(10)))
        for last in (11, 12, 15):
            self.serve(last)
        self.shop, self.mail, self.status = free_port(), free_port(), free_port()
        ports = MORE.format(shop=self.shop, mail=self.mail, status=self.status)
        pace = "timeout resolve 200ms\n    hold valid 1s\n    hold timeout 60s"
        self.start(SERVERS, pace=pace, more=ports.replace("{{", "{").replace("}}", "}"))

    @property
    def address(self) -> str:
        return f"http://127.0.61.250:{self.status}/"

    def text(self) -> str:
        """The first screen for terminals."""
        with suppress(OSError):
            request = urllib.request.Request(self.address, headers={"Accept": "text/plain"})
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
                found: bytes = answer.read()
                return found.decode()
        return ""

    def wait(self, *wanted: str) -> str:
        """The first screen, once it says all this."""

        def said() -> str:
            text = " ".join(self.text().split())
            return text if all(each in text for each in wanted) else ""

        return wait_for(said, PATIENCE_SECONDS, f"the page says {wanted}", step=0.1)

    def close(self, last: int) -> None:
        self.backends[f"{self.network}.{last}"].close()

    def again(self, last: int) -> None:
        backend = NamedBackend(f"{self.network}.{last}", self.port)
        self.stack.callback(backend.close)
        self.backends[backend.address] = backend


@pytest.fixture(scope="module")
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def looked_at(browser: Browser, folder: Path, address: str, name: str) -> str:
    """Open a page, judge it in each look, and leave pictures; its text."""
    for width, dark in LOOKS:
        browser.look(width, dark=dark)
        browser.open(address)
        kept = folder / f"{name}-{width}-{'dark' if dark else 'light'}.png"
        browser.picture(kept)
        assert not browser.clipped(), f"{name}, {width} px"
        assert not browser.violations(), f"{name}, {width} px, dark: {dark}"
    said = browser.run("document.title + ' | ' + document.body.innerText")
    return " ".join(str(said).split())


def test_a_page_asked_while_its_process_is_replaced_is_whole(
    tmp_path: Path, stack: ExitStack
) -> None:
    """A browser connects before it asks: to the control that a reload replaces meanwhile."""
    stage = Stage(tmp_path, stack)
    stage.wait("All 3 services up")
    for _ in range(ATTEMPTS):
        early = http.client.HTTPConnection("127.0.61.250", stage.status, timeout=PATIENCE_SECONDS)
        stack.callback(early.close)
        early.connect()
        assert stage.text()  # by then it is let in
        stage.reload()
        with suppress(http.client.RemoteDisconnected, OSError):  # it was too late
            early.request("GET", "/", headers={"Accept": "text/html"})
            answer = early.getresponse()
            if "being replaced" in answer.read().decode():
                return
    pytest.fail(f"no answer of a control that is replaced, {ATTEMPTS} times")


@pytest.mark.lengthy
def test_six_situations_in_a_browser(
    tmp_path_factory: pytest.TempPathFactory, stack: ExitStack
) -> None:
    folder = tmp_path_factory.mktemp("page")
    kept = Path(os.environ.get("MILLRACE_PICTURES", folder))
    browser = stack.enter_context(Browser(folder))
    stage = Stage(folder, stack)

    stage.wait("All 3 services up", "Nothing is wrong")
    said = looked_at(browser, kept, stage.address, "well")
    assert "wrong)" not in said
    assert "1 server out by order" in said

    for last in (11, 12, 10):
        stage.close(last)
    alone = "shop_servers takes new sessions on backups alone"
    stage.wait("1 of 3 services down, since", "!! edge takes no new sessions", alone)
    said = looked_at(browser, kept, stage.address, "down")
    assert said.startswith("(1 down) ")
    assert alone in said
    looked_at(browser, kept, f"{stage.address}?backend=shop_servers", "backend")
    looked_at(browser, kept, f"{stage.address}?server=edge/db", "server")

    for last in (11, 12, 10):
        stage.again(last)
    stage.nameserver.set(NAME, "A", SILENT)
    stage.wait("All 3 services up", f"? {NAME} timeout; 1 server loses its address in")
    said = looked_at(browser, kept, stage.address, "silent")
    assert "nameserver ns1: asked" in said
    looked_at(browser, kept, f"{stage.address}?name={NAME}", "name")
    stage.nameserver.set(NAME, "A", records("127.0.61.10"))

    greeted = greet(("127.0.61.250", stage.mail))
    assert greeted is not None
    stack.callback(greeted[1].close)
    waiting = socket.create_connection(("127.0.61.250", stage.mail), PATIENCE_SECONDS)
    stack.callback(waiting.close)
    stage.wait("! mail takes new sessions", "1 sessions wait in its queues")
    assert "1/1" in looked_at(browser, kept, stage.address, "queue")
    waiting.close()

    stage.reload()
    said = stage.wait("All 3 services up; last change: reload", "generation 2", "Nothing is wrong")
    said = looked_at(browser, kept, stage.address, "reload")
    assert "Old generations" in said
    assert re.search("Sessions now ., at most 2", said), said  # of the generation before
    os.kill(stage.program.children()["control"][0], signal.SIGKILL)
    wait_for(stage.text, PATIENCE_SECONDS, "another control serves the page")
    browser.open(stage.address)
    assert "at most 2" in str(browser.run("document.body.innerText"))
    greeted[1].close()

    resolverd = stage.program.children()["resolverd"][0]
    stand_still(stage.program.process.pid)  # a supervisor replaces what has died
    try:
        os.kill(resolverd, signal.SIGKILL)
        stage.wait("? resolverd does not answer")
        said = looked_at(browser, kept, stage.address, "resolverd")
    finally:
        stage.program.process.send_signal(signal.SIGCONT)
    assert "none changes until it is back" in said
