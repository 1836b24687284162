"""`balance hash` and `balance rdp-cookie`: each value goes to the server that HAProxy gives it."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.relay.rules.test_persistence_against_haproxy import rdp
from tests.support.common import PATIENCE_SECONDS, free_port
from tests.support.differential.one_program import PROGRAMS, one_program
from tests.support.servers import Server

pytestmark = pytest.mark.slow
HEAD = """\
global
  stats socket {folder}/s level admin
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 9s
  timeout server 9s
"""
WAIT = (
    "tcp-request inspect-delay 5s",
    "tcp-request content set-var(sess.text) req.payload(0,16)",
    "tcp-request content set-var(sess.length) req.len",
    "tcp-request content accept if {{ req.len ge 16 }}",
)
TEXT = "balance hash var(sess.text)"
RDP = "balance rdp-cookie"
CONSISTENT = "hash-type consistent"
SECTIONS: dict[str, tuple[str, ...]] = {
    "text": (TEXT,),
    **{f"text_{name}": (TEXT, f"hash-type map-based {name}") for name in ("djb2", "wt6", "crc32")},
    "mixed": (TEXT, "hash-type map-based sdbm avalanche"),
    "mixed_crc": (TEXT, "hash-type map-based crc32 avalanche"),
    "ring": (TEXT, CONSISTENT),
    "ring_plain": (TEXT, f"{CONSISTENT} djb2"),
    "ring_factor": (TEXT, CONSISTENT, "hash-balance-factor 5000"),
    "address": ("balance hash src",),
    "masked": ("balance hash src,ipmask(24)", CONSISTENT),
    "number": ("balance hash var(sess.length),add(3)",),
    "truth": ("balance hash bool(1)",),
    "empty": ("balance hash str()",),
    "upper": ("balance hash var(sess.text),hex,lower",),
    "none": ("balance hash var(sess.never)",),
    "none_ring": ("balance hash var(sess.never)", CONSISTENT),
    "rdp": (RDP,),
    "rdp_named": (f"{RDP}(user)",),
    "rdp_ring": (RDP, CONSISTENT),
    "rdp_crc": (RDP, "hash-type map-based crc32"),
}
SENT = (
    *(f"text number {number:04}".encode() for number in range(24)),
    *(rdp(f"mstshash=user{number}") for number in range(12)),
    *(rdp(f"user=name{number}") for number in range(6)),
    rdp("mstshash="),
    rdp("other=thing"),
)


def servers_of(program: str, folder: Path, ports: list[int]) -> dict[str, str]:
    """For each section the servers that the clients came to, one after the other."""
    fronts = {name: free_port() for name in SECTIONS}
    text = HEAD
    for name, lines in SECTIONS.items():
        text += f"listen {name}\n  bind 127.0.0.1:{fronts[name]}\n"
        text += "".join(f"  {line}\n" for line in (*WAIT, *lines))
        for number, port in enumerate(ports):
            text += f"  server s{number} 127.0.0.1:{port} weight {number + 1}\n"
    found = {}
    with one_program(PROGRAMS[program](), folder / program, text, {}):
        for name, port in fronts.items():
            found[name] = ""
            for number, sent in enumerate(SENT):
                with socket.socket() as client:
                    client.settimeout(PATIENCE_SECONDS)
                    client.bind((f"127.0.{number}.{number + 2}", 0))
                    client.connect(("127.0.0.1", port))
                    client.sendall(sent)
                    found[name] += client.recv(1).decode()
    return found


def naming(number: int) -> Server:
    """A server that says its number."""
    return Server(lambda client: client.sendall(b"%d" % number))


def test_values_go_to_the_servers_of_haproxy(tmp_path: Path) -> None:
    with ExitStack() as stack:
        made = [stack.enter_context(naming(number)) for number in range(5)]
        ports = [server.address[1] for server in made]
        ours, theirs = (servers_of(each, tmp_path, ports) for each in ("millrace", "haproxy"))
    wrong = {name: (ours[name], theirs[name]) for name in SECTIONS if ours[name] != theirs[name]}
    assert not wrong
    assert len(set(ours["text"])) > 3
    assert len(set(ours["rdp"])) > 3
