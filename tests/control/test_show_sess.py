"""`show sess` over several workers, pages, filters, and workers that do not answer."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from pathlib import Path

from shm.dumps import PAGE_RECORDS
from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.control.sessions import (
    ID,
    SOURCE,
    Running,
    leave,
    ports_of,
    running,
    shown_by_now,
)

TOLD_IN_A_TURN = 16  # SLICE_TOLD of relay/dump/dump.pxd


def test_sessions_of_all_workers_on_several_pages(tmp_path: Path) -> None:
    with running(tmp_path, 2) as there:
        clients = there.connect(there.ports[0], 3 * PAGE_RECORDS)
        shown_by_now(there, clients)
        text = there.ask("show sess")
        assert set(map(int, SOURCE.findall(text))) == ports_of(clients)
        ids = ID.findall(text)
        assert len(set(ids)) == len(ids) == len(clients)
        assert {each[4:6] for each in ids} <= {"00", "01"}
        for client in clients[::2]:
            leave(client)
        left = [client for client in clients if client.fileno() >= 0]
        wait_for(lambda: there.shown() == ports_of(left), PATIENCE_SECONDS, "half are gone")


def test_a_turn_of_the_relay_tells_of_few(tmp_path: Path) -> None:
    """What is asked of the kernel for each takes time, and clients wait for the end of a turn."""
    with running(tmp_path, 1) as there:
        shown_by_now(there, there.connect(there.ports[0], 20 * TOLD_IN_A_TURN))
        before = turns(there)
        there.ask("show sess")
        assert turns(there) - before >= 20


def turns(there: Running) -> int:
    """Of the only relay."""
    said = re.search(r"^loops: (\d+)", there.ask("show activity"), re.MULTILINE)
    assert said is not None
    return int(said[1])


def test_words_narrow_the_list(tmp_path: Path) -> None:
    with running(tmp_path, 2) as there:
        first, second = there.connect(there.ports[0], 3), there.connect(there.ports[1], 4)
        shown_by_now(there, first + second)
        assert there.shown("backend one") == there.shown("frontend one") == ports_of(first)
        assert there.shown("server one/a") == ports_of(first)
        of_servers = [there.shown(f"server two/{name}") for name in ("b", "c")]
        assert of_servers[0] | of_servers[1] == ports_of(second)
        assert not of_servers[0] & of_servers[1]
        assert there.shown("older 10m") == set()
        assert there.shown("backend two older 1ms") == ports_of(second)
        ask = there.ask
        assert ask("show sess backend one server one/a") == (
            "Only one of backend, frontend or server may be set.\n\n"
        )
        assert ask("show sess backend nope") == "No such backend.\n\n"
        assert ask("show sess frontend nope") == "No such frontend.\n\n"
        assert ask("show sess server one") == "Require 'backend/server'.\n\n"
        for words in ("nope", "backend", "older", "all nope", "susp x"):
            assert ask(f"show sess {words}").startswith("usage: show sess "), words
        assert "is not a time" in ask("show sess older x")
        assert "older <age>" in ask("show sess help")
        assert ask("show sess all").count("  frontend=") == 7


def test_an_id_names_one_session_only(tmp_path: Path) -> None:
    """Also where the next session lies in the same place."""
    with running(tmp_path, 1) as there:
        seen: set[str] = set()
        for _ in range(20):
            clients = there.connect(there.ports[0], 1)
            shown_by_now(there, clients)
            (one,) = ID.findall(there.ask("show sess"))
            assert one not in seen
            for late in seen:
                assert there.ask(f"shutdown session {late}").startswith("No such session")
                assert there.ask(f"show sess {late}") == "Session not found.\n\n"
            seen.add(one)
            leave(clients[0])
            wait_for(lambda: not there.shown(), PATIENCE_SECONDS, "it is gone")


def test_an_id_of_no_generation_is_no_session(tmp_path: Path) -> None:
    with running(tmp_path, 1) as there:
        shown_by_now(there, there.connect(there.ports[0], 1))
        (one,) = ID.findall(there.ask("show sess"))
        other = f"0x02{one[4:]}"
        assert there.ask(f"shutdown session {other}").startswith("No such session")
        assert there.ask(f"show sess {other}") == "Session not found.\n\n"


def test_suspicious_sessions_have_no_time_out_that_runs(tmp_path: Path) -> None:
    """As HAProxy 3.x: all that have one are left out (management manual 9.3, `show sess`)."""
    with running(tmp_path, 1) as there:
        first = there.connect(there.ports[0], 2)
        shown_by_now(there, first)
        assert there.shown("susp") == set()
        text = there.program.file.read_text()
        there.program.write(
            text.replace("timeout client 600s", "").replace("timeout server 600s", "")
        )
        there.program.process.send_signal(signal.SIGUSR2)
        wait_for(lambda: "OldConns: 2" in there.ask("show info"), PATIENCE_SECONDS, "the reload")
        second = there.connect(there.ports[1], 2)
        shown_by_now(there, second)
        assert there.shown("susp") == ports_of(second)
        assert there.ask("show sess all susp backend two").count("  frontend=") == 2
        assert there.shown("susp backend one") == set()


def at_both_workers(there: Running) -> list[socket.socket]:
    """Clients of each of two workers: one that is ready first serves those of the other as well."""
    clients: list[socket.socket] = []

    def come() -> bool:
        clients.extend(there.connect(there.ports[0], 5))
        shown_by_now(there, clients)
        return {each[4:6] for each in ID.findall(there.ask("show sess"))} == {"00", "01"}

    wait_for(come, PATIENCE_SECONDS, "both workers have sessions")
    return clients


def test_a_worker_that_does_not_answer_is_named(tmp_path: Path) -> None:
    with running(tmp_path, 2) as there:
        clients = at_both_workers(there)
        all_ids = ID.findall(there.ask("show sess"))
        of_first = {each for each in all_ids if each[4:6] == "00"}
        of_second = next(each for each in all_ids if each[4:6] == "01")
        told = re.search(r"worker=1 \(pid=(\d+)\)", there.ask(f"show sess {of_second}"))
        assert told is not None
        stopped = int(told[1])
        with there.program.stand_still(stopped):
            ask = there.program.ask
            wait_for(
                lambda: set(ID.findall(ask("show sess"))) == of_first,
                PATIENCE_SECONDS,
                "the other worker answers",
            )
            text = ask("show sess")
            assert f"# worker 1 (process {stopped}) does not answer" in text
            answer = ask("shutdown sessions server one/a")
            assert f"Worker 1 (process {stopped}) does not answer; please try again.\n" in answer
        assert there.ask("shutdown sessions server one/a") == "\n"
        wait_for(lambda: not there.shown(), PATIENCE_SECONDS, "all are ended")
        for client in clients:
            assert client.recv(1) == b""


def test_a_list_goes_on_with_the_next_worker_and_the_next_control(tmp_path: Path) -> None:
    """Whichever process is killed, the next answer is right."""
    with running(tmp_path, 1) as there:
        shown_by_now(there, there.connect(there.ports[0], 3))
        for kind in ("control", "worker", "control"):
            (killed,) = there.program.children()[kind]
            os.kill(killed, signal.SIGKILL)

            def replaced(kind: str = kind, killed: int = killed) -> bool:
                return there.program.children().get(kind, [killed]) != [killed]

            wait_for(replaced, PATIENCE_SECONDS, f"another {kind}")
            there.program.wait_until_answering()
            clients = there.connect(there.ports[1], 2)
            shown_by_now(there, clients)


def test_many_lists_at_the_same_time_are_whole(tmp_path: Path) -> None:
    with running(tmp_path, 1) as there:
        clients = there.connect(there.ports[0], 2 * PAGE_RECORDS)
        shown_by_now(there, clients)
        wrong: list[str] = []

        def look() -> None:
            for _ in range(5):
                text = there.ask("show sess")
                if set(map(int, SOURCE.findall(text))) != ports_of(clients):
                    wrong.append(text[:200])

        readers = [threading.Thread(target=look) for _ in range(4)]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        assert not wrong


def test_a_worker_that_has_ended_is_not_waited_for(tmp_path: Path) -> None:
    """In a soft stop those without sessions end at once."""
    with running(tmp_path, 2) as there:
        clients = there.connect(there.ports[0], 1)
        shown_by_now(there, clients)
        there.program.process.send_signal(signal.SIGUSR1)
        wait_for(
            lambda: len(there.program.children()["worker"]) == 1, PATIENCE_SECONDS, "one is left"
        )
        wait_for(  # until the supervisor has taken note of its end it is asked
            lambda: "does not answer" not in there.program.ask("show sess"),
            PATIENCE_SECONDS,
            "it is not asked",
        )
        (one,) = ID.findall(there.program.ask("show sess"))
        there.program.ask(f"shutdown session {one}")  # the last one: all ends with it
        assert clients[0].recv(1) == b""
