"""Questions over TCP while connections end at any moment: each is answered or lost, and once."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from resolverd.config import Nameserver
from resolverd.config import Transport as Carrier
from resolverd.transport import tcp as nameserver_streams
from resolverd.transport.tcp import STREAMS_MAX
from tests.support.dns.scripted import SILENT, ScriptedNameserver, records
from tests.support.dns.transport import shells_closed
from tests.support.generated import sample

RUNS = 300  # in flight together: as many replies as a socket holds
ROUNDS = sample(1, full=40)


@pytest.mark.slow
@pytest.mark.parametrize("carrier", Carrier)
def test_no_question_is_forgotten_or_told_of_twice(
    carrier: Carrier, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(nameserver_streams, "RECONNECT_DELAY_S", 0.02)
    for each in range(seed, seed + ROUNDS):
        ask_while_connections_end(carrier, each)


def ask_while_connections_end(carrier: Carrier, seed: int) -> None:
    chance = random.Random(seed)
    scripts = [records("127.0.1.1", delay_s=delay) for delay in (0.0, 0.01, 0.03)] + [SILENT]
    with ScriptedNameserver(tcp=True) as nameserver, shells_closed() as shells:
        nameserver.set("app.test", "A", [f"127.9.{n}.1" for n in range(60)])  # too much for UDP
        line = Nameserver("ns0", nameserver.host, nameserver.port, carrier)
        shell = shells(line, retry_ms=200)
        unsent: Counter[int] = Counter()
        asked: list[int] = []
        closed: set[int] = set()
        for key in range(RUNS):
            nameserver.set("app.test", "A", chance.choice(scripts), over="tcp")
            unsent[key] += len(shell.ask(key))
            asked.append(key)
            what = chance.randrange(12)
            if what == 0:
                nameserver.hang_up()
            elif what == 1:
                late = chance.choice(asked)
                shell.transport.close_run(late)
                if not any(late == reply[0] for reply in shell.delivered):
                    closed.add(late)
            elif what == 2:
                shell.transport.unanswered(chance.choice(asked), ("ns0",))
            elif what < 6:
                steps = shell.loop.time() + chance.choice((0.0, 0.005, 0.02))
                shell.until(lambda steps=steps: shell.loop.time() >= steps)
        nameserver.set("app.test", "A", "127.0.1.1", over="tcp")

        def told() -> Counter[int]:
            outcomes = Counter(reply[0] for reply in shell.delivered)
            outcomes.update(key for key, _ in shell.lost_questions)
            outcomes.update(unsent)
            return outcomes

        if carrier is Carrier.UDP:  # a fetch has its own time-out: nothing stays silent
            shell.until(lambda: all(told()[key] for key in asked if key not in closed))
        end = shell.loop.time() + 0.5  # in which something might be told twice
        shell.until(lambda: shell.loop.time() >= end)
        for key in asked:  # what stayed silent ends with its run
            shell.transport.close_run(key)
        note = f"seed {seed}"
        assert all(count <= 1 for count in told().values()), note
        streams = shell.transport._streams["ns0"]
        assert len(streams._streams) <= STREAMS_MAX, note
        assert not streams._waiting, note
        assert not any(stream.open for stream in streams._streams), note
        assert not shell.transport._fetches, note
        assert not shell.transport._open, note
