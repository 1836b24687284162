"""`show why session` says of a client what a connection of that kind then meets."""

from __future__ import annotations

import random
import re
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port
from tests.support.content.hellos import of_python
from tests.support.generated import sample
from tests.support.program.program import NamedBackend, Program

HEAD = """global
  stats socket {socket} level admin
  nbthread 2
defaults
  mode tcp
  timeout connect 2s
  timeout client 60s
  timeout server 60s
"""
SOURCES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
MAP = "NAMES.map"
MAPPED = "b.test two\nc.example three\n"
NAMES = ("a.test", "b.test", "c.example")
OF_ENDS = ("{ src 127.0.0.1 }", "{ src 127.0.0.2 127.0.0.3 }", "!{ src 127.0.0.3 }", "near", "TRUE")
OF_BYTES = (
    *("{ req.ssl_sni a.test }", "{ req.ssl_sni -m end .test }", "!{ req.ssl_sni -i B.TEST }"),
    *("{ req.ssl_hello_type 1 }", "{ req.ssl_sni -m found }", "{ req_ssl_sni,length gt 6 }"),
)
OF_STATE = ("{ nbsrv(one) 1 }", "{ srv_is_up(two/s) }", "{ be_conn(one) gt 100 }")


def condition(draw: random.Random, *atoms: str) -> str:
    """One to three of these, joined somehow."""
    words = [draw.choice(atoms)]
    for _ in range(draw.randrange(3)):
        words += [*draw.choice([[], ["or"]]), draw.choice(atoms)]
    return " ".join((draw.choice(["if", "unless"]), *words))


def rules(draw: random.Random) -> list[str]:
    """The rules of one frontend."""
    lines = ["acl near src 127.0.0.1 127.0.0.2"]
    deciding = ("accept", "reject", "accept", "accept")
    for _ in range(draw.randrange(3)):
        lines.append(f"tcp-request connection {draw.choice(deciding)} {condition(draw, *OF_ENDS)}")
    if draw.random() < 0.3:
        lines.append(f"tcp-request session {draw.choice(deciding)} {condition(draw, *OF_ENDS)}")
    if draw.random() < 0.8:
        lines.append("tcp-request inspect-delay 20s")
    every = (*OF_ENDS, *OF_BYTES, *OF_STATE)
    for _ in range(draw.randrange(4)):
        lines.append(f"tcp-request content {draw.choice(deciding)} {condition(draw, *every)}")
    for _ in range(draw.randrange(4)):
        backend = draw.choice(("one", "two", "three"))
        lines.append(f"use_backend {backend} {condition(draw, *every)}")
    said = draw.choice([[], [f"use_backend %[req.ssl_sni,map({MAP},nowhere)]"]])
    return [*lines, *said, "default_backend one"]


class Site(NamedTuple):
    """The program, and where its frontends listen."""

    program: Program
    ports: list[int]
    backends: dict[str, str]  # by what their servers say

    def meets(self, number: int, source: str, said: bytes) -> str:
        """Where a client gets, as the answer has it."""
        heard = b""
        with suppress(ConnectionError), socket.socket() as client:
            client.settimeout(PATIENCE_SECONDS)
            client.bind((source, 0))
            client.connect(("127.0.0.1", self.ports[number]))
            client.sendall(said)
            while b"\n" not in heard and (received := client.recv(256)):
                heard += received
        return f"goes to {self.backends[heard.split()[0].decode()]}" if heard else "refused"

    def told(self, number: int, words: str) -> str:
        """The same by the command; "" where it depends on something."""
        answer = self.program.ask(f"show why session {words} frontend=f{number}").splitlines()[0]
        verdict = answer.removeprefix(f"f{number}: ")
        if verdict.startswith("depends on "):
            assert re.fullmatch(r"depends on [\w.]+(, [\w.]+)*\.", verdict), answer
            return ""
        place = r" by \S+:\d+( or (\S+:\d+|default_backend))*\.| by default_backend\."
        found = re.fullmatch(rf"(goes to \w+(/s)?|rejected|dropped in silence)({place})", verdict)
        assert found, answer
        return found[1] if found[1].startswith("goes") else "refused"


@pytest.fixture
def site(tmp_path: Path, seed: int) -> Iterator[Site]:
    draw = random.Random(seed)
    servers = [NamedBackend(f"127.62.0.{number}", 0) for number in (1, 2, 3)]
    ports = [free_port() for _ in range(sample(12, 60))]
    text = HEAD
    for number, port in enumerate(ports):
        lines = "".join(f"  {line}\n" for line in rules(draw))
        text += f"frontend f{number}\n  bind 127.0.0.1:{port}\n{lines}"
    names = ("one", "two", "three")
    for name, server in zip(names, servers, strict=True):
        text += f"backend {name}\n  server s {server.address}:{server.port}\n"
    (tmp_path / MAP).write_text(MAPPED)
    with Program(tmp_path, text.replace(MAP, str(tmp_path / MAP))) as program:
        yield Site(program, ports, {s.address: n for s, n in zip(servers, names, strict=True)})
    for server in servers:
        server.close()


@pytest.mark.slow
def test_a_client_meets_what_the_command_says(site: Site, seed: int) -> None:
    draw = random.Random(seed)
    seen: Counter[str] = Counter()
    for number, port in enumerate(site.ports):
        for source in SOURCES:
            name = draw.choice(NAMES)
            met = site.meets(number, source, of_python(name))
            whole = site.told(number, f"{source}:4000 127.0.0.1:{port} sni={name}")
            without = site.told(number, f"{source}")
            assert whole in ("", met), (number, source, name)
            assert without in ("", met), (number, source, name)
            seen[whole and met] += 1
            seen["without"] += bool(without)
    assert seen["without"]
    assert len(seen.keys() - {"", "without"}) >= 2, seen
    assert seen[""] <= sum(seen.values()) // 2, seen


LISTED = """frontend edge
  bind 127.0.0.1:{port}
  acl barred src 127.0.0.9
  tcp-request connection reject if barred
  tcp-request connection silent-drop if {{ src_port 1000 }}
  tcp-request inspect-delay 20s
  tcp-request content accept if {{ req.ssl_hello_type 1 }}
  tcp-request content reject
  use_backend two if {{ req.ssl_sni two.test }}
  default_backend one
frontend headed
  bind 127.0.0.2:{port} accept-proxy
  tcp-request connection reject if {{ src 127.0.0.9 }}
  tcp-request session reject if {{ src 127.0.0.8 }}
  default_backend one
frontend hasty
  bind 127.0.0.3:{port}
  use_backend two if {{ req.ssl_sni two.test }}
  default_backend one
listen own
  bind 127.0.0.4:{port}
  use_backend two if {{ src_port 1000 }}
  server s 127.0.0.1:1
frontend either
  bind 127.0.0.5:{port}
  use_backend one if {{ src_port 1000 }}
  default_backend one
frontend noting
  bind 127.0.0.8:{port}
  tcp-request connection set-var(sess.from) src
  tcp-request inspect-delay 9s
  tcp-request content capture req.ssl_sni len 99
  use_backend two if {{ src 127.0.0.9 }} {{ var(sess.from) -m found }}
  use_backend two if {{ src 127.0.0.0/29 }} {{ req.ssl_sni two.test }}
  default_backend one
frontend following
  bind 127.0.0.10:{port}
  tcp-request inspect-delay 9s
  tcp-request content track-sc0 req.ssl_sni table names
  use_backend two if {{ req.ssl_sni two.test }}
  default_backend one
frontend counted
  bind 127.0.0.11:{port}
  tcp-request connection track-sc0 src table sources
  tcp-request connection reject if {{ sc0_conn_cur gt 3 }}
  tcp-request connection reject if {{ src_conn_rate(sources) gt 9 }}
  tcp-request connection reject if {{ sc_get_gpc(1,0) gt 0 }}
  default_backend one
backend sources
  stick-table type ip size 9 store conn_cur,conn_rate(9s),gpc(2)
backend names
  stick-table type string len 99 size 9 store conn_cur
backend one
  use-server away if {{ src 127.0.0.6 }}
  use-server b if {{ src 127.0.0.6 }}
  server a 127.0.0.1:1
  server b 127.0.0.1:1
  server away 127.0.0.1:1 disabled
backend two
  tcp-request content reject if {{ src 127.0.0.7 }}
  server a 127.0.0.1:1
"""


class Listed:
    """A program that is asked, and the lines of its file."""

    def __init__(self, program: Program, text: str, port: int) -> None:
        self.program, self.port = program, port
        self.text = text.splitlines()

    def place(self, line: str) -> str:
        [number] = [at for at, each in enumerate(self.text, 1) if each.strip() == line]
        return f"{self.program.file}:{number}"

    def says(self, words: str) -> list[str]:
        return self.program.ask(f"show why session {words}").strip().splitlines()


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listed]:
    port = free_port()
    text = HEAD + LISTED.format(port=port)
    with Program(tmp_path_factory.mktemp("why"), text) as program:
        yield Listed(program, text, port)


BARRED = "tcp-request connection reject if barred"
PORT = "tcp-request connection silent-drop if { src_port 1000 }"
HELLO = "tcp-request content accept if { req.ssl_hello_type 1 }"
NAMED = "use_backend two if { req.ssl_sni two.test }"


def test_the_rule_that_decides_is_named_with_its_place(listed: Listed) -> None:
    place = listed.place(BARRED)
    assert listed.says("127.0.0.9 frontend=edge") == [
        f"edge: rejected by {place}.",
        f"  connection  : {place} reject: {BARRED}",
    ]
    hello, two = listed.place(HELLO), listed.program.file
    answer = listed.says(f"127.0.0.1:5 127.0.0.1:{listed.port} sni=two.test")
    number = listed.text.index(f"  {NAMED}") + 1
    assert answer == [
        f"edge: goes to two by {two}:{number}.",
        "  connection  : no rule acts",
        f"  content     : {hello} accept: {HELLO}",
        f"  backend     : {two}:{number} chooses two: {NAMED}",
        "  its content : no rule acts",
    ]
    [verdict, *_] = listed.says("127.0.0.7:5 frontend=edge sni=two.test")
    rejecting = listed.place("tcp-request content reject if { src 127.0.0.7 }")
    assert verdict == f"edge: rejected by {rejecting}."
    dropped = listed.says("127.0.0.1:1000 frontend=edge")[0]
    assert dropped == f"edge: dropped in silence by {listed.place(PORT)}."


def test_what_is_not_told_is_named(listed: Listed) -> None:
    [verdict, *lines] = listed.says("127.0.0.1 frontend=edge")
    assert verdict == "edge: depends on src_port, req.ssl_hello_type, req.ssl_sni."
    open_to = "silent-drop or not, which depends on src_port"
    assert lines[0] == f"  connection  : {listed.place(PORT)} {open_to}: {PORT}"
    assert listed.says("127.0.0.1 frontend=hasty sni=two.test")[0] == (
        "hasty: depends on req.ssl_sni."
    ), "nothing waits for the name"
    assert listed.says("127.0.0.1 frontend=own")[0] == "own: depends on src_port."
    assert listed.says("127.0.0.1:1 frontend=own")[0] == "own: goes to its own servers."
    either = listed.place("use_backend one if { src_port 1000 }")
    answer = listed.says("127.0.0.1 frontend=either")
    assert answer[0] == f"either: goes to one by {either} or default_backend."
    assert (
        listed.says("127.0.0.1:5 frontend=edge sni=")[0] == "edge: goes to one by default_backend."
    )


def test_rules_that_note_something_decide_nothing(listed: Listed) -> None:
    noted = listed.place("tcp-request connection set-var(sess.from) src")
    captured = listed.place("tcp-request content capture req.ssl_sni len 99")
    [verdict, *lines] = listed.says("127.0.0.1 frontend=noting sni=two.test")
    assert verdict.startswith("noting: goes to two by "), "the capture waits for the name"
    assert lines[0].startswith(f"  connection  : {noted} set-var: ")
    assert lines[1].startswith(f"  content     : {captured} capture: ")
    assert listed.says("127.0.0.9 frontend=noting sni=two.test")[0] == "noting: depends on var."


def test_a_key_of_bytes_is_waited_for(listed: Listed) -> None:
    [verdict, *_] = listed.says("127.0.0.1 frontend=following sni=two.test")
    assert verdict.startswith("following: goes to two by ")
    [verdict, *_] = listed.says("127.0.0.1 frontend=following sni=other.test")
    assert verdict == "following: goes to one by default_backend."


def test_what_an_entry_would_say_is_named_as_in_the_rule(listed: Listed) -> None:
    [verdict, *lines] = listed.says("127.0.0.1 frontend=counted")
    assert verdict == "counted: depends on sc0_conn_cur, src_conn_rate, sc_get_gpc(1,0)."
    assert "reject or not, which depends on sc0_conn_cur: " in lines[1]


def test_a_header_names_the_client(listed: Listed) -> None:
    assert listed.says("127.0.0.1 frontend=headed")[0] == "headed: depends on src."
    [_, connection, session] = listed.says("127.0.0.8 frontend=headed")
    assert "which depends on src" in connection
    assert " reject: " in session


def test_servers_that_rules_name(listed: Listed) -> None:
    [verdict, *lines] = listed.says("127.0.0.6:5 frontend=edge sni=one.test")
    chosen = listed.place("use-server b if { src 127.0.0.6 }")
    assert verdict == f"edge: goes to one/b by {chosen}."
    assert lines[-2].endswith(
        "chooses away, which does not serve: the next rule: use-server away if { src 127.0.0.6 }"
    )
    listed.program.ask("set server one/b state maint")
    assert listed.says("127.0.0.6:5 frontend=edge sni=one.test")[0] == (
        "edge: goes to one by default_backend."
    )


def test_a_question_counts_nothing_and_errors_are_told(listed: Listed) -> None:
    listed.says("127.0.0.9")
    assert all(
        line.split()[2] == "0" for line in listed.program.ask("show rules").strip().splitlines()[1:]
    )
    usage = "usage: show why session"
    for words in ("", ":80", "127.0.0.1 127.0.0.1 127.0.0.1", "127.0.0.1 dst=1", "127.0.0.1:"):
        assert listed.says(words)[0].startswith(usage), words
    for words, said in (
        ("127.0.0.1 frontend=none", "No such frontend."),
        ("127.0.0.1 127.0.0.9", "No frontend takes such clients."),
        ("nowhere", "'nowhere' is no address."),
        ("127.0.0.1:70000", "'70000' is no port."),
        (f"127.0.0.1 sni={'x' * 256}", "A server name has at most 255 ASCII characters."),
    ):
        assert listed.says(words) == [said], words
    both = [line for line in listed.says("127.0.0.9") if not line.startswith(" ")]
    assert [line.partition(":")[0] for line in both] == [
        "edge",
        "headed",
        "hasty",
        "own",
        "either",
        "noting",
        "following",
        "counted",
    ]
