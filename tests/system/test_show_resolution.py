"""`show resolution` and `show why` of the whole program, with resolverd alive, stopped and killed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from proxy.control.commands.why.show_why import USAGE
from tests.support.common import PATIENCE_SECONDS, stand_still, wait_for
from tests.support.dns.scripted import NX, ScriptedNameserver, services
from tests.support.program.program import Program

pytestmark = pytest.mark.slow

ONE, TWO = "127.0.77.1", "127.0.77.2"
LABEL = "_web._tcp.test"
HEAD = """
global
    nbthread 2
    stats socket {socket} level user
    dns-accept-family ipv4
defaults
    mode tcp
    timeout connect 1s
    timeout client 1s
    timeout server 1s
resolvers r1
    nameserver ns1 %s
    timeout resolve 200ms
    timeout retry 200ms
    hold obsolete 60s
"""
BACKEND = """
listen edge
    bind 127.0.77.9:18077
    server-template web 3 app.test:80 resolvers r1 init-addr none
    server-template srv 2 _web._tcp.test resolvers r1 init-addr none
    server fixed 127.0.77.8:1 check inter 100ms fastinter 100ms downinter 100ms
    server off 127.0.77.8:80 disabled
"""


@pytest.fixture
def nameserver() -> Iterator[ScriptedNameserver]:
    with ScriptedNameserver() as started:
        started.set("app.test", "A", [ONE, TWO])
        started.set(LABEL, "SRV", services("10 81 h1.test", "20 82 h2.test", h1_test=ONE))
        started.set("h2.test", "A", TWO)
        yield started


@pytest.fixture
def program(tmp_path: Path, nameserver: ScriptedNameserver) -> Iterator[Program]:
    with Program(tmp_path, HEAD % nameserver.address + BACKEND) as running:
        wait_for(lambda: len(rows(running)) == 3, 10, "three names")
        wait_for(lambda: all(row["status"] == "valid" for row in rows(running)), 10, "answers")
        yield running


def rows(program: Program) -> list[dict[str, str]]:
    """The list: cells by column."""
    header, *lines = program.ask("show resolution").splitlines()
    names = header.removeprefix("# ").split()
    return [dict(zip(names, line.split(), strict=True)) for line in lines if line]


def why(program: Program, server: str) -> dict[str, str]:
    """The chain: text by link, the verdict under ""; of repeated links the first."""
    verdict, *lines = program.ask(f"show why {server}").splitlines()
    found = {"": verdict}
    for line in lines:
        link, _, text = line.partition(":")
        found.setdefault(link.strip(), text.strip())
    return found


def test_the_list_has_names_of_the_file_and_targets(program: Program) -> None:
    listed = {row["name"]: row for row in rows(program)}
    assert sorted(listed) == sorted(["app.test", LABEL, "h2.test"])
    origins = {name: row["origin"] for name, row in listed.items()}
    assert origins == {"app.test": "configuration", LABEL: "configuration", "h2.test": "target"}
    row = listed["app.test"]
    assert (row["records"], row["servers"], row["used"], row["missing"]) == ("2", "3", "2", "0")
    assert (row["stale"], row["dropped_in_s"], row["live"]) == ("0", "-", "1")
    assert float(row["last_valid_s"]) < 10
    decoded = json.loads(program.ask("show resolution json"))
    assert sorted(each["name"] for each in decoded) == sorted(listed)


def test_one_name_in_words_and_as_json(program: Program, nameserver: ScriptedNameserver) -> None:
    text = program.ask("show resolution app.test.")
    assert text.startswith("Resolution app.test (resolvers r1, A)\n")
    assert "last answer   : ns1: valid, A, 2 records, " in text
    assert f"record {ONE}: seen " in text
    assert "server edge/web3: (none); no address: each record is held by another server" in text
    (account,) = json.loads(program.ask("show resolution json APP.test"))
    assert [each["why"] for each in account["servers"]].count("confirmed") == 2
    assert {each["record"] for each in account["records"]} == {ONE, TWO}
    for kind in ("A", "*"):
        nameserver.set("app.test", kind, NX)
    wait_for(lambda: "stale         : servers live on hold nx" in program.ask(
        "show resolution app.test"), 10, "a hold")  # fmt: skip
    assert program.ask("show resolution nobody.test") == "No such name.\n\n"
    assert program.ask("show resolution json nobody.test") == "[]\n\n"
    assert program.ask(f"show resolution {'x' * 300}") == "No such name.\n\n"


def test_why_of_every_kind_of_server(program: Program) -> None:
    served = why(program, "edge/web1")
    assert served[""] == "edge/web1 takes new sessions."
    assert served["name"] == "app.test (resolvers r1, A)"
    assert served["last answer"].startswith("ns1: valid, A, 2 records, ")
    assert served["record"].endswith("the last answer has it")
    assert "cause: an answer of DNS" in served["slot"]
    assert "from (none) to 127.0.77." in served["change"]
    assert served["change"].endswith(" by r1/ns1")
    assert (served["operator"], served["in force"][-8:]) == ("no order", "eligible")
    assert "worker 1" in served
    without = why(program, "edge/web3")
    assert without[""] == "edge/web3 takes no new sessions: it has no address."
    target = program.ask("show why edge/srv2")
    assert LABEL in target
    down = wait_for(
        lambda: found if "DOWN" in (found := why(program, "edge/fixed"))[""] else None, 10, "DOWN"
    )
    assert down["name"] == "none; 127.0.77.8 is not asked for at run time"
    assert "cause: the address is in the configuration" in down["slot"]
    assert "last check L4CON (Layer4 connection problem: Connection refused)" in down["health"]
    assert why(program, "edge/off")[""].endswith("it is disabled in the configuration.")
    assert program.ask("show why edge/nobody") == "No such server.\n\n"
    assert program.ask("show why a b") == f"{USAGE}\n\n"


def test_resolverd_stopped_the_segment_speaks(program: Program) -> None:
    (pid,) = program.children()["resolverd"]
    with program.stand_still(pid):
        listed = rows(program)
        text, chain = program.ask("show resolution app.test"), why(program, "edge/web1")
    assert {row["live"] for row in listed} == {"0"}
    assert sorted(row["name"] for row in listed) == sorted(["app.test", LABEL])
    assert "resolverd does not answer" in text
    assert "slots         : 2 of 3 used, 2 records" in text
    assert chain[""] == "edge/web1 takes new sessions."
    wait_for(lambda: all(row["live"] == "1" for row in rows(program)), 10, "resolverd is back")


def test_resolverd_killed_while_it_is_asked(program: Program) -> None:
    for _ in range(5):
        (pid,) = wait_for(lambda: program.children().get("resolverd"), 10, "resolverd")
        stand_still(pid)
        with ThreadPoolExecutor() as executor:
            asking = executor.submit(program.ask, "show why edge/web2")
            os.kill(pid, signal.SIGKILL)
        assert asking.result().startswith("edge/web2 takes new sessions.")
        wait_for(
            lambda: all(row["live"] == "1" for row in rows(program)), 10, "a successor answers"
        )


def test_many_connections_ask_at_once(program: Program) -> None:
    commands = ["show resolution", "show resolution app.test", "show why edge/web1"] * 8
    with ThreadPoolExecutor(len(commands)) as executor:
        answers = list(executor.map(program.ask, commands))
    assert sum(text.startswith("# section") for text in answers) == 8
    assert sum(text.startswith("Resolution app.test") for text in answers) == 8
    assert sum(text.startswith("edge/web1 takes new sessions.") for text in answers) == 8
    assert not any("does not answer" in text for text in answers)


def test_without_any_name(tmp_path: Path) -> None:
    text = (
        HEAD % "127.0.0.1:1"
        + "listen edge\n    bind 127.0.77.9:18077\n    server s 127.0.77.8:80\n"
    )
    with Program(tmp_path, text) as program:
        assert rows(program) == []
        assert program.ask("show resolution json") == "[]\n\n"
        assert program.ask("show resolution app.test") == "No such name.\n\n"
        assert why(program, "edge/s")[""] == "edge/s takes new sessions."


def test_ten_thousand_names_are_listed_while_resolverd_goes_on(
    tmp_path: Path, nameserver: ScriptedNameserver
) -> None:
    lines = "".join(
        f"    server s{number} n{number}.test:80 resolvers r1 init-addr none\n"
        for number in range(10_000)
    )
    nameserver.set("n0.test", "A", ONE)
    text = (HEAD % nameserver.address).replace("200ms", "60s") + "backend be\n" + lines
    with Program(tmp_path, text) as program:

        def all_live() -> list[str] | None:
            listed = rows(program)
            return [row["name"] for row in listed] if {"1"} == {r["live"] for r in listed} else None

        names = wait_for(all_live, PATIENCE_SECONDS, "resolverd answers control for each")
        assert names == [f"n{number}.test" for number in range(10_000)]
        (pid,) = program.children()["resolverd"]
        assert program.ask("show resolution n9999.test").startswith("Resolution n9999.test")
        assert program.children()["resolverd"] == [pid], "it kept its heartbeat"
