"""Generated conditions, judged by HAProxy and by Millrace on the same requests."""

from __future__ import annotations

import base64
import random
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port
from tests.support.differential.one_program import PROGRAMS, one_program
from tests.support.generated import sample

CASES, REQUESTS = 150, 12  # of a file
RUNS = sample(1, 34)
CONFIGURATION = """\
global
  stats socket {{folder}}/s level admin
defaults
  timeout connect 5s
  timeout client 60s
  timeout server 60s
userlist people
  user ann insecure-password secret groups first
  user bob password $5$salt$kpa26zwgX83BPSR8d7w93OIXbFt/d3UOTZaAu5vsTM6
  user eve insecure-password secret
  group first
  group second users bob,eve
frontend front
  mode http
  bind 127.0.0.1:{port}
  monitor-uri /never-asked
  acl twice path /a
  acl twice hdr(x-a) b
  acl never always_false
{rules}
listen two
  bind 127.0.0.1:{other}
  server s1 127.0.0.1:1
  server s2 127.0.0.1:1
  server s3 127.0.0.1:1 disabled
listen spare
  bind 127.0.0.1:{spare}
  server s1 127.0.0.1:1 disabled
  server b1 127.0.0.1:1 backup
  server b2 127.0.0.1:1 backup
"""
WORDS = ("a", "b", "ab", "A", "a.b", "b/a", "aa", "x", "/", "a b", "aab")
PATHS = ("/", "/a", "/a/b", "/A", "/a.b/ab", "/ab/", "//a", "/b/a", "/aab", "*", "/x/a.b:c")
QUERIES = ("", "?", "?a=b", "?a=b&a=ab", "?b=a;a=x", "?a", "?ab=1&a=", "?x?a=b")
VALUES = ("a", "b", "a,b", "A, a.b ,x", "", '"a,b", b', "b/a", "aab", " ab ", "a\tb", '"x\\",a",b')
METHODS = ("GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE")
NETWORKS = ("127.0.0.0/8", "127.0.0.1", "10.0.0.0/8", "::1", "::ffff:127.0.0.1", "127.0.0.0/31")
TEXTS = (
    *("path", "url", "query", "url_param(a)", "urlp(a)", "method", "req.hdr(x-a)", "hdr(X-A)"),
    *("hdr(x-a,1)", "hdr(x-a,-1)", "hdr(x-a,2)", "req.fhdr(x-a)", "req.fhdr(x-a,-1)", "hdr(x-b)"),
)
METHODS_OF_TEXT = ("str", "beg", "end", "sub", "dir", "dom", "len", "found")
OLD = tuple(
    f"{name}_{ending}{argument}"
    for name, argument in (("path", ""), ("url", ""), ("hdr", "(x-a)"), ("urlp", "(a)"))
    for ending in ("beg", "end", "sub", "dir", "dom", "len")
)
NUMBERS = (
    *("req.hdr_cnt(x-a)", "hdr_cnt(x-a)", "req.fhdr_cnt(x-a)", "nbsrv(two)", "nbsrv(spare)"),
    *("be_conn(two)", "srv_conn(two/s1)", "queue(two)", "fe_conn(two)"),
)
TRUTHS = (
    *("always_true", "always_false", "srv_is_up(two/s1)", "srv_is_up(two/s3)"),
    *("http_auth(people)", "TRUE", "FALSE", "LOCALHOST", "METH_GET", "METH_POST", "METH_HEAD"),
    *("HTTP_URL_SLASH", "HTTP_URL_STAR", "twice", "never", "HTTP"),
)
CREDENTIALS = ("", "ann:secret", "ann:wrong", "bob:secret", "bob:wrong", "eve:secret", "zed:secret")


class Request(NamedTuple):
    method: str
    target: str
    lines: tuple[str, ...]


def quoted(words: Sequence[str]) -> str:
    return " ".join("'" + word + "'" for word in words)


def patterns(chance: random.Random, count: int = 3) -> list[str]:
    return [chance.choice(WORDS) for _ in range(chance.randint(1, count))]


def a_number(chance: random.Random) -> str:
    """Not `lt 0`: HAProxy takes the length of a text for a number without sign then."""
    operator = chance.choice(("", "eq", "ge", "gt", "le", "lt"))
    value = str(chance.randint(operator == "lt", 4))
    if operator in ("", "eq"):
        value = chance.choice((value, f"{value}:", f":{value}", f"0:{value}"))
    return f"{operator} {value}".strip()


def an_expression(chance: random.Random) -> str:
    """The content of braces, or the name of a list."""
    kind = chance.randint(0, 6)
    flag = chance.choice(("", "-i "))
    if kind == 0:
        return chance.choice(TRUTHS)
    if kind == 1:
        return f"{chance.choice(NUMBERS)} {a_number(chance)}"
    if kind == 2:
        return f"src {' '.join(chance.sample(NETWORKS, 2))}"
    if kind == 3:
        old = chance.choice(OLD)
        wanted = a_number(chance) if "_len" in old else quoted(patterns(chance))
        return f"{old} {flag}-- {wanted}"
    if kind == 4:
        return f"http_auth_group(people) {chance.choice(('first', 'second', 'first second'))}"
    text, method = chance.choice(TEXTS), chance.choice(METHODS_OF_TEXT)
    if method == "found":
        return f"{text} -m found"
    wanted = a_number(chance) if method == "len" else quoted(patterns(chance))
    if text == "method":  # HAProxy compares methods by number where it can
        return f"method {' '.join(chance.sample(METHODS, 2))}"
    return f"{text} {flag}-m {method} -- {wanted}"


def a_literal(chance: random.Random) -> str:
    expression = an_expression(chance)
    name = " " not in expression and "(" not in expression and not expression.startswith("always")
    return chance.choice(("", "", "!")) + (expression if name else f"{{ {expression} }}")


def a_condition(chance: random.Random, number: int) -> str:
    """Clauses joined by `or`, each of which holds for requests of its case only."""
    mine = f"{{ req.hdr(x-case) {number} }}"
    clauses = [
        " ".join([mine, *(a_literal(chance) for _ in range(chance.randint(1, 2)))])
        for _ in range(chance.randint(1, 2))
    ]
    return chance.choice((" or ", " || ")).join(clauses)


def a_request(chance: random.Random, number: int) -> Request:
    method, path = chance.choice(METHODS), chance.choice(PATHS)
    target = path if path == "*" else path + chance.choice(QUERIES)
    if path != "*" and chance.random() < 0.1:
        target = "http://host" + target
    lines = [f"X-Case: {number}", "Host: host"]
    lines += [f"X-A: {chance.choice(VALUES)}" for _ in range(chance.randint(0, 3))]
    lines += [f"x-b: {chance.choice(VALUES)}"] * chance.randint(0, 1)
    credentials = chance.choice(CREDENTIALS)
    if credentials and chance.random() < 0.5:
        lines.append(f"Authorization: Basic {encoded(credentials)}")
    chance.shuffle(lines)
    return Request("OPTIONS" if path == "*" else method, target, tuple(lines))


def encoded(credentials: str) -> str:
    return base64.b64encode(credentials.encode()).decode()


def verdicts(port: int, requests: Sequence[Request]) -> Iterator[bool]:
    """Whether the rule of each request decided."""
    for request in requests:
        with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as client:
            head = [f"{request.method} {request.target} HTTP/1.1", *request.lines]
            client.sendall("\r\n".join((*head, "Connection: close", "", "")).encode())
            answer = b"".join(iter(lambda: client.recv(65_536), b""))
        status = answer.split(b" ", 2)[1]
        assert status in (b"299", b"503"), (request, answer)
        yield status == b"299"


@pytest.mark.slow
@pytest.mark.lengthy
@pytest.mark.parametrize("run", range(RUNS))
def test_conditions_hold_where_haproxys_do(tmp_path: Path, seed: int, run: int) -> None:
    chance = random.Random(seed + run)
    conditions = [a_condition(chance, number) for number in range(CASES)]
    rules = "".join(f"  http-request return status 299 if {each}\n" for each in conditions)
    rules = rules.replace("{", "{{").replace("}", "}}")
    requests = [a_request(chance, number) for number in range(CASES) for _ in range(REQUESTS)]
    found: dict[str, list[bool]] = {}
    for program in PROGRAMS:
        port = free_port()
        text = CONFIGURATION.format(port=port, other=free_port(), spare=free_port(), rules=rules)
        with one_program(PROGRAMS[program](), tmp_path / program, text, {}):
            found[program] = list(verdicts(port, requests))
    wrong = [
        f"{conditions[at // REQUESTS]}\n  {requests[at]}: HAProxy {theirs}"
        for at, (ours, theirs) in enumerate(zip(found["millrace"], found["haproxy"], strict=True))
        if ours != theirs
    ]
    assert not wrong, "\n".join(wrong[:10])
    assert 0.1 < sum(found["haproxy"]) / len(requests) < 0.9
