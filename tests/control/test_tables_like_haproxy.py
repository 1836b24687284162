"""`show table`, `set table` and `clear table`: HAProxy's answers, levels and errors, one by one."""

from __future__ import annotations

import re
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.common import free_port
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program

CONFIGURATION = """global
  stats socket {folder}/s level admin
  stats socket {folder}/operator level operator
  stats socket {folder}/user level user
defaults
  mode tcp
  timeout connect 1s
  timeout client 5s
  timeout server 5s
frontend unused
  bind 127.0.0.1:PORT
  default_backend b
backend b
  stick-table type ip size 20 expire 1h
  stick on src
  server s1 127.0.0.1:1
  server s2 127.0.0.1:2 id 9
backend text
  stick-table type string len 10 size 1k expire 1m store gpc0,conn_rate(10s),bytes_in_cnt,gpt0 STORE
  stick store-request src
backend number
  stick-table type integer size 20 store sess_cnt,sess_rate(1h)
backend six
  stick-table type ipv6 size 20
backend bytes
  stick-table type binary len 4 size 20 store gpc0
backend arrays
  stick-table type string len 4 size 20 store gpc(3),gpt(2),gpc_rate(2,10s),http_fail_cnt
"""
ORDERS = (
    *("show table", "show table nosuch", "set table", "set table text", "set table text frob"),
    *("set table text key", "set table nosuch key x", "clear table", "clear table nosuch"),
    "show table text",
    "set table text key abc data.gpc0 3 data.gpt0 7",
    "set table text key abcdefghijklm data.conn_rate 3",
    "set table text key 1.2.3.4 data.http_req_rate 77 data.bytes_in_cnt 12345678901",
    "set table text key x data.gpc0 -1",
    "set table text key y data.gpc0 99999999999",
    *("show table", "show table text", "show table text key abc", "show table text key zzz"),
    *("show table text key", "show table text key abc more", "show table text frob"),
    "show table text data.gpc0 gt 2",
    "show table text data.gpc0 gt 2 data.gpt0 lt 3",
    "show table text data.gpc0 eq 3 data.gpt0 eq 7 data.bytes_in_cnt eq 0 data.gpc1 ne 1",
    "show table text data.gpc0 frob 2",
    *(
        "show table text data.gpc0 gt",
        "show table text data.gpc0 gt x",
        "show table text data.gpc0",
    ),
    *("show table text data.frob gt 2", "show table text data.gpc1 gt 2"),
    "show table text data.conn_rate ge 1",
    "show table text data.gpc0 gt 1 data.gpc0 gt 1 data.gpc0 gt 1 data.gpc0 gt 1 data.gpc0 gt 1",
    *("set table text key abc data.gpc0", "set table text key abc data.gpc0 x"),
    *("set table text key abc data.frob 3", "set table text key abc data.gpc1 3"),
    *("set table text key abc gpc0 3", "set table text key abc data.server_key s1"),
    "set table text key a\\ b",
    "show table text key a\\ b",
    *("clear table text key abc", "clear table text key abc", "clear table text key"),
    *("clear table text data.gpc0 gt 100", "show table text", "clear table text frob"),
    *("clear table text", "show table text"),
    *("set table b key 1.2.3.4 data.server_id 9", "set table b key 1.2.3.5 data.server_id 77"),
    *("show table b", "show table b data.server_id eq 9", "show table b key 1.2.3.4"),
    *("set table number key 5 data.sess_cnt 1 data.sess_rate 9", "set table number key -3"),
    *("set table number key x", "set table number key 99999999999", "show table number"),
    *("set table six key ::1", "set table six key 2001:db8:0:0::5", "set table six key abc"),
    *("show table six", "show table six key 2001:db8::5", "clear table six key ::2"),
    *("set table bytes key abcd", "show table bytes key abcd", "clear table bytes key abcd"),
    *("set table arrays key a data.gpc 4", "set table arrays key a data.gpt0 4"),
    *("set table arrays key c data.gpc_rate 5", "show table arrays"),
    "show table arrays data.gpc gt 0",
)
LEVELS = (
    *("show table", "show table text", "show table text key k", "set table text key k"),
    *("clear table text key k",),
)


def plain(answer: str) -> list[str]:
    """Without addresses and ages, rows in the order of keys."""
    lines = re.sub(r"0x\w+: | exp=\d+", "", answer).strip().splitlines()
    return lines[:1] + sorted(lines[1:])


def at(program: OneProgram, level: str, order: str) -> str:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(program.folder / level))
        client.sendall(order.encode() + b"\n")
        return b"".join(iter(lambda: client.recv(65_536), b"")).decode()


def answers(name: str, folder: Path) -> list[tuple[str, list[str]]]:
    with ExitStack() as stack:
        text = CONFIGURATION.replace("PORT", str(free_port())).replace(
            "STORE", "store http_req_rate(5s)"
        )
        program = stack.enter_context(one_program(PROGRAMS[name](), folder / name, text, {}))
        found = [(order, plain(program.ask(order))) for order in ORDERS]
        for level in ("operator", "user"):
            found += [(f"{level}: {order}", plain(at(program, level, order))) for order in LEVELS]
        return found


@pytest.mark.slow
def test_orders_about_tables_are_answered_as_by_haproxy(tmp_path: Path) -> None:
    ours, theirs = answers("millrace", tmp_path), answers("haproxy", tmp_path)
    wrong = [
        f"{order}\n  we: {own}\n  it: {other}"
        for (order, own), (_, other) in zip(ours, theirs, strict=True)
        if own != other
    ]
    assert not wrong, "\n".join(wrong)
