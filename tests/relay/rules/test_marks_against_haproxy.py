"""Marks and services of packets that rules set, on the sockets of both programs; log levels."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program
from tests.support.relay.held_sockets import marks_toward
from tests.support.servers import Server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.getuid() != 0, reason="marks need CAP_NET_ADMIN"),
]
HEAD = """\
global
  stats socket {folder}/s level admin
  log {log} local0 debug
defaults
  mode tcp
  log global
  log-format "%ft %ST"
  timeout connect 5s
  timeout client 9s
  timeout server 9s
""".replace("%ST", "%ts")
CON, SES, CNT, RSP = (
    *(f"tcp-request {stage}" for stage in ("connection", "session", "content")),
    "tcp-response content",
)
SECTIONS: dict[str, tuple[str, ...]] = {
    "plain": (),
    "mark_con": (f"{CON} set-mark 17",),
    "mark_ses": (f"{SES} set-mark 0x12",),
    "mark_cnt": (f"{CNT} set-mark 023",),
    "mark_rsp": (f"{RSP} set-mark 4294967295",),
    "mark_below": (f"{CON} set-mark -2",),
    "tos_con": (f"{CON} set-tos 0x20",),
    "tos_ses": (f"{SES} set-tos 64",),
    "tos_cnt": (f"{CNT} set-tos 0xb8",),
    "tos_rsp": (f"{RSP} set-tos 8",),
    "tos_odd": (f"{CNT} set-tos 0x23",),
    "tos_large": (f"{CNT} set-tos 0x128",),
    "tos_six": ("<six>", f"{CON} set-tos 0x28", f"{CON} set-mark 5"),
    "tos_mapped": ("<mapped>", f"{CNT} set-tos 0x30"),
    "unless": (f"{CNT} set-mark 9 unless {{{{ src 127.0.0.0/8 }}}}",),
    "last": (f"{CNT} set-mark 1", f"{CNT} set-mark 2"),
    "nice": (f"{CNT} set-nice 5", f"{RSP} set-nice -3", f"{CNT} set-tos 0x40"),
}
LEVELS: dict[str, tuple[str, ...]] = {
    **{
        level: (f"{CNT} set-log-level {level}",)
        for level in ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
    },
    "silent": (f"{CNT} set-log-level silent",),
    "answer": (f"{RSP} set-log-level alert",),
    "both": (f"{CNT} set-log-level silent", f"{RSP} set-log-level crit"),
    "refused": (f"{CNT} set-log-level notice", f"{CNT} reject"),
    "separate": (f"{CNT} set-log-level debug", f"{CNT} reject", "option log-separate-errors"),
    "normal": (f"{CNT} set-log-level alert", "option dontlog-normal"),
}
TOLD = LEVELS.keys() - {"silent", "normal"}


def answer(connection: socket.socket) -> None:
    """One line for each."""
    while received := connection.recv(100):
        connection.sendall(received)


def bind_of(lines: tuple[str, ...], port: int) -> tuple[str, tuple[str, int]]:
    """The address in the file, and where the client connects."""
    if lines[:1] == ("<six>",):
        return f"[::1]:{port}", ("::1", port)
    if lines[:1] == ("<mapped>",):
        return f":::{port} v4v6", ("127.0.0.1", port)
    return f"127.0.0.1:{port}", ("127.0.0.1", port)


def written(sections: dict[str, tuple[str, ...]], ports: dict[str, int], there: int) -> str:
    text = HEAD
    for name, lines in sections.items():
        text += f"listen {name}\n  bind {bind_of(lines, ports[name])[0]}\n"
        text += "".join(f"  {line}\n" for line in lines if line[0] != "<")
        text += f"  server s 127.0.0.1:{there}\n"
    return text


def marks_of(program: str, folder: Path, there: int) -> dict[str, object]:
    ports = {name: free_port() for name in SECTIONS}
    found: dict[str, object] = {}
    with one_program(PROGRAMS[program](), folder / program, written(SECTIONS, ports, there), {}):
        for name, lines in SECTIONS.items():
            where = bind_of(lines, ports[name])[1]
            with closing(socket.create_connection(where, PATIENCE_SECONDS)) as client:
                client.sendall(b"hello")
                assert client.recv(100) == b"hello"
                peer = client.getsockname()[:2]
                if lines[:1] == ("<mapped>",):
                    peer = (f"::ffff:{peer[0]}", peer[1])
                found[name] = marks_toward(peer)
    return found


def test_packets_to_clients_are_marked_as_rules_say(tmp_path: Path) -> None:
    with Server(answer) as server:
        port = server.address[1]
        ours, theirs = (marks_of(each, tmp_path, port) for each in ("millrace", "haproxy"))
    assert ours == theirs
    assert ours["mark_con"] == (17, 0, -1)
    assert (ours["tos_six"], ours["tos_mapped"]) == ((5, 0, 0x28), (0, 0x30, 0))


def levels_of(program: str, folder: Path, there: int) -> dict[str, list[int]]:
    ports = {name: free_port() for name in LEVELS}
    text = written(LEVELS, ports, there)
    with one_program(PROGRAMS[program](), folder / program, text, {}) as made:
        for name in (*LEVELS, "info"):
            with closing(socket.create_connection(("127.0.0.1", ports[name]))) as client:
                client.settimeout(PATIENCE_SECONDS)
                client.sendall(b"hello")
                try:
                    client.recv(100)
                except ConnectionError:
                    continue
            wait_for(lambda: quiet(made), PATIENCE_SECONDS, "the session ends")
        wait_for(lambda: len(lines_of(made, "info")) == 2, PATIENCE_SECONDS, "the last line")
        wait_for(
            lambda: all(lines_of(made, name) for name in TOLD),
            PATIENCE_SECONDS,
            "lines of all workers",
        )
        return {name: lines_of(made, name) for name in LEVELS}


def quiet(made: OneProgram) -> bool:
    head, *rows = made.ask("show stat").removeprefix("# ").strip().splitlines()
    place = head.split(",").index("scur")
    return all(row.split(",")[place] in ("", "0") for row in rows)


def lines_of(made: OneProgram, name: str) -> list[int]:
    made.read()
    return [level for level, text in made.lines if text.partition("]: ")[2].startswith(f"{name} ")]


def test_lines_have_the_level_that_rules_say(tmp_path: Path) -> None:
    with Server(answer) as server:
        port = server.address[1]
        ours, theirs = (levels_of(each, tmp_path, port) for each in ("millrace", "haproxy"))
    assert ours == theirs
    assert (ours["emerg"], ours["silent"], ours["both"]) == ([0], [], [2])


SERVER_SIDE = """\
global
  stats socket {folder}/s level admin
defaults
  mode tcp
  timeout connect 5s
  timeout client 9s
  timeout server 9s
listen edge
  bind 127.0.0.1:<edge>
  tcp-request content set-var(sess.mark) int(40),add(2)
  tcp-request content set-bc-mark var(sess.mark)
  tcp-request content set-bc-tos 0x48
  tcp-request content set-fc-mark 0x7
  tcp-request content set-fc-tos src_port,mul(0),add(16)
  server s 127.0.0.1:<there>
"""


def test_packets_to_servers_are_marked_as_rules_say(tmp_path: Path) -> None:
    edge = free_port()
    with Server(answer) as server:
        text = SERVER_SIDE.replace("<edge>", str(edge)).replace("<there>", str(server.address[1]))
        with (
            one_program(PROGRAMS["millrace"](), tmp_path / "m", text, {}),
            closing(socket.create_connection(("127.0.0.1", edge), PATIENCE_SECONDS)) as client,
        ):
            client.sendall(b"hello")
            assert client.recv(100) == b"hello"
            assert marks_toward(server.address) == (42, 0x48, -1)
            assert marks_toward(client.getsockname()) == (7, 16, -1)


RETRYING = """\
global
  stats socket {folder}/s level admin
defaults
  mode tcp
  retries 0
  timeout connect 20ms
  timeout client 9s
  timeout server 9s
listen edge
  bind 127.0.0.1:<edge>
  tcp-request content set-retries 3 if {{ src 127.0.0.2 }}
  tcp-request content set-retries src_port,mul(0),add(2) if {{ src 127.0.0.3 }}
  server s 127.0.0.1:<gone>
"""


def test_a_rule_says_how_often_a_server_is_tried_again(tmp_path: Path) -> None:
    edge = free_port()
    text = RETRYING.replace("<edge>", str(edge)).replace("<gone>", str(free_port()))
    with one_program(PROGRAMS["millrace"](), tmp_path / "m", text, {}) as made:
        for host, retries in ((1, 0), (2, 3), (3, 5)):
            with socket.socket() as client:
                client.settimeout(PATIENCE_SECONDS)
                client.bind((f"127.0.0.{host}", 0))
                client.connect(("127.0.0.1", edge))
                assert client.recv(1) == b""
            head, *rows = made.ask("show stat").removeprefix("# ").strip().splitlines()
            row = dict(zip(head.split(","), rows[-1].split(","), strict=False))
            assert (row["svname"], row["wretr"]) == ("BACKEND", str(retries))
