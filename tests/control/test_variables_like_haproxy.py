"""Variables of the program and regular expressions that are added: HAProxy's answers, and ours.

Clients of two workers see one value, and what an order has added, as soon as it is answered.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program
from tests.support.servers import Server, echo

CONFIGURATION = """global
  stats socket {folder}/s level admin
  nbthread 2
  tune.vars.proc-max-size 4000
  set-var proc.x int(100)
  set-var proc.y var(proc.x),add(1)
  set-var proc.y,ifgt int(7)
  set-var proc.z,ifnotset str(first),concat(-,proc.x,-)
  set-var proc.z,ifnotset str(second)
  set-var-fmt proc.f "a%[var(proc.x)]  b %[str(q),upper]"
  set-var proc.none env(MILLRACE_NOT_THERE)
  set-var proc.ip ipv4(1.2.3.4)
  set-var proc.six ipv6(2001:db8::1)
  set-var proc.bytes bin(610062)
  set-var proc.true bool(true)
  set-var proc.count int(0)
  set-var proc.mapped str(a),map(FILES/texts)
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend counting
  bind 127.0.0.1:COUNTING
  tcp-request connection set-var(proc.count) var(proc.count),add(1)
  tcp-request connection set-var(proc.least,iflt) int(5)
  tcp-request connection set-var(proc.least,ifnotset) int(9)
  tcp-request connection unset-var(proc.gone) if {{ var(proc.count) -m int ge 3 }}
  tcp-request connection set-var(proc.gone) src if {{ var(proc.count) -m int lt 3 }}
  tcp-request connection set-var-fmt(proc.form) %[src]/%[var(proc.x)]
  tcp-request connection set-var(sess.a) str(q),set-var(proc.by_converter),concat(,proc.x,.)
  tcp-request connection set-var(proc.text) var(sess.a)
  tcp-request connection reject
frontend gate
  bind 127.0.0.1:GATE
  tcp-request inspect-delay 5s
  tcp-request content set-var(proc.said) req.payload(0,0),map_regm(FILES/groups,none) if {{ req.len gt 0 }}
  tcp-request content reject if {{ req.payload(0,0) -m reg -f FILES/denied }}
  tcp-request content accept if {{ req.len gt 0 }}
  default_backend b
backend b
  option tcp-check
  tcp-check set-var(proc.checked) str(by),concat(,proc.x)
  tcp-check set-var-fmt(proc.checked_form) %[var(proc.x)]/%[nbsrv(b)]
  server s 127.0.0.1:SERVER check inter 100ms
backend empty
"""
FILES = {"texts": "a two words\n", "denied": "^bad\n", "groups": "^x(.)y(.*)$ \\1+\\2\n"}
AT_START = ("x", "y", "z", "f", "none", "ip", "six", "bytes", "true", "count", "mapped", "nope")
COUNTED = ("count", "least", "gone", "form", "by_converter", "text")
ON = "experimental-mode on; "
ORDERS = (
    *("get var", "get var proc.zz", "get var sess.x", "get var x", "get var proc.x y"),
    *("set var proc.x int(5)", "user; get var proc.x", f"{ON}user; set var proc.x int(1)"),
    *(f"{ON}set var", f"{ON}set var proc.x", f"{ON}set var sess.x int(1)"),
    *(
        f"{ON}set var proc.n expr str(abc); get var proc.n",
        f"{ON}set var proc.n fmt %[var(proc.x)]z",
    ),
    *("get var proc.n", rf"{ON}set var proc.n fmt a\ b; get var proc.n"),
    *(f"{ON}set var proc.n int(1) junk", f"{ON}set var proc.n str(x) if true", "get var proc.n"),
    *(f"{ON}set var proc.ip ipv6(::1); get var proc.ip", f"{ON}set var proc.ip env(NOPE)"),
    *(
        "get var proc.ip",
        f"{ON}set var proc.n rand(1); get var proc.n",
        f"{ON}set var proc.e str()",
    ),
    *("get var proc.e", f"{ON}set var proc.n,ifset int(4); get var proc.n"),
    *(f"{ON}set var proc.never,ifset int(4); get var proc.never",),
    *(f"{ON}set var proc.n str(a),upper; get var proc.n", f"{ON}set var proc.n var(sess.a)"),
    *(f"{ON}set var proc.z str(a),set-var(proc.w); get var proc.w; get var proc.n",),
    *(f"{ON}set var proc.n fmt x%[var(proc.nono)]y; get var proc.n",),
    *(f"{ON}set var proc.n nbsrv(b); get var proc.n", f"{ON}set var proc.n stopping"),
    *("get var proc.n", f"{ON}set var proc.n str(empty),nbsrv; get var proc.n"),
    *(f"{ON}set var proc.n str(b),nbsrv; get var proc.n",),
    *(f"{ON}set var proc.n int(9); set var proc.n str(nope),nbsrv; get var proc.n",),
)
WRONG = (  # HAProxy's words differ; that each of both refuses is what counts
    *("set var proc.n int(", "set var proc.n foo(1)", "set var proc.n src", "set var proc. int(1)"),
    *("set var proc.n fmt %[src]", "set var proc.n fmt", "set var proc.long-name int(1)"),
    *("set var proc.n str(a),map(/x)", "set var proc.n be_conn(nono)", "set var proc.n fmt x%["),
    *("set var proc.n req.len", "set var proc.n int(1),foo", "set var proc.n,ifsett int(1)"),
)


class Pair:
    """Both programs, their ports and their files."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.files = folder / "files"
        self.files.mkdir()
        for name, content in FILES.items():
            (self.files / name).write_text(content)
        self.ports: dict[str, dict[str, int]] = {}
        self.programs: dict[str, OneProgram] = {}
        self.server = server

    def configuration(self, name: str) -> str:
        ports = self.ports[name] = {"COUNTING": free_port(), "GATE": free_port()}
        text = CONFIGURATION.replace("FILES", str(self.files))
        for word, port in {**ports, "SERVER": self.server.port}.items():
            text = text.replace(word, str(port))
        return text

    def ask(self, order: str) -> dict[str, str]:
        order = order.replace("FILES", str(self.files))
        return {name: program.ask(order) for name, program in self.programs.items()}

    def heard(self, word: str, text: bytes) -> dict[str, bytes]:
        """What a client of each hears that says this."""
        return {name: said(ports[word], text) for name, ports in self.ports.items()}


def said(port: int, text: bytes) -> bytes:
    """What a client hears that says this; nothing: it was refused, perhaps that early."""
    with (
        suppress(OSError),
        socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as client,
    ):
        client.sendall(text)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(65_536), b""))
    return b""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("variables")
    with Server(echo) as server:
        found = Pair(folder, server)
        with (
            one_program(
                PROGRAMS["haproxy"](), folder / "h", found.configuration("haproxy"), {}
            ) as theirs,
            one_program(
                PROGRAMS["millrace"](), folder / "m", found.configuration("millrace"), {}
            ) as ours,
        ):
            found.programs = {"haproxy": theirs, "millrace": ours}
            yield found


def alike(pair: Pair, order: str) -> str:
    answers = pair.ask(order)
    assert answers["millrace"] == answers["haproxy"], order
    return answers["millrace"]


def the_global_section_sets_variables(pair: Pair) -> None:
    for name in AT_START:
        alike(pair, f"get var proc.{name}")


def workers_share_them(pair: Pair) -> None:
    alike(pair, f"{ON}set var proc.count int(0)")
    for _ in range(12):
        assert set(pair.heard("COUNTING", b"").values()) == {b""}
    counted = "proc.count: type=sint value=<12>\n"
    for name, program in pair.programs.items():
        wait_for(
            lambda program=program: program.ask("get var proc.count") == counted,
            5,
            f"all at {name}",
        )
    for name in COUNTED:
        alike(pair, f"get var proc.{name}")


def checks_set_and_see_them(pair: Pair) -> None:
    alike(pair, f"{ON}set var proc.x int(5)")
    for name in ("checked", "checked_form"):
        value = {"checked": "by5", "checked_form": "5/1"}[name]
        wanted = f"proc.{name}: type=str value=<{value}>\n"
        for program in pair.programs.values():
            wait_for(
                lambda program=program, name=name, wanted=wanted: (
                    program.ask(f"get var proc.{name}") == wanted
                ),
                5,
                f"a check has set {name}",
            )


def orders_are_answered_in_the_same_text(pair: Pair) -> None:
    answers = {order: pair.ask(order) for order in ORDERS}  # HAProxy ends some errors in one line
    assert {order: told["millrace"].rstrip() for order, told in answers.items()} == {
        order: told["haproxy"].rstrip() for order, told in answers.items()
    }


def what_is_wrong_is_refused_by_both(pair: Pair) -> None:
    alike(pair, f"{ON}set var proc.n int(77)")
    silent = [
        (order, name)
        for order in WRONG
        for name, told in pair.ask(f"{ON}{order}").items()
        if not told.strip()
    ]
    assert not silent
    assert alike(pair, "get var proc.n") == "proc.n: type=sint value=<77>\n"


def a_text_that_has_no_room_is_refused_with_the_limit(pair: Pair) -> None:
    program = pair.programs["millrace"]
    for length, told in ((2_009, "at most 2008 bytes"), (2_000, ""), (1_999, "")):
        answer = program.ask(f"{ON}set var proc.long str({'x' * length})")
        assert told in answer
        assert bool(told) == bool(answer.strip())
    full = program.ask(f"{ON}set var proc.longer str({'x' * 2_000})")
    assert "'tune.vars.proc-max-size'" in full
    assert program.ask("get var proc.long").count("x") == 1_999
    program.ask(f"{ON}set var proc.long int(1)")


def no_more_than_some_names_can_be_added(pair: Pair) -> None:
    program = pair.programs["millrace"]
    answers = [program.ask(f"{ON}set var proc.more{n} int({n})").strip() for n in range(33)]
    refused = [answer for answer in answers if answer]
    assert refused
    assert all(re.search("name this one in the files, and reload", each) for each in refused)
    assert program.ask("get var proc.more0") == "proc.more0: type=sint value=<0>\n"


def expressions_that_are_added_are_looked_for_at_once(pair: Pair) -> None:
    for order, evil in (
        ("", b"evil"),
        ("add acl FILES/denied ^evil", b""),
        ("del acl FILES/denied ^evil", b"evil"),
        ("prepare acl FILES/denied; add acl @1 FILES/denied l$", b"evil"),
        ("commit acl @1 FILES/denied", b""),
    ):
        if order:
            assert "error" not in alike(pair, order)
        for _ in range(4):
            assert pair.heard("GATE", b"evil") == dict.fromkeys(pair.ports, evil), order
    assert set(pair.heard("GATE", b"bad").values()) == {b"bad"}  # of the version before


def values_of_a_map_name_groups(pair: Pair) -> None:
    for added, text, found in (
        ("", b"x1y23", "1+23"),
        ("", b"none", "none"),
        (r"add map FILES/groups ^n(.*)e$ <\\1\\0>", b"none", "<onnone>"),
        (r"set map FILES/groups ^x(.)y(.*)$ \\2", b"x1y23", "23"),
    ):
        if added:
            alike(pair, added)
        for _ in range(3):
            pair.heard("GATE", text)
            assert alike(pair, "get var proc.said") == f"proc.said: type=str value=<{found}>\n"


def test_variables_and_expressions_while_running(pair: Pair) -> None:
    the_global_section_sets_variables(pair)
    workers_share_them(pair)
    checks_set_and_see_them(pair)
    orders_are_answered_in_the_same_text(pair)
    what_is_wrong_is_refused_by_both(pair)
    expressions_that_are_added_are_looked_for_at_once(pair)
    values_of_a_map_name_groups(pair)
    a_text_that_has_no_room_is_refused_with_the_limit(pair)
    no_more_than_some_names_can_be_added(pair)
