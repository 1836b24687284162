"""Formats of answers: what HAProxy and Millrace say to the same requests.

Each format is in a rule of its own; ports are what differs between two programs.
"""

from __future__ import annotations

import random
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from tests.support.common import PATIENCE_SECONDS, free_port
from tests.support.differential.one_program import PROGRAMS, one_program
from tests.support.generated import sample

pytestmark = pytest.mark.slow
GENERATED, REQUESTS_EACH = sample(60, 1_000), 3
CONFIGURATION = """\
global
  stats socket {{folder}}/s level admin
defaults
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend front
  mode http
  bind 127.0.0.1:{front}
  errorfile 500 {folder}/e500
{rules}
  default_backend behind
backend behind
  mode http
  http-request return status 203 content-type a/b lf-string {behind} if {{{{ path /behind }}}}
  redirect location /%[src]%% if {{{{ path /literal }}}}
  redirect prefix /%b if {{{{ path /prefix }}}}
  redirect location /none if {{{{ path /rowless }}}} {{{{ nbsrv(behind) eq 0 }}}}
listen both
  mode http
  bind 127.0.0.1:{both}
  http-request return content-type a/b lf-string {behind}
listen real
  bind 127.0.0.1:{real}
  server s1 127.0.0.1:1
  server s2 127.0.0.1:1
"""
BEHIND = '"%f %b %ft %s %[be_name] %[fe_name] %[nbsrv] %[queue] %[nbsrv(behind)]"'
FILES = {
    "e500": b"HTTP/1.0 500 Own\r\nX-Y: z\r\n\r\nown\n",
    "form": b"%HM %[path]\n  two  %% spaces \xff\n",
}
ALIASES = (
    *("B", "H", "ID", "Tc", "Td", "Tr", "Tw", "b", "bi", "bp", "bq", "ci", "cp", "f", "fi", "fp"),
    *("ft", "hr", "hrl", "hs", "hsl", "lc", "rc", "s", "sc", "si", "sp", "sq", "sslc", "sslv"),
    *("ts", "tsc", "ST", "CC", "CS", "HM", "HP", "HPO", "HQ", "HU", "HV", "r"),
)
TEXTS = (
    *("method", "path", "query", "url", "pathq", "base", "urlp(a)", "url_param(b)", "urlp(zz)"),
    *("hdr(host)", "req.hdr(x-a)", "hdr(x-a,1)", "req.hdr(x-a,-2)", "req.fhdr(x-a)", "hdr(no)"),
    *("capture.req.uri", "capture.req.method", "capture.req.ver", "req.ver", "fe_name", "str(aB)"),
    *("hostname", "meth(GET)", "env(HOME)", "env(NOPE)", "var(txn.x)", "var(sess.x,d)", "bin(4a)"),
)
NUMBERS = (
    *("hdr_cnt(x-a)", "req.hdr_cnt(x-a)", "req.fhdr_cnt(x-a)", "int(-3)", "bool(true)"),
    *("nbsrv(real)", "srv_is_up(real/s1)", "be_conn(real)", "queue(real)", "srv_conn(real/s1)"),
    *("srv_queue(real/s1)", "always_true", "always_false", "ssl_fc", "proc", "nbproc", "rand(1)"),
)
ADDRESSES = ("src", "dst", "ipv4(1.2.3.4)", "ipv6(2001:db8::1)")
VALUES = (*TEXTS, *NUMBERS, *ADDRESSES, "bin(4100)", "bin(090a0d1f207f80ff225c5d23)")
PORTS = ("src_port", "dst_port")
OF_TEXT = ("upper", "lower", "hex", "length", "bytes(1)", "bytes(1,2)", "field(2,/)", "field(-1,.)")
OF_NUMBER = ("add(3)", "mul(7)", "mod(4)", "neg", "not", "even", "xor(5)", "hex", "length", "cpl")
FLAGS = ("", "", "{+Q}", "{+X}", "{+E}", "{+Q,+E}", "{+X,+E}")
LITERALS = ("", "a", " ", "  b ", "%%", "/", "é", "&", ":")
LONG = "%[hdr(x-long)]%[hdr(x-long)]%[hdr(x-long)]"
TEXT = "content-type text/plain"
RULES = {
    "string": f'return status 404 {TEXT} lf-string "%ST <%[path]>"',
    "file": f"return {TEXT} lf-file {{folder}}/form",
    "empty": f'return hdr X-A "%[path]" {TEXT} lf-string "%[str()]"',
    "header": f'return {TEXT} string x hdr X-A "%HU" hdr X-B " %ci  b " hdr X-A "%[str()]"',
    "injected": f'return {TEXT} string x hdr X-A "a%[bin(0d0a)]X-B: c%[bin(7f09ff)]"',
    "type": f'return hdr content-type a/b {TEXT} lf-string "%HM"',
    "denied": 'deny hdr X-A "%[path]"',
    "denied_text": f'deny deny_status 429 {TEXT} lf-string "%ST %HM"',
    "plain": f'return {TEXT} string "%HM %%"',
    "long_string": f'return {TEXT} lf-string "{LONG}"',
    "long_header": f'return {TEXT} string x hdr X-A "{LONG}"',
    "long_address": f'redirect location "/{LONG}"',
    "large": f'return {TEXT} lf-string "%[hdr(x-long)]%[hdr(x-long)]"',
    "to": 'redirect code 301 location "https://%[hdr(host)]%[capture.req.uri]"',
    "to_host": 'redirect location "https://%[hdr(host),field(1,:)]%[path]" set-cookie A=%[src]%%',
    "to_status": 'redirect location "/%ST%HM%f%%"',
    "to_nothing": 'redirect location "%[hdr(no)]"',
    "prefix": 'redirect prefix "https://%[hdr(host)]" drop-query append-slash code 308',
    "prefix_root": 'redirect prefix "%[str(/)]"',
    "prefix_empty": 'redirect prefix "%[hdr(no)]" ignore-empty',
    "scheme": 'redirect scheme "%[str(https)]"',
    "scheme_empty": 'redirect scheme "%[hdr(no)]" ignore-empty',
    "on": 'redirect location "%[hdr(no)]" ignore-empty',
    "not_on": 'redirect location "%[hdr(x-a)]" ignore-empty',
}
HEAD = "X-A: 1, 2\r\nX-Long: {long}\r\nx-a: c.d/e\r\nConnection: close\r\n\r\n"
CHARACTERS = "".join(map(chr, range(0x21, 0x7F))).replace("#", "")
REQUESTS = {  # whose path begins with the name of the rule
    "usual": "GET /{name}/p?a=1%202&b=x]y;a=Q HTTP/1.1\r\nHost: h.x:80\r\n",
    "absolute": "GET http://h.x:81/{name}/p?q HTTP/1.1\r\nHost: h.x:81\r\n",
    "bare": "POST /{name}/ HTTP/1.0\r\n",
    "characters": "gEt /{name}/" + CHARACTERS + " HTTP/1.0\r\nhost: a,b\r\n",
}
FRAMING = ("connection", "content-length", "date", "server")


class Case(NamedTuple):
    name: str  # of the rule
    request: str


def formats() -> Iterator[tuple[str, str]]:
    """Formats by their name: each word once, and mixed ones."""
    for flags in ("", "{+Q}", "{+X}", "{+E}"):
        yield f"aliases{flags.strip('{+}')}", "|".join(f"%{flags}{name}" for name in ALIASES)
        yield (
            f"values{flags.strip('{+}')}",
            "|".join(f"%{flags}[{value}]" for value in (*VALUES, *PORTS)),
        )
    chance = random.Random(20_261_129)
    for number in range(GENERATED):
        yield f"g{number}", "".join(_mixed(chance) for _ in range(chance.randint(1, 4)))


def _mixed(chance: random.Random) -> str:
    literal, flags = chance.choice(LITERALS), chance.choice(FLAGS)
    if chance.random() < 0.3:
        return f"{literal}%{flags}{chance.choice(ALIASES)}|"
    value = chance.choice(VALUES)
    chain = [value]
    for _ in range(chance.choice((0, 0, 1, 1, 2, 4))):
        number = chain[-1] in OF_NUMBER or chain[-1] in NUMBERS or chain[-1] == "length"
        chain.append(chance.choice(OF_NUMBER if number else OF_TEXT))
    return f"{literal}%{flags}[{','.join(chain)}]"


def _quoted(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}").replace('"', '\\"')


FORMATS = dict(formats())
CASES = (
    *(Case(name, request) for name in RULES for request in REQUESTS),
    *(Case(name, request) for name in FORMATS for request in list(REQUESTS)[:REQUESTS_EACH]),
    *(Case(name, "usual") for name in ("behind", "literal", "on", "none", "rowless")),
)


class Running(NamedTuple):
    front: int
    both: int


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Running]]:
    folder = tmp_path_factory.mktemp("answers")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    lines = [
        f"  http-request {rule.replace('{folder}', str(folder))} "
        f"if {{{{ path -m beg /{name}/ }}}} or {{{{ path /{name} }}}}"
        for name, rule in RULES.items()
    ]
    lines += [
        f'  http-request return {TEXT} lf-string "<{_quoted(form)}>" '
        f"if {{{{ path -m beg /{name}/ }}}}"
        for name, form in FORMATS.items()
    ]
    with ExitStack() as stack:
        found = []
        for program in ("haproxy", "millrace"):
            ports = {name: free_port() for name in ("front", "both", "real")}
            text = CONFIGURATION.format(
                **ports, folder=folder, rules="\n".join(lines), behind=BEHIND
            )
            stack.enter_context(one_program(PROGRAMS[program](), folder / program, text, {}))
            found.append(Running(ports["front"], ports["both"]))
        yield found[0], found[1]


def ask(port: int, case: Case) -> tuple[bytes, list[bytes], bytes]:
    """Status line, other headers in order of their names, and body, without ports."""
    head = REQUESTS[case.request].replace("{name}", case.name) + HEAD.format(long="L" * 6_000)
    if case.name in ("behind", "literal", "on", "rowless"):
        head = head.replace(f"/{case.name}/p", f"/{case.name}")
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as client:
        own = client.getsockname()[1]
        client.sendall(head.encode("latin-1"))
        data = b"".join(iter(lambda: client.recv(65_536), b""))
    shown, _, body = data.partition(b"\r\n\r\n")
    if b"<html>" in body:  # each program's own words
        body = b""
    fields = [_without(line, own, port) for line in shown.split(b"\r\n")]
    status, headers = fields[0][len(b"HTTP/1.x") :], [_small(line) for line in fields[1:]]
    kept = sorted(line for line in headers if not line.startswith(tuple(map(str.encode, FRAMING))))
    return status, kept, _without(body, own, port)


def _without(text: bytes, own: int, front: int) -> bytes:
    for port, word in ((own, b"OWN"), (front, b"FRONT")):
        for form in (f"{port}", f"{port:04X}"):
            text = re.sub(rb"(?<![0-9A-F])" + form.encode() + rb"(?![0-9A-F])", word, text)
    return text


def _small(line: bytes) -> bytes:
    name, colon, value = line.partition(b":")
    return name.lower() + colon + value


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_an_answer_says_the_same(programs: tuple[Running, Running], case: Case) -> None:
    theirs, ours = (ask(each.front, case) for each in programs)
    assert ours == theirs


def test_a_section_that_is_both_names_itself(programs: tuple[Running, Running]) -> None:
    theirs, ours = (ask(each.both, Case("x", "usual")) for each in programs)
    assert ours == theirs
    assert theirs[2] == b"both both both <NOSRV> both both 0 0 0"
