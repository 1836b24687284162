"""Addresses that rules set: what servers, logs, conditions, tables and the balance then know."""

from __future__ import annotations

import re
import socket
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program
from tests.support.servers import Server

pytestmark = pytest.mark.slow
HEAD = """\
global
  stats socket {folder}/s level admin
  log {log} local0
  nbthread 2
defaults
  mode tcp
  log global
  log-format "%ft %ci:%cp %fi:%fp %[src]:%[src_port] %[dst]:%[dst_port] %[var(sess.a)] %s %tsc"
  timeout connect 5s
  timeout client 9s
  timeout server 9s
"""
V1, V2 = "server s <s> send-proxy", "server s <s> send-proxy-v2"
CON, SES, CNT = (f"tcp-request {stage}" for stage in ("connection", "session", "content"))
PORTS = (f"{CON} set-src-port int(7)", f"{CON} set-dst-port int(8)")
PEER = f"{CNT} set-var(sess.a) fc_src"
OWN = f"{CNT} set-var(sess.a) fc_dst"
HEADER = b"PROXY TCP4 198.51.100.1 198.51.100.2 1000 2000\r\n"
SECTIONS: dict[str, tuple[str, ...]] = {
    "plain": (PEER, V1),
    **{
        f"{name}_{action}": (f"{stage} {action} {value}", PEER, V1)
        for name, stage in (("con", CON), ("ses", SES), ("cnt", CNT))
        for action, value in (
            ("set-src", "ipv4(192.0.2.1)"),
            ("set-src-port", "int(4000)"),
            ("set-dst", "ipv4(192.0.2.2)"),
            ("set-dst-port", "int(66000)"),
        )
    },
    "con_dst_peer": (f"{CON} set-dst ipv4(192.0.2.2)", OWN, V1),
    "ses_dst_peer": (f"{SES} set-dst ipv4(192.0.2.2)", OWN, V1),
    "one_by_one": (
        f"{CON} set-src ipv4(192.0.2.1)",
        f"{SES} set-src src,ipmask(24)",
        f"{CNT} set-src-port src_port,mul(0),add(7)",
        f"{CNT} set-src-port src_port,add(1) if {{{{ src 192.0.2.0 }}}}",
        PEER,
        V1,
    ),
    "six": (f"{CON} set-src ipv6(2001:db8::1)", PEER, V1),
    "six_v2": (*PORTS, f"{CON} set-src ipv6(2001:db8::1)", PEER, V2),
    "six_both": (f"{CON} set-src ipv6(2001:db8::1)", f"{CNT} set-dst ipv6(2001:db8::2)", V1),
    "six_both_v2": (
        *PORTS,
        f"{SES} set-src ipv6(2001:db8::1)",
        f"{CNT} set-dst ipv6(2001:db8::2)",
        V2,
    ),
    "back_again": (f"{CON} set-src ipv6(2001:db8::1)", f"{CNT} set-src ipv4(192.0.2.4)", V1),
    "text": (f"{CNT} set-src str(192.0.2.9)", V1),
    "text_six": (*PORTS, f"{CNT} set-src str(2001:db8::9)", V2),
    "no_address": (f"{CNT} set-src str(nonsense)", V1),
    "number": (f"{CNT} set-src int(3221225985)", V1),
    "truth": (f"{CNT} set-src bool(1)", V1),
    "no_number": (f"{CNT} set-src-port str(nonsense)", V1),
    "nothing": (f"{CNT} set-src var(sess.never)", V1),
    "variable": (f"{CON} set-var(sess.b) str(192.0.2.8)", f"{CNT} set-src var(sess.b)", V1),
    "bytes_too_early": (f"{CON} set-src-port req.len", f"{SES} set-src-port req.len", V1),
    "bytes": (
        "tcp-request inspect-delay 5s",
        f"{CNT} reject if {{{{ req.payload(0,3) -m str NOT }}}}",  # waits for all that come
        f"{CNT} set-src-port req.len,add(1000)",
        V1,
    ),
    "condition": (f"{CNT} set-src ipv4(192.0.2.1) if {{{{ src 127.0.0.9 }}}}", V1),
    "refused": (f"{CON} set-src ipv4(192.0.2.1)", f"{CNT} reject if {{{{ src 192.0.2.1 }}}}", V1),
    "refused_at_once": (
        f"{CON} set-src ipv4(192.0.2.1)",
        f"{CON} reject if {{{{ src 192.0.2.1 }}}}",
        V1,
    ),
    "by_peer": (
        f"{SES} set-src ipv4(192.0.2.1)",
        f"{CNT} reject if {{{{ fc_src 192.0.2.1 }}}}",
        V1,
    ),
    "by_peer_con": (
        f"{CON} set-src ipv4(192.0.2.1)",
        f"{CNT} reject if {{{{ fc_src 192.0.2.1 }}}}",
        V1,
    ),
    "headed_con": ("<headed>", f"{CON} set-src ipv4(192.0.2.1)", PEER, V1),
    "headed_con_dst": ("<headed>", f"{CON} set-dst-port int(9)", OWN, V1),
    "headed_ses": ("<headed>", f"{SES} set-src ipv4(192.0.2.1)", PEER, V1),
    "headed_cnt": ("<headed>", f"{CNT} set-dst-port int(7)", PEER, V1),
    "named": ("<unix>", f"{CNT} set-src-port int(5)", V1),
    "named_dst": ("<unix>", f"{CON} set-dst ipv4(192.0.2.3)", V1),
    "led": (f"{CNT} set-dst ipv4(127.0.0.9)", "server s 0.0.0.0:<there>"),
    "led_con": (f"{CON} set-dst ipv4(127.0.0.10)", "server s *:<there>"),
    "led_port": (f"{CNT} set-dst-port int(<there>)", "server s 0.0.0.0:0"),
    "led_both": (
        f"{SES} set-dst-port int(<there>)",
        f"{CNT} set-dst ipv4(127.0.0.11)",
        "server s *",
    ),
    "led_offset": (f"{CNT} set-dst-port int(<there>)", "server s 127.0.0.1:+0"),
    "any": ("<any>", f"{CNT} set-dst-port int(8)", V1),
    "any_address": ("<any>", f"{CNT} set-dst ipv4(192.0.2.5)", V1),
    "from_there": (
        f"{CNT} set-src ipv4(127.0.0.77)",
        "source 0.0.0.0 usesrc clientip",
        "server s <s>",
    ),
    "from_port": (
        f"{CON} set-src ipv4(127.0.0.78)",
        f"{CNT} set-src-port int(<from>)",
        "source 0.0.0.0 usesrc client",
        "server s <s>",
    ),
    **{
        f"hashed_{host}": (
            f"{CNT} set-src ipv4(192.0.2.{host})",
            "balance source",
            *(f"server s{number} <s>" for number in range(4)),
        )
        for host in range(5)
    },
    "sticky": (
        "stick-table type ip size 10 store conn_cnt,gpc0",
        f"{CNT} set-src ipv4(192.0.2.6)",
        f"{CNT} track-sc0 src",
        f"{CNT} sc-inc-gpc0(0)",
        "stick on src",
        "server s <s>",
    ),
    "tracked": (
        "stick-table type ip size 10 store conn_cnt,sess_cnt",
        f"{CON} track-sc0 src",
        f"{CON} set-src ipv4(192.0.2.6)",
        f"{CON} track-sc1 src",
        "server s <s>",
    ),
}


def say_what(connection: socket.socket) -> None:
    """Tell what came, where it arrived, and where it came from."""
    sent = b""
    while not sent.endswith(b"end"):
        received = connection.recv(500)
        if not received:
            return
        sent += received
    own, peer = connection.getsockname(), connection.getpeername()
    connection.sendall(f"{own[0]} from {peer[0]}:{peer[1]} {sent!r}".encode())


def ask(name: str, address: tuple[str, int] | str, sent: bytes) -> tuple[str, int]:
    """What the client hears, and its port."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with closing(socket.socket(family)) as client:
        client.settimeout(PATIENCE_SECONDS)
        heard = b""
        with suppress(ConnectionError):
            client.connect(address)
            client.sendall(sent)
            heard = b"".join(iter(lambda: client.recv(500), b""))
        own = client.getsockname() if family == socket.AF_INET else ("", 0)
        return f"{name}: {heard.decode()}", own[1]


def written(ports: dict[str, int], there: int) -> str:
    text = HEAD
    for name, lines in SECTIONS.items():
        bind = f"127.0.0.1:{ports[name]}"
        if lines[0] == "<headed>":
            bind += " accept-proxy"
        elif lines[0] == "<unix>":
            bind = f"unix@{{folder}}/{name}"
        elif lines[0] == "<any>":
            bind = f":{ports[name]}"
        text += f"listen {name}\n  bind {bind}\n"
        text += "".join(f"  {line}\n" for line in lines if not re.fullmatch("<[a-z]*>", line))
    text = text.replace("<s>", f"127.0.0.1:{there}").replace("<there>", str(there))
    return text.replace("<from>", str(ports["<from>"]))


def plainly(text: str, names: dict[str, str]) -> str:
    """Without numbers that differ between two runs."""
    for number, name in names.items():
        text = re.sub(rf"(?<![0-9]){number}(?![0-9])", name, text)
    return text


def asked(made: OneProgram, ports: dict[str, int], there: int) -> dict[str, list[str]]:
    """What each section's client heard, and what its log line says."""
    found: dict[str, list[str]] = {}
    for name, lines in SECTIONS.items():
        headed = lines[0] == "<headed>"
        address: tuple[str, int] | str = ("127.0.0.8" if lines[0] == "<any>" else "127.0.0.1", 0)
        address = (address[0], ports[name])
        if lines[0] == "<unix>":
            address = str(made.folder / name)
        heard, own = ask(name, address, (HEADER if headed else b"") + b"end")
        numbers = {str(own): "CLIENT", str(ports[name]): "LISTENER", str(there): "THERE"}
        numbers[str(ports["<from>"])] = "FROM"
        numbers.pop("0", None)
        found[name] = [plainly(re.sub(r"(from 127\.0\.0\.(1|77)):\d+", r"\1", heard), numbers)]
        if name != "refused_at_once":
            wait_for(lambda n=name: line_of(made, n), PATIENCE_SECONDS, f"a line of {name}")
            found[name].append(plainly(line_of(made, name), numbers))
    for table in ("sticky", "tracked"):
        shown = f"show table {table}"
        wait_for(
            lambda command=shown: not re.search(r" use=[1-9]", made.ask(command)),
            PATIENCE_SECONDS,
            "the sessions have ended",
        )
        rows = re.sub(r"0x\w+: | exp=\d+", "", made.ask(shown)).splitlines()
        found[table] += sorted(rows)
    return found


def line_of(made: OneProgram, name: str) -> str:
    made.read()
    texts = (text.partition("]: ")[2].strip() for _, text in made.lines)
    return next((text for text in texts if text.startswith(f"{name} ")), "")


def lived(program: str, folder: Path, there: int) -> dict[str, list[str]]:
    ports = {name: free_port() for name in (*SECTIONS, "<from>")}
    with one_program(PROGRAMS[program](), folder / program, written(ports, there), {}) as made:
        return asked(made, ports, there)


def test_addresses_that_rules_set_are_those_of_the_session(tmp_path: Path) -> None:
    with Server(say_what, host="0.0.0.0") as server:
        ours, theirs = (lived(each, tmp_path, server.port) for each in ("millrace", "haproxy"))
    wrong = {name: (ours[name], theirs[name]) for name in SECTIONS if ours[name] != theirs[name]}
    assert not wrong
    assert "PROXY TCP4 192.0.2.1 127.0.0.1 CLIENT LISTENER" in ours["con_set-src"][0]
    assert len({ours[f"hashed_{host}"][1].split()[-2] for host in range(5)}) > 1
