"""`timeout resolve ttl`, the whole program: how often each name is asked (M16)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.common import wait_for
from tests.support.dns.scripted import SERVFAIL, Answer, ScriptedNameserver, services
from tests.support.program.program import Program

pytestmark = pytest.mark.slow

HOUR_S = 3_600
CONFIGURATION = """
global
    nbthread 1
    stats socket {socket} level admin
    dns-accept-family ipv4
defaults
    mode tcp
    timeout connect 1s
    timeout client 1s
    timeout server 1s
resolvers r1
    nameserver ns1 %s
    timeout resolve ttl min 100ms max 1h
    timeout retry 100ms
    resolve_retries 1
listen edge
    bind 127.0.77.9:18081
"""
OFTEN, SELDOM = "often.test", "seldom.test"
LABEL_OFTEN, LABEL_SELDOM = "_often._tcp.test", "_seldom._tcp.test"


def configuration(nameserver: ScriptedNameserver, *names: str) -> str:
    lines = [
        f"    server-template s{number}- 2 {name} resolvers r1 init-addr none\n"
        for number, name in enumerate(names)
    ]
    return CONFIGURATION % nameserver.address + "".join(lines)


def addresses(program: Program) -> list[str]:
    return sorted({row["srv_addr"] for row in program.servers("edge").values()} - {"-"})


def test_a_name_is_asked_for_when_the_ttl_of_its_answer_has_passed(tmp_path: Path) -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set(OFTEN, "A", Answer(("127.0.1.1",), ttl=0))
        nameserver.set(SELDOM, "A", Answer(("127.0.1.2",), ttl=HOUR_S))
        text = configuration(nameserver, f"{OFTEN}:80", f"{SELDOM}:80")
        with Program(tmp_path, text) as program:
            nameserver.wait_queries(8, OFTEN)
            assert len(nameserver.asked(SELDOM)) == 1
            nameserver.set(OFTEN, "A", Answer(("127.0.1.3",), ttl=HOUR_S))
            wait_for(lambda: addresses(program) == ["127.0.1.2", "127.0.1.3"], 10, "both")
            assert len(nameserver.asked(SELDOM)) == 1


def test_a_name_that_fails_is_asked_for_again_after_the_least_time(tmp_path: Path) -> None:
    with ScriptedNameserver() as nameserver:
        nameserver.set(OFTEN, "A", SERVFAIL)
        with Program(tmp_path, configuration(nameserver, f"{OFTEN}:80")) as program:
            nameserver.wait_queries(4, OFTEN)
            nameserver.set(OFTEN, "A", Answer(("127.0.1.1",), ttl=HOUR_S))
            wait_for(lambda: addresses(program) == ["127.0.1.1"], 10, "the address")
            asked = len(nameserver.asked(OFTEN))
            program.ask("show info")
            assert len(nameserver.asked(OFTEN)) == asked


def test_a_label_is_asked_for_when_the_ttl_of_an_additional_address_has_passed(
    tmp_path: Path,
) -> None:
    with ScriptedNameserver() as nameserver:
        short = replace(services("1 80 h1.test", h1_test="127.0.1.1"), ttl=HOUR_S)
        long = tuple(line.replace(" 0 IN ", f" {HOUR_S} IN ") for line in short.additional)
        nameserver.set(LABEL_OFTEN, "SRV", short)
        nameserver.set(LABEL_SELDOM, "SRV", replace(short, additional=long))
        with Program(tmp_path, configuration(nameserver, LABEL_OFTEN, LABEL_SELDOM)) as program:
            wait_for(lambda: addresses(program) == ["127.0.1.1"], 10, "the address")
            nameserver.wait_queries(8, LABEL_OFTEN)
            assert len(nameserver.asked(LABEL_SELDOM)) == 1
            assert not nameserver.asked("h1.test")
