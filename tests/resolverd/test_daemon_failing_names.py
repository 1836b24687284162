"""Names that get no answer, many of them beside a good one, with a real nameserver and resolverd."""

from __future__ import annotations

import pytest

from resolverd.config import Nameserver, ResolversSection
from tests.support.dns.resolution import resolution_settings, servers
from tests.support.dns.resolverd import ResolverdProcess, settings_of
from tests.support.dns.scripted import SILENT, ScriptedNameserver

SILENT_NAMES = 700  # more than twice the places
RUNS = 10  # of the good name
ONE, TWO = "127.0.1.1", "127.0.1.2"


@pytest.mark.slow
@pytest.mark.quiet
def test_a_good_name_is_asked_on_time_beside_many_that_get_no_answer() -> None:
    names = ["good.test", *[f"n{index}.test" for index in range(SILENT_NAMES)]]
    of = [
        resolution_settings(servers(1, index, index), name=name, index=index)
        for index, name in enumerate(names)
    ]
    with ScriptedNameserver() as nameserver:
        nameserver.set("good.test", "A", ONE)
        for name in names[1:]:
            nameserver.set(name, "A", SILENT)
        section = ResolversSection(
            name="r1",
            nameservers=(Nameserver("ns1", nameserver.host, nameserver.port),),
            resolve_retries=2,
            timeout_resolve_ms=200,
            timeout_retry_ms=200,
        )
        with ResolverdProcess(settings_of(section, *of)) as resolverd:

            def runs() -> list[int]:
                return [resolverd.record(index)["runs"] for index in range(len(names))]

            resolverd.wait(lambda: min(runs()) >= 1, "a run of each name", 30)
            nameserver.set("good.test", "A", TWO)
            before = runs()
            resolverd.wait(lambda: runs()[0] >= before[0] + RUNS, "runs of the good name", 30)
            of_silent = (sum(runs()[1:]) - sum(before[1:])) / SILENT_NAMES
            assert of_silent < RUNS / 2, "the good name waits for its turn among the silent"
            assert resolverd.slot(0).address == TWO
