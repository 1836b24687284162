"""Sections in mode http, in HAProxy and in Millrace: the same requests, the same kind of answer."""

from __future__ import annotations

import base64
import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program

pytestmark = pytest.mark.slow
CONFIGURATION = """\
global
  stats socket {{folder}}/s level admin
  node thenode
  description the host
defaults named
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  acl mine src 10.0.0.0/8
  stats auth old:user
  stats uri /dstats
  http-request deny if {{{{ path_beg /x }}}} !mine
defaults
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  errorfile 403 {{folder}}/e403
userlist people
  user ann insecure-password secret groups first
  group first
listen page
  mode http
  bind 127.0.0.1:{page}
  stats enable
  stats uri /st
  stats realm My\\ Realm
  stats auth ann:secret
  stats auth bob:se:cret
  stats scope .
  stats scope real
  stats admin if TRUE
  acl dead nbsrv(real) lt 2
  acl inner src 10.0.0.0/8
  acl inner src 127.0.0.0/8
  monitor-uri /alive
  monitor fail if dead
  http-request deny if {{{{ path_beg /deny }}}}
  http-request deny deny_status 429 unless inner
  http-request deny deny_status 429 if {{{{ path /often }}}}
  http-request return status 200 content-type text/plain string "hello there" if {{{{ path /s }}}}
  http-request return status 404 content-type text/x hdr X-A b file {{folder}}/body if {{{{ path /f }}}}
  http-request return errorfile {{folder}}/e503 if {{{{ path /e }}}}
  http-request return status 503 default-errorfiles if {{{{ path /d }}}}
  http-request return if {{{{ path /empty }}}}
  http-request auth realm R if {{{{ path_beg /auth }}}} !{{{{ http_auth(people) }}}}
  http-request return status 204 if {{{{ path /auth }}}}
frontend moved
  mode http
  bind 127.0.0.1:{moved}
  stats uri /st
  stats auth ann:secret
  redirect scheme https if {{{{ path /s }}}} !{{{{ ssl_fc }}}}
  redirect scheme https code 301 drop-query if {{{{ path /sd }}}}
  redirect prefix http://h:8 code 307 if {{{{ path /p }}}}
  redirect prefix / if {{{{ path /pp }}}}
  redirect prefix http://h append-slash drop-query code 303 if {{{{ path /pa }}}}
  redirect prefix http://h append-slash code 308 if {{{{ path /pb }}}}
  redirect location /l drop-query set-cookie X=1 if {{{{ path /c }}}}
  redirect location http://z clear-cookie X if {{{{ path /cc }}}}
  http-request redirect location /first code 302 if {{{{ path /order }}}}
  redirect location /any
listen ruled
  mode http
  bind 127.0.0.1:{ruled}
  stats uri /st
  stats http-request allow if {{{{ url_sub open }}}}
  stats http-request deny if {{{{ url_sub closed }}}}
  stats http-request auth unless {{{{ http_auth(people) }}}}
frontend bare
  mode http
  bind 127.0.0.1:{bare}
  monitor-uri /alive
  errorfile 503 {{folder}}/e503
  errorfile 200 {{folder}}/e200
frontend inherits from named
  mode http
  bind 127.0.0.1:{inherits}
  timeout client 60s
  acl mine src 127.0.0.0/8
  stats auth new:user
  http-request return status 200 content-type text/plain string passed if {{{{ path_beg /x }}}}
frontend plain from named
  mode http
  bind 127.0.0.1:{plain}
  timeout client 60s
frontend trick
  mode http
  bind 127.0.0.1:{trick}
  errorfile 503 {{folder}}/e200
frontend both
  mode http
  bind 127.0.0.1:{both}
  monitor-uri /alive
  http-request deny if {{{{ path /no }}}}
  default_backend behind
frontend through
  mode http
  bind 127.0.0.1:{through}
  http-request allow if TRUE
  default_backend behind
backend behind
  mode http
  stats uri /st
  http-request return status 201 if {{{{ path /behind }}}}
listen real
  bind 127.0.0.1:{real}
  server s1 127.0.0.1:1
  server s2 127.0.0.1:1
  server s3 127.0.0.1:1 disabled
"""
FILES = {
    "e403": b"HTTP/1.0 403 No\r\nX-No: yes\r\nContent-Length: 3\r\n\r\nno\n",
    "e503": b"HTTP/1.0 503 Later\r\nCache-Control: no-cache\r\n\r\nlater\n",
    "e200": b"HTTP/1.0 200 Fine\nX-Y: z\n\nfine\n",
    "body": b"a body\n",
}
FRAMING = ("connection", "content-length", "transfer-encoding")
OF_THE_PAGE = ("content-security-policy", "referrer-policy", "vary")
OURS = frozenset(("date", "server", "x-content-type-options", *OF_THE_PAGE, *FRAMING))
ROWLESS = b"behind"  # a backend without servers, which has rows in HAProxy only
# whose texts are each program's own
PAGES = (b"<html><body>", b"<!DOCTYPE", b"<!doctype", b"# pxname")


class Asked(NamedTuple):
    section: str
    path: str
    credentials: str = ""
    method: str = "GET"


CASES = (
    *(Asked("page", path) for path in ("/alive", "/alive?x", "/deny/x", "/often", "/s", "/f")),
    *(Asked("page", path) for path in ("/e", "/d", "/empty", "/auth", "/none", "/st", "/st;csv")),
    *(Asked("page", f"/st;csv;{word}", "ann:secret") for word in ("up", "no-maint")),
    *(Asked("page", path, method="POST") for path in ("/alive", "/s", "/deny", "/none")),
    *(Asked("page", path, method="HEAD") for path in ("/alive", "/s", "/deny", "/none", "/st")),
    *(Asked("page", "/st;csv", who) for who in ("ann:secret", "bob:se:cret", "bob:se", "x:secret")),
    *(Asked("page", "/auth", who) for who in ("ann:secret", "ann:wrong", "bob:se:cret")),
    *(Asked("moved", f"/{path}?a=b") for path in ("s", "sd", "p", "pp", "pa", "pb", "c", "cc")),
    *(Asked("moved", path) for path in ("/order", "/st", "/zz", "/")),
    *(Asked("moved", "/st", "ann:secret"), Asked("moved", "/s", method="POST")),
    *(Asked("ruled", f"/st;csv;{word}") for word in ("", "open", "closed", "openclosed")),
    *(Asked("ruled", path, "ann:secret") for path in ("/st;csv", "/st;csv;closed", "/none")),
    *(Asked("bare", path) for path in ("/alive", "/", "/st")),
    *(Asked("inherits", path) for path in ("/x", "/dstats", "/haproxy?stats")),
    *(Asked("inherits", "/haproxy?stats;csv", who) for who in ("old:user", "new:user")),
    *(Asked("plain", path) for path in ("/x", "/dstats", "/haproxy?stats")),
    *(Asked("plain", "/dstats;csv", who) for who in ("old:user", "new:user")),
    *(Asked("both", path) for path in ("/alive", "/alive?", "/no", "/behind", "/st;csv", "/x")),
    Asked("trick", "/"),
    *(Asked("through", path) for path in ("/behind", "/st;csv", "/none")),
)


class Answered(NamedTuple):
    status: int
    reason: str
    headers: dict[str, str]
    body: bytes


def ask(port: int, asked: Asked) -> Answered:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    headers = {"Host": "the.host:8080"}
    if asked.credentials:
        text = base64.b64encode(asked.credentials.encode()).decode()
        headers["Authorization"] = f"Basic {text}"
    client.request(asked.method, asked.path, headers=headers)
    found = client.getresponse()
    body = found.read()
    shown = {name.lower(): value for name, value in found.getheaders()}
    page = body.startswith(PAGES) or (asked.method == "HEAD" and "html" in str(shown))
    kept = {name: value for name, value in shown.items() if name not in OURS}
    if page:
        kept["content-type"] = kept["content-type"].partition(";")[0]
        if "content-security-policy" in shown:  # our page: it is not even stored
            assert kept["cache-control"] == "no-store"
            kept["cache-control"] = "no-cache"
    if body.startswith(b"# pxname"):
        cells = [line.split(b",") for line in body.splitlines() if line]
        names = dict.fromkeys(row[0] for row in cells if row[0] != ROWLESS)
        rows = (b",".join((row[1], row[17])) for row in cells if row[0] == b"real")
        body = b"|".join((*names, *rows))
    elif page:
        body = body[:12].lower()
    client.close()
    return Answered(found.status, found.reason, kept, body)


class Sections(NamedTuple):
    running: OneProgram
    ports: dict[str, int]


@contextmanager
def _running(program: str, folder: Path) -> Iterator[Sections]:
    ports = {
        name: free_port()
        for name in (
            *("page", "moved", "ruled", "bare", "through", "real"),
            *("inherits", "plain", "trick", "both"),
        )
    }
    own = folder / program
    text = CONFIGURATION.format(**ports).replace("{folder}", str(folder))
    text = text.replace(f"{folder}/s level", "{folder}/s level")
    with one_program(PROGRAMS[program](), own, text, {}) as running:
        yield Sections(running, ports)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Sections]]:
    folder = tmp_path_factory.mktemp("sections")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    with _running("haproxy", folder) as theirs, _running("millrace", folder) as ours:
        yield {"haproxy": theirs, "millrace": ours}


@pytest.mark.parametrize("asked", CASES, ids=lambda asked: " ".join(filter(None, asked)))
def test_a_request_is_answered_alike(both: dict[str, Sections], asked: Asked) -> None:
    theirs, ours = (ask(each.ports[asked.section], asked) for each in both.values())
    assert ours == theirs


def test_the_health_of_a_section_follows_the_servers(both: dict[str, Sections]) -> None:
    alive = Asked("page", "/alive")
    for state, status in (("maint", 503), ("ready", 200)):
        for sections in both.values():
            sections.running.ask(f"set server real/s2 state {state}")
            port = sections.ports["page"]
            wait_for(lambda: ask(port, alive).status == status, PATIENCE_SECONDS, state)  # noqa: B023


@pytest.mark.parametrize(
    "head",
    [
        b"GET /s HTTP/1.1\r\nHost: a\rB: c\r\nX-Foo: good\r\n\r\n",
        b"GET /s HTTP/1.1\r\nHost: a\r\na: b\rc: d\r\nzz: 1\r\n\r\n",
        b"GET /s HTTP/1.1\r\nHost: a\nX-Foo: evil\r\n\r\n",
        b"GET /s/x\nSet-Cookie:x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /s\x00\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /s#x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /s HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET http://foo/s HTTP/1.1\r\nHost: b\r\n\r\n",
        b"GET /s HTTP/1.1\r\nHost: a b\r\n\r\n",
    ],
)
def test_a_head_that_two_readers_could_read_differently_is_refused(
    both: dict[str, Sections], head: bytes
) -> None:
    """No value of it comes into a condition, nor into an answer."""
    port = both["millrace"].ports["moved"]
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as client:
        client.sendall(head)
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")
    assert ask(port, Asked("moved", "/zz")).status == 302  # it serves on


def test_an_empty_line_before_a_request_is_passed_over(both: dict[str, Sections]) -> None:
    for sections in both.values():
        with socket.create_connection(("127.0.0.1", sections.ports["page"])) as client:
            client.settimeout(PATIENCE_SECONDS)
            client.sendall(b"\r\nGET /alive HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200 ")


def test_a_body_that_is_not_read_takes_no_answer_away(both: dict[str, Sections]) -> None:
    for sections in both.values():
        with socket.create_connection(("127.0.0.1", sections.ports["page"])) as client:
            client.settimeout(PATIENCE_SECONDS)
            head = b"POST /s HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n"
            client.sendall(head + b"x" * 300_000)
            answer = b"".join(iter(lambda: client.recv(65_536), b""))
            assert answer.endswith(b"hello there")


def test_users_enter_behind_a_chroot_and_without_a_password_never(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "empty").mkdir()
    text = (
        f"global\n  stats socket {{folder}}/s level admin\n  chroot {tmp_path}/empty\n"
        "userlist u\n  user bob password $5$salt$kpa26zwgX83BPSR8d7w93OIXbFt/d3UOTZaAu5vsTM6\n"
        '  user joe\n  user eve insecure-password ""\n'
        f"frontend m\n  mode http\n  bind 127.0.0.1:{port}\n  timeout client 5s\n"
        "  http-request auth realm Büro unless {{ http_auth(u) }}\n"
        "  http-request return status 200 content-type text/plain string in\n"
    )
    with one_program(PROGRAMS["millrace"](), tmp_path / "m", text, {}):
        for who, status in (("bob:secret", 200), ("bob:x", 401), ("joe:", 401), ("eve:", 200)):
            answer = ask(port, Asked("m", "/", who))
            assert (who, answer.status) == (who, status)
        assert "Büro" in answer_bytes(port).decode()


def answer_bytes(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return b"".join(iter(lambda: client.recv(65_536), b""))


def test_metrics_of_a_section_with_users_ask_for_them(tmp_path: Path) -> None:
    """HAProxy asks on the page only; here a password that guards the rows guards them all."""
    port = free_port()
    text = (
        "global\n  stats socket {folder}/s level admin\n"
        f"frontend m\n  mode http\n  bind 127.0.0.1:{port}\n  timeout client 5s\n"
        "  stats auth ann:secret\n  http-request use-service prometheus-exporter\n"
    )
    with one_program(PROGRAMS["millrace"](), tmp_path / "m", text, {}):
        assert ask(port, Asked("m", "/metrics")).status == 401
        assert ask(port, Asked("m", "/metrics", "ann:wrong")).status == 401
        assert ask(port, Asked("m", "/metrics", "ann:secret")).status == 200
