"""Sessions of old generations: shown, counted, named, ended by operators; what control keeps."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.control.limits import SESSIONS_SECONDS_MAX
from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.control.sessions import (
    ID,
    Running,
    leave,
    ports_of,
    running,
    shown_by_now,
)
from tests.support.generated import sample

SERVICE = """hard-stop-after 1h
frontend service
  mode http
  timeout client 5s
  bind 127.0.0.1:{port}
  http-request use-service prometheus-exporter if {{ path /metrics }}
  stats enable
  stats uri /page
"""
TITLE = re.compile(r"^millrace: (?:worker \d+|control) \(generation (\d+)\)$")


def await_reload(there: Running, number: int) -> None:
    done, output = f"reload done: generation {number} serves", there.program.output
    wait_for(lambda: done in output.read_text(), PATIENCE_SECONDS, f"generation {number}")


class Generations:
    """A program with two old generations: 3 sessions of the first, 2 of the second, 1 of now."""

    def __init__(self, there: Running, service: int) -> None:
        self.there = there
        self.service = service
        self.clients = {1: there.connect(there.ports[0], 3)}
        self.reload(2)
        self.clients[2] = there.connect(there.ports[0], 2)
        text = there.program.file.read_text()
        there.program.write(text.replace("listen one", "listen named").replace(" b 1", " z 1"))
        self.reload(3)
        self.clients[3] = there.connect(there.ports[1], 1)
        shown_by_now(there, self.all_clients())

    def reload(self, number: int) -> None:
        self.there.program.process.send_signal(signal.SIGUSR2)
        await_reload(self.there, number)
        wait_for(
            lambda: f"OldGenerations: {number - 1}\n" in self.there.ask("show info"),
            PATIENCE_SECONDS,
            "control knows of it",
        )

    def all_clients(self) -> list[socket.socket]:
        return [client for clients in self.clients.values() for client in clients]

    def lines(self, words: str = "") -> dict[int, str]:
        """`show sess`, by the port of the client."""
        text = self.there.ask(f"show sess {words}")
        lines = [line for line in text.splitlines() if ID.match(line)]
        return {int(line.partition("src=127.0.0.1:")[2].split()[0]): line for line in lines}

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.service}{path}") as answer:
            text: str = answer.read().decode()
            return text


@pytest.fixture(scope="module")
def generations(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Generations]:
    service = free_port()
    with running(tmp_path_factory.mktemp("old"), 1, SERVICE.format(port=service)) as there:
        yield Generations(there, service)


def rows_of(text: str) -> list[list[str]]:
    """The cells of each line; `0 [failed: 0]` is one."""
    cells = re.compile(r"# [a-z ]+|\d+ \[failed: \d+\]|\S+")
    return [cells.findall(line) for line in text.splitlines()]


def test_show_proc_has_a_line_for_each_generation(generations: Generations) -> None:
    program = generations.there.program
    text = generations.there.ask("show proc")
    header, master, workers, newest, old_workers, second, first, programs, _ = rows_of(text)
    assert header == ["#<PID>", "<type>", "<reloads>", "<uptime>", "<version>"]
    assert (workers, old_workers) == (["# workers"], ["# old workers"])
    assert programs == ["# programs"]
    assert master[:3] == [str(program.process.pid), "master", "2 [failed: 0]"]
    assert [int(newest[0])] == program.children()["control"]
    pids = {int(row[0]) for row in (first, second)}
    assert len(pids) == 2
    assert pids < set(program.children()["worker"])
    assert [row[1:3] for row in (newest, second, first)] == [
        *(["worker", "0"], ["worker", "1"], ["worker", "2"])
    ]
    assert all(re.fullmatch(r"0d00h\d\dm\d\ds", row[3]) for row in (master, newest, second, first))
    assert len({row[4] for row in (master, newest, second, first)}) == 1
    debug = rows_of(generations.there.ask("show proc debug"))
    assert debug[0][5:] == ["<generation>", "<processes>", "<age>", "<sessions>", "<hard-stop>"]
    assert len(debug[1]) == 5
    assert (debug[3][5], debug[3][7:]) == ("3", ["-", "1", "-"])
    for row, number, sessions in ((debug[5], "2", "2"), (debug[6], "1", "3")):
        assert (row[5], row[6], row[8]) == (number, "1", sessions)
        assert re.fullmatch(r"0d00h\d\dm\d\ds", row[7])
        assert re.fullmatch(r"0d00h5\dm\d\ds", row[9])


def test_show_info_keeps_its_own_numbers_and_adds_those_of_old_ones(
    generations: Generations,
) -> None:
    text = generations.there.ask("show info")
    for line in ("CurrConns: 1", "Stopping: 0", "OldGenerations: 2", "OldConns: 5"):
        assert f"{line}\n" in text
    assert "1001.OldConns.1:MGP:u32:5\n" in generations.there.ask("show info typed")


def test_metrics_page_and_titles_name_old_generations(generations: Generations) -> None:
    text = generations.get("/metrics")
    for number, sessions in ((1, 3), (2, 2)):
        labels = f'{{generation="{number}"}}'
        assert f"millrace_old_generation_sessions{labels} {sessions}\n" in text
        for name, most in (("age", 600), ("hard_stop", 3_600)):
            value = re.search(rf"millrace_old_generation_{name}_seconds{labels} (\S+)\n", text)
            assert value is not None
            assert 0 <= float(value[1]) <= most
    page = generations.get("/page")
    assert "<h2>Old generations <" in page
    assert ">generation 1<" in page
    assert ">generation 3<" not in page
    program, found = generations.there.program, []
    for pid in (pid for pids in program.children().values() for pid in pids):
        title = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
        match = TITLE.match(title)
        found += [int(match[1])] if match else []
    assert sorted(found) == [1, 2, 3, 3]


def test_sessions_of_old_generations_are_shown_and_say_so(generations: Generations) -> None:
    lines = generations.lines()
    assert set(lines) == ports_of(generations.all_clients())
    for number, clients in generations.clients.items():
        for port in ports_of(clients):
            assert lines[port].startswith(f"0x{number:02x}")
            ends = " c_exp=" if number == 3 else f" c_exp= generation={number}"
            assert lines[port].endswith(ends)
    port = min(ports_of(generations.clients[1]))
    one = lines[port].partition(":")[0]
    text = generations.there.ask(f"show sess {one}")
    assert f"source=127.0.0.1:{port}\n" in text
    assert " generation=1\n" in text
    assert text.count("  frontend=") == 1
    assert generations.there.ask("show sess all").count("  frontend=") == 6


def test_words_mean_what_each_generation_calls_so(generations: Generations) -> None:
    """The first proxy has another name in the newest file, and so has a server of the second."""
    of_old = ports_of(generations.clients[1] + generations.clients[2])
    for words in ("backend one", "frontend one", "server one/a"):
        assert set(generations.lines(words)) == of_old
    assert set(generations.lines("backend two")) == ports_of(generations.clients[3])
    assert set(generations.lines("backend named")) == set()
    ask = generations.there.ask
    assert ask("show sess backend nope") == "No such backend.\n\n"
    assert ask("show sess server one/nope") == "No such backend.\n\n"
    assert ask("shutdown sessions server two/nope") == "No such server.\n\n"


def test_one_that_is_stopped_is_named_and_the_others_answer(generations: Generations) -> None:
    text = generations.there.ask("show proc")
    pid = int(rows_of(text)[6][0])
    ask = generations.there.program.ask
    with generations.there.program.stand_still(pid):
        began = time.monotonic()
        text = ask("show sess")
        assert time.monotonic() - began < SESSIONS_SECONDS_MAX + PATIENCE_SECONDS / 2
    assert f"# worker 0 of generation 1 (process {pid}) does not answer" in text
    assert len(ID.findall(text)) == 3
    wait_for(lambda: len(ID.findall(ask("show sess"))) == 6, PATIENCE_SECONDS, "it goes on")


def test_a_successor_of_control_reaches_them_too(generations: Generations) -> None:
    program = generations.there.program
    (killed,) = program.children()["control"]
    os.kill(killed, signal.SIGKILL)
    wait_for(
        lambda: program.children().get("control", [killed]) != [killed],
        PATIENCE_SECONDS,
        "another control",
    )
    program.wait_until_answering()
    assert set(generations.lines()) == ports_of(generations.all_clients())
    assert "OldConns: 5\n" in generations.there.ask("show info")


def test_operators_end_them(generations: Generations) -> None:
    ask = generations.there.ask
    first = generations.clients[1][0]
    one = generations.lines()[first.getsockname()[1]].partition(":")[0]
    assert ask(f"shutdown session {one}") == "\n"
    assert first.recv(1) == b""
    assert ask(f"shutdown session {one}") == "No such session (use 'show sess').\n\n"
    wait_for(lambda: "OldConns: 4\n" in ask("show info"), PATIENCE_SECONDS, "one less")
    assert ask("shutdown sessions server one/a") == "\n"
    for client in generations.clients[1][1:] + generations.clients[2]:
        assert client.recv(1) == b""
    wait_for(lambda: "OldGenerations: 0\n" in ask("show info"), PATIENCE_SECONDS, "none is left")
    assert set(generations.lines()) == ports_of(generations.clients[3])
    assert "# old workers" not in ask("show proc")
    assert "millrace_old_generation_" not in generations.get("/metrics")
    assert "Old generations" not in generations.get("/page")


def opened(pid: int) -> tuple[int, int]:
    """Descriptors and mapped segments of a process."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return len(list(Path(f"/proc/{pid}/fd").iterdir())), maps.count("/memfd:millrace ")


def test_a_killed_one_is_missed_and_control_keeps_nothing_of_those_that_ended(
    tmp_path: Path,
) -> None:
    with running(tmp_path, 1) as there:
        made = there.connect(there.ports[0], 1)
        shown_by_now(there, made)
        (first,) = there.program.children()["control"]
        before = min(opened(first) for _ in range(100))  # a connection to it may be about to end
        wanted = before[0] + 2, before[1] + 1
        for number in range(2, 2 + sample(6, 50)):
            there.program.process.send_signal(signal.SIGUSR2)
            await_reload(there, number)
            wait_for(
                lambda: "OldGenerations: 1\n" in there.ask("show info"),
                PATIENCE_SECONDS,
                "the one with a session is left",
            )
            assert there.shown() == ports_of(made)
            (control,) = there.program.children()["control"]
            wait_for(
                lambda control=control: opened(control) == wanted,
                PATIENCE_SECONDS,
                "a bell and a segment",
            )
        old = int(rows_of(there.ask("show proc"))[5][0])
        os.kill(old, signal.SIGKILL)
        wait_for(lambda: not there.shown(), PATIENCE_SECONDS, "its session is gone")
        assert made[0].recv(1) == b""
        wait_for(lambda: opened(control) == before, PATIENCE_SECONDS, "its bell is closed")
        leave(made[0])
