"""Persistence by stick tables: the same clients, orders and deaths of servers as at HAProxy.

Servers are balanced by `first`, so that a client that goes elsewhere was sent there by an entry.
"""

from __future__ import annotations

import re
import socket
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program

HEAD = """global
  stats socket {folder}/s level admin
  nbthread 2
defaults
  mode tcp
  retries 1
  balance first
  timeout connect 2s
  timeout client 8s
  timeout server 8s
"""


class NamedServer:
    """Says its name and closes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = free_port()
        self.listening = socket.create_server(("127.0.0.1", self.port), backlog=128)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listening.accept()
                with client:
                    client.sendall(self.name.encode())

    def close(self) -> None:
        with suppress(OSError):
            self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()


class Place:
    """One program with its servers; notes what is seen."""

    def __init__(self, program: OneProgram, ports: dict[str, int]) -> None:
        self.program, self.ports = program, ports
        self.seen: list[object] = []

    def ask(self, section: str, host: int = 2) -> str:
        """Which server a client from 127.0.0.<host> hears."""
        with socket.socket() as client:
            client.settimeout(PATIENCE_SECONDS)
            client.bind((f"127.0.0.{host}", 0))
            client.connect(("127.0.0.1", self.ports[section]))
            try:
                heard = b"".join(iter(lambda: client.recv(100), b"")).decode()
            except ConnectionResetError:
                heard = ""
        self.seen.append((section, host, heard))
        return heard

    def order(self, command: str) -> None:
        self.seen.append((command, self.program.ask(command).strip()))

    def retries(self, section: str, server: str) -> None:
        """Note how often a server was tried again, and given up for another."""
        head, *rows = self.program.ask("show stat").removeprefix("# ").strip().splitlines()
        for row in rows:
            found = dict(zip(head.split(","), row.split(","), strict=False))
            if (found["pxname"], found["svname"]) == (section, server):
                self.seen.append((found["wretr"], found["wredis"], found["econ"]))

    def table(self, name: str) -> None:
        """Note a table without addresses and ages, in the order of keys."""
        said = self.program.ask(f"show table {name}")
        head, *rows = re.sub(r"0x\w+: | exp=\d+", "", said).strip().splitlines()
        self.seen.append((head, sorted(rows)))


def on_source(place: Place) -> None:
    place.ask("on", 2)
    place.ask("on", 2)
    place.order("set table on key 127.0.0.3 data.server_id 3")
    place.table("on")
    place.ask("on", 3)
    place.table("on")


def a_server_in_maintenance_and_back(place: Place) -> None:
    place.order("set table on key 127.0.0.4 data.server_id 2")
    place.ask("on", 4)
    place.order("set server on/s2 state maint")
    place.ask("on", 4)
    place.table("on")
    place.order("set server on/s2 state ready")
    place.ask("on", 4)
    place.table("on")


def a_server_that_drains_keeps_its_clients(place: Place) -> None:
    place.order("set table on key 127.0.0.5 data.server_id 2")
    place.ask("on", 5)
    place.order("set server on/s2 state drain")
    place.ask("on", 5)
    place.ask("on", 6)
    place.order("set server on/s2 state ready")


def a_server_that_is_not_to_be_named(place: Place) -> None:
    place.order("set table on key 127.0.0.7 data.server_id 4")
    place.ask("on", 7)
    place.table("on")
    place.order("set server on/s1 state maint")
    place.order("set server on/s2 state maint")
    place.order("set server on/s3 state maint")
    place.ask("on", 8)
    place.table("on")
    for name in ("s1", "s2", "s3"):
        place.order(f"set server on/{name} state ready")


def a_rule_for_servers_precedes(place: Place) -> None:
    place.order("set table use key 127.0.0.9 data.server_id 1")
    place.ask("use", 9)
    place.table("use")
    place.ask("use", 10)
    place.table("use")


def match_and_store_by_themselves(place: Place) -> None:
    place.ask("match", 2)
    place.table("match")
    place.order("set table match key 127.0.0.2 data.server_id 2")
    place.ask("match", 2)
    place.ask("store", 2)
    place.table("store")
    place.order("set table store key 127.0.0.2 data.server_id 2")
    place.ask("store", 2)
    place.table("store")


def conditions_and_fallbacks(place: Place) -> None:
    place.order("set table store key 127.0.0.11 data.server_id 2")
    place.ask("fall", 11)
    place.ask("fall", 12)
    place.table("fall")
    place.order("set table fall key 127.0.0.12 data.server_id 2")
    place.ask("fall", 12)
    place.order("set table fall key 127.0.0.2 data.server_id 2")
    place.ask("fall", 2)
    place.table("fall")


def another_section_s_table(place: Place) -> None:
    """By name where it has the name, else by id."""
    place.order("set server on/s1 state maint")
    place.ask("on", 20)
    place.order("set server on/s1 state ready")
    place.ask("named", 20)
    place.ask("on", 21)
    place.ask("numbered", 21)
    place.table("on")


def a_server_that_refuses(place: Place) -> None:
    place.order("set table gone key 127.0.0.2 data.server_id 2")
    place.ask("gone", 2)
    place.table("gone")
    place.order("set table again key 127.0.0.2 data.server_id 2")
    place.ask("again", 2)
    place.table("again")


def retries_of_a_named_server(place: Place) -> None:
    """They stay there until `option redispatch` says otherwise, though others have turns."""
    place.order("set table turns key 127.0.0.2 data.server_id 2")
    place.ask("turns", 2)
    place.table("turns")
    place.retries("turns", "s2")


def where_clients_come_to(place: Place) -> None:
    """Active and passive: one entry for all clients, which names the one that serves."""
    place.ask("dst", 2)
    place.order("set server dst/s1 state maint")
    place.ask("dst", 3)
    place.order("set server dst/s1 state ready")
    place.ask("dst", 4)
    place.table("dst")


def keys_of_all_types(place: Place) -> None:
    for name in ("str", "short", "int", "v6", "bin"):
        place.ask(name, 2)
        place.table(name)
    place.order("set table str key 127.0.0.3 data.server_id 2")
    place.ask("str", 3)
    place.order("set table v6 key ::ffff:127.0.0.3 data.server_id 2")
    place.ask("v6", 3)
    place.order(f"set table int key {(127 << 24) + 3} data.server_id 2")
    place.ask("int", 3)


SCENES = (
    on_source,
    a_server_in_maintenance_and_back,
    a_server_that_drains_keeps_its_clients,
    a_server_that_is_not_to_be_named,
    a_rule_for_servers_precedes,
    match_and_store_by_themselves,
    conditions_and_fallbacks,
    another_section_s_table,
    a_server_that_refuses,
    retries_of_a_named_server,
    where_clients_come_to,
    keys_of_all_types,
)
TWO = "server s1 <s1>", "server s2 <s2>"
REFUSES = "server s1 <s1>", "server s2 <gone>"
IP = "stick-table type ip size 1k expire 1h"
SECTIONS = {
    "on": (IP, "stick on src", *TWO, "server s3 <s3>", "server s4 <s4> non-stick"),
    "use": (IP, "stick on src", "use-server s2 if {{ src 127.0.0.9 }}", *TWO),
    "match": (IP, "stick match src", *TWO),
    "store": (IP, "stick store-request src", *TWO),
    "fall": (
        IP,
        "stick match src table store",
        "stick on src if {{ src 127.0.0.11 127.0.0.12 }}",
        "stick store-request src",
        *TWO,
    ),
    "named": ("stick match src table on", "server x <s3>", "server s2 <s2>"),
    "numbered": ("stick match src table on", "server x <s3> id 5", "server y <s2> id 1"),
    "gone": (IP, "stick on src", *REFUSES),
    "again": (IP, "stick on src", "option redispatch", *REFUSES),
    "turns": (
        *(IP, "stick on src", "balance roundrobin", "retries 2", "option redispatch"),
        *REFUSES,
    ),
    "dst": (
        "stick-table type ip size 1",
        "stick on dst",
        "server s1 <s1>",
        "server s2 <s2> backup",
    ),
    "str": ("stick-table type string size 1k", "stick on src", *TWO),
    "short": ("stick-table type string len 4 size 1k", "stick on src", *TWO),
    "int": ("stick-table type integer size 1k", "stick on src", *TWO),
    "v6": ("stick-table type ipv6 size 1k", "stick on src", *TWO),
    "bin": ("stick-table type binary len 6 size 1k", "stick on src", *TWO),
}


def noted(name: str, folder: Path) -> list[object]:
    """All that a program shows in all scenes."""
    with ExitStack() as stack:
        servers = {number: NamedServer(f"s{number}") for number in range(1, 5)}
        for server in servers.values():
            stack.callback(server.close)
        ports = {section: free_port() for section in SECTIONS}
        text = HEAD
        for section, lines in SECTIONS.items():
            text += f"listen {section}\n  bind 127.0.0.1:{ports[section]}\n"
            text += "".join(f"  {line}\n" for line in lines)
        for number, server in servers.items():
            text = text.replace(f"<s{number}>", f"127.0.0.1:{server.port}")
        text = text.replace("<gone>", f"127.0.0.1:{free_port()}")
        program = stack.enter_context(one_program(PROGRAMS[name](), folder / name, text, {}))
        place = Place(program, ports)
        for scene in SCENES:
            place.seen.append(scene.__name__)
            scene(place)
        return place.seen


@pytest.mark.slow
def test_clients_stick_to_the_servers_of_haproxy(tmp_path: Path) -> None:
    ours, theirs = noted("millrace", tmp_path), noted("haproxy", tmp_path)
    assert len(ours) == len(theirs)
    scene = ""
    for own, other in zip(ours, theirs, strict=True):
        scene = own if isinstance(own, str) else scene
        assert own == other, scene
