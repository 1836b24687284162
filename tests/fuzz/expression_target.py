"""A coverage-guided run over conditions and expressions; a program of its own (libFuzzer).

    python -m tests.fuzz.expression_target FOLDER RUNS [options of libFuzzer]

FOLDER keeps the inputs that led to new code. An input is what a rule's `if` is followed by. It is
read, or refused with messages that name its line, and twice in the same way. What is read holds
where `unless` does not, and together with what is always or never true it holds as the words say. Ends
with another status than 0 at the first input for which that is not so.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import atheris
import msgspec

with atheris.instrument_imports(
    include=["proxy.config.lines.rules", "proxy.config.linking", "proxy.config.text"]
):
    from proxy.config.lines.rules.converters import CONVERTERS
    from proxy.config.lines.rules.fetches import FETCHES, PREDEFINED, RULES, Scope
    from proxy.config.model.rules import Condition
    from proxy.config.model.settings import Settings
    from proxy.config.text.messages import Severity
    from proxy.rules.program import Conditions, Seen
    from shm.segment import Segment
    from shm.shape import Shape
    from tests.support.config.loading import load_text

INPUT_MAX = 300
HEAD = "frontend f\n bind 127.0.0.1:80\n default_backend b\n tcp-request inspect-delay 1s\n"
RULE = " tcp-request content reject {}\n"
TAIL = "backend b\n server s 127.0.0.1:81\n"
FIRST_LINE = HEAD.count("\n") + 1
FORMS = (  # all hold as the first does, but for the last two: one always, one where that does not
    *("if {}", "if {}", "if {} {{ always_true }}", "if {{ always_true }} {}"),
    *("if {{ always_false }} or {}", "if {} or {{ always_false }}"),
    *("if {} or !FALSE", "unless {}"),
)
CONDITIONS = (
    *("{ req.len gt 3 }", "!{ src 127.0.0.0/8 ::1 }", "{ req.payload(0,4) -m bin 47455420 }"),
    *("{ src 10.0.0.0/8 } !{ dst_port 80 443:500 } or TRUE", "{ path_beg -i /a /B } || FALSE"),
    *("{ req.hdr(host),lower,field(1,:) -m str a.b }", "{ req.hdr(x,-1) -m reg ^a+(b|c)$ }"),
    *("{ req.ssl_sni -m end .test -- -x }", "{ req.ssl_ver ge 3.1 }", "{ nbsrv(b) lt 2 }"),
    *("{ str(a\\,b),bytes(1,2),hex,length eq 4 }", "{ int(5),add(3),mul(-2),neg,odd -m bool }"),
    *("{ url_param(a),b64dec,sha1,hex -m len 40 }", "{ hdr_cnt(x) 1:3 }", "{ method GET POST }"),
    *("{ bin(0aff),xxh64,mod(7) le 6 }", "{ ipv4(1.2.3.4),ipmask(8) 1.0.0.0 }", "!FALSE !!TRUE"),
    *("{ str('a b'),word(2,' '),regsub(b,c,gi) \"c\" }", "{ var(txn.a) -m found }", "LOCALHOST"),
)
# Files are another target's; what these find differs from one look to the next.
NOT_HERE = ("-f", "-M", "map", "file", "rand", "date", "uuid", "env")
# Told by a request and its first bytes, or by the segment: a connection is not at hand.
TOLD = frozenset(
    {
        *(name for name, fetch in FETCHES.items() if Scope.REQUEST in fetch.scope),
        *("req.len", "req.payload", "req.payload_lv", "wait_end", "req.proto_http", "src", "dst"),
        *("src_port", "dst_port", "req.ssl_ver", "req.ssl_sni", "req.ssl_hello_type"),
        *("req.ssl_alpn", "req.rdp_cookie"),
    }
)
REQUEST = Seen(
    *(b"GET", b"/a/b?a=YQ", b"HTTP/1.1", b"x: aab,c\r\nhost: A.b:80\r\n"),
    *(("127.0.0.1", 1_024), ("::1", 80)),
    final=True,
)
CONTENTS = (
    b"",
    b"GET /a/b?a=YQ HTTP/1.1\r\nhost: A.b:80\r\nx: aab,c\r\n\r\n",
    b"\x16\x03\x01\0\2ab",
)
SEGMENT = Segment.create(
    Shape(slots=1, backends=1, frontends=1, workers=1, sockets=1, nameservers=0, resolutions=0)
)


def seeds() -> list[str]:
    """Conditions, and each fetch and converter that there is."""
    fetches = [f"{{ {name} -m found }}" for name, fetch in FETCHES.items() if RULES & fetch.scope]
    converters = [f"{{ src,{name}(1) -m found }}" for name in CONVERTERS]
    return [*CONDITIONS, *PREDEFINED, *fetches, *converters]


def load(text: str) -> Settings | None:
    """Rules with the condition in all forms; None: it is refused, where it stands."""
    rules = "".join(RULE.format(form.format(text)) for form in FORMS)
    result = load_text(HEAD + rules + TAIL)
    alerts = [each for each in result.messages if each.severity is Severity.ALERT]
    assert (result.settings is None) is bool(alerts), text
    assert all(alert.text for alert in alerts), text
    places = {alert.origin and alert.origin.line for alert in alerts}
    assert places <= set(range(FIRST_LINE, FIRST_LINE + len(FORMS))), (text, alerts)
    # what another word completes may be read in the other forms
    assert not places or places >= {FIRST_LINE, FIRST_LINE + 1}, (text, alerts)
    return result.settings


def spelled_out(settings: Settings, condition: Condition) -> list[object]:
    """Its terms, with their lists in the place of the lists' numbers."""
    return [
        (msgspec.structs.replace(term, lists=()), [settings.lists[at] for at in term.lists])
        for term in condition.terms
    ]


def judge(settings: Settings, conditions: list[Condition]) -> None:
    """Let all conditions be judged of each content."""
    compiled = Conditions(SEGMENT, conditions, settings.lists)
    for content in CONTENTS:
        seen = REQUEST._replace(content=content)
        first, *others, always, last = (compiled.holds(at, seen) for at in range(len(conditions)))
        assert all(held is first for held in others), (conditions[0], content)
        assert always, (conditions[0], content)
        assert last is not first, (conditions[0], content)


def answer(data: bytes) -> None:
    """Read one condition in all forms."""
    text = data.decode(errors="surrogateescape").replace("\n", " ")
    if any(word in text for word in NOT_HERE):
        return
    settings = load(text)
    if settings is None:
        return
    conditions = [rule.condition for _, rule in settings.rules if rule.condition is not None]
    assert len(conditions) == len(FORMS), text
    assert spelled_out(settings, conditions[0]) == spelled_out(settings, conditions[1]), text
    if all(term.fetch in TOLD for term in conditions[0].terms):
        judge(settings, conditions)


def words() -> list[str]:
    """What an input grows by."""
    apart = re.compile(r"[^\s{}(),!']+")
    return sorted({word for seed in seeds() for word in apart.findall(seed)})


def quoted(word: str) -> str:
    """As libFuzzer reads the words of a dictionary."""
    return word.replace("\\", "\\\\").replace('"', '\\"')


def main() -> None:
    """Run over the seeds and what grows out of them."""
    folder, runs, *options = sys.argv[1:]
    for number, seed in enumerate(seeds()):
        Path(folder, str(number)).write_text(seed)
    dictionary = Path(folder).with_suffix(".words")
    dictionary.write_text("".join(f'"{quoted(word)}"\n' for word in words()))
    limits = [
        f"-atheris_runs={runs}",
        f"-max_len={INPUT_MAX}",
        f"-dict={dictionary}",
        "-len_control=0",
    ]
    atheris.Setup([sys.argv[0], *limits, *options, folder], answer)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
