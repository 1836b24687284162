"""A resolverd that stands still for longer than any time-out: what came lies in its sockets then."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from typing import cast

import pytest
import uvloop

from resolverd.config import Holds, Nameserver, ResolversSection
from resolverd.config import Transport as Carrier
from resolverd.dns.answer import QueryType, Question, build_query
from resolverd.transport.tcp import NameserverStreams
from tests.support.common import PATIENCE_SECONDS
from tests.support.dns.resolution import resolution_settings, servers
from tests.support.dns.resolverd import ResolverdProcess, settings_of
from tests.support.dns.scripted import ScriptedNameserver, delayed, records

ONE = "127.0.1.1"
RETRY_MS, HOLD_MS = 1_500, 50
DELAY_S = 0.3  # of each answer: time to stop resolverd after the question
STOPS = 2
WAYS = {  # how the last question goes out: over what, to what kind of nameserver, if UDP is cut
    "udp": (Carrier.UDP, False),
    "tcp": (Carrier.TCP, False),
    "cut": (Carrier.UDP, True),
}


class Hurried:
    """A loop that serves a timer before it looks at the sockets, as it may after a stop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __getattr__(self, name: str) -> object:
        return getattr(self._loop, name)

    def call_later(self, delay_s: float, call: Callable[..., object], *arguments: object) -> None:
        call(*arguments)


def test_a_connection_that_the_loop_has_not_seen_yet_is_used() -> None:
    loop, answers, lost = uvloop.new_event_loop(), [], []
    with ScriptedNameserver(tcp=True) as nameserver:
        nameserver.set("app.test", "A", ONE)
        target = Nameserver("ns1", nameserver.host, nameserver.port, Carrier.TCP)

        def on_message(wire: bytes, owner: int | None) -> bool:
            answers.append(owner)
            return False  # it goes on waiting, and the connection stays

        hurried = cast("asyncio.AbstractEventLoop", Hurried(loop))
        streams = NameserverStreams(hurried, target, on_message, lost.append, 1_000)
        streams.send(build_query(Question("app.test", QueryType.A), 512), 7)

        async def wait() -> None:
            while not answers and not lost:
                await asyncio.sleep(0.002)

        loop.run_until_complete(asyncio.wait_for(wait(), PATIENCE_SECONDS))
        streams.close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    assert (answers, lost) == ([7], [])


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_no_attempt_expires_while_its_answer_lies_in_the_socket(way: str) -> None:
    carrier, cut = WAYS[way]
    over = "udp" if way == "udp" else "tcp"
    with ScriptedNameserver(tcp=True, truncates=cut) as nameserver:
        many = [f"127.3.0.{n + 1}" for n in range(60)] if cut else [ONE]
        nameserver.set("app.test", "A", delayed(records(*many), DELAY_S))
        section = ResolversSection(
            name="r1",
            nameservers=(Nameserver("ns1", nameserver.host, nameserver.port, carrier),),
            resolve_retries=1,
            timeout_resolve_ms=100,
            timeout_retry_ms=RETRY_MS,
            holds=Holds(timeout_ms=HOLD_MS, other_ms=HOLD_MS),
        )
        settings = settings_of(section, resolution_settings(servers(len(many))))

        def asked() -> int:
            return len([query for query in nameserver.queries if query.over == over])

        with ResolverdProcess(settings) as resolverd:
            resolverd.wait_addresses(*many)
            for _ in range(STOPS):
                before = asked()
                resolverd.wait(lambda before=before: asked() > before, "a question")
                os.kill(resolverd.pid, signal.SIGSTOP)
                time.sleep((RETRY_MS + HOLD_MS) / 1_000 + DELAY_S)
                os.kill(resolverd.pid, signal.SIGCONT)
                runs = resolverd.record()["runs"]
                resolverd.wait(lambda runs=runs: resolverd.record()["runs"] > runs + 1, "a run")
            counters = resolverd.counters()
            assert (counters["timeout"], counters["truncated"]) == (0, 0)
            assert not [line for line in resolverd.log_lines() if "going DOWN" in line]
