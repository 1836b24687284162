"""Lines with rules of connections: errors and warnings stand where HAProxy has them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from proxy.config.loader import load
from proxy.config.model.rules import RuleAction
from proxy.config.text.messages import Severity
from tests.support.common import PATIENCE_SECONDS, require_program
from tests.support.config.loading import LISTEN, load_text, only_alert, settings_of

LINE = re.compile(r"\[(WARNING|ALERT)\].*parsing \[[^\]:]*:(\d+)\]")
SEVERITIES = {Severity.ALERT: "ALERT", Severity.WARNING: "WARNING"}
HEAD = """defaults named
  mode tcp
  timeout client 1s
  timeout server 1s
  timeout connect 1s
  acl far src 127.0.0.9
  tcp-request inspect-delay 3s
  tcp-request content reject if far
defaults
  mode tcp
  timeout client 1s
  timeout server 1s
  timeout connect 1s
"""
FILE = (
    HEAD
    + """
listen l
  bind 127.0.0.1:7001
  acl here src 127.0.0.1
  acl long req.len 3
  tcp-request connection reject if { req.len 3 }
  tcp-request connection reject if long
  tcp-request session accept if !here long
  tcp-request content accept if { res.len 3 }
  tcp-request connection accept
  use-server s if { res.len 3 }
  use_backend b if { res.len 3 } or here
  tcp-request content silent-drop unless here
  tcp-response content reject if { req.len 3 }
  tcp-response content close if { res.len 3 }
  tcp-response content silent-drop
  server s 127.0.0.1:1
frontend f from named
  bind 127.0.0.1:7002
  tcp-request connection reject if { src 127.0.0.9 }
  use-server s if { src 127.0.0.1 }
  default_backend b
backend b
  use_backend l if { src 127.0.0.1 }
  server s 127.0.0.1:1
"""
)
WRONG = (
    HEAD
    + "".join(
        f"frontend f{number}\n  bind 127.0.0.1:{7001 + number}\n  {line}\n  default_backend b\n"
        for number, line in enumerate(
            (
                "tcp-request",
                "tcp-request blah",
                "tcp-request content",
                "tcp-request content frob",
                "tcp-request content accept foo",
                "tcp-request content accept if nosuch",
                "tcp-request connection accept if { nosuch }",
                "tcp-request connection expect-proxy",
                "tcp-request connection expect-proxy layer5",
                "tcp-request inspect-delay",
                "tcp-request inspect-delay x",
                "tcp-response content accept",
                "tcp-response inspect-delay 3s",
                "use_backend b foo",
                "use_backend b if nosuch",
            )
        )
    )
    + "".join(
        f"backend b{number or ''}\n  {line}\n  server s 127.0.0.1:1\n"
        for number, line in enumerate(
            (
                "tcp-request connection reject",
                "tcp-request session reject",
                "tcp-request content close",
                "tcp-response",
                "tcp-response blah",
                "tcp-response content frob",
                "tcp-response content accept foo",
                "tcp-response inspect-delay",
                "use-server",
                "use-server s",
                "use-server s foo",
                "use-server s if nosuch",
            )
        )
    )
)

IN_FRONTENDS = (  # what a fetch cannot say there, or cannot take
    *("fc_rtt(x)", "fc_rtt(us,ms)", "be_id", "be_name", "be_server_timeout", "be_tunnel_timeout"),
    *("cur_server_timeout", "srv_id", "srv_name", "bc_err", "bc_src_port", "uuid(5)", "int(x)"),
    *("bool(x)", "bin(6)", "bin(6g)", "ipv4(::1)", "ipv6(1.2.3)", "date(x)", "date(1,x)"),
    *(
        "rand(x)",
        "so_id(1)",
        "fe_name(x)",
        "stopping(1)",
        "str(x),regsub(a)",
        "str(x),regsub(a,b,x)",
    ),
    *("str(x),sha2(100)", "src,iif(a,b)", "bin(61),be2dec(:,9)", "bin(61),be2hex(:)"),
    *("bin(61),be2dec(:,1,2)", "str(x),digest(foo)", "str(x),url_enc(form)", "str(x),url_dec(a)"),
    *("str(x),hmac(sha256,***)", "str(x),iif(a)", "int(1),http_date(1,x)", "bin(61),hex2i"),
    *("src,htonl", "str(x),ltrim", "str(x),nosuch"),
)
NAMING = (  # sections and servers, which are looked for when the file is read
    *("nbsrv", "queue", "avg_queue", "be_conn", "be_conn_free", "connslots", "be_sess_rate"),
    *("srv_conn(s)", "srv_is_up(s)", "srv_conn_free(b/t)", "srv_weight(c/s)", "nbsrv(c)"),
    *("fe_conn(b)", "nbsrv(b)", "srv_queue(b/s)", "fe_conn", "fe_sess_rate", "fe_req_rate"),
)
IN_BACKENDS = (
    *("fe_conn", "fe_sess_rate", "fe_req_rate", "nbsrv", "srv_conn(s)", "srv_conn(t)", "be_id"),
    *("bc_err", "srv_id", "fe_id", "fe_defbe", "so_name", "fc_rtt", "connslots(f0)"),
)


def asking(fetches: Sequence[str], in_backend: Sequence[str] = ()) -> str:
    """A file whose rules look at these."""
    rule = "  tcp-request content reject if {{ {} -m found }}\n"
    fronts = "".join(
        f"frontend f{number}\n  bind 127.0.0.1:{7001 + number}\n{rule.format(fetch)}"
        "  default_backend b\n"
        for number, fetch in enumerate(fetches)
    )
    rules = "".join(map(rule.format, in_backend))
    return f"{HEAD}{fronts}backend b\n{rules}  server s 127.0.0.1:1\n"


TEXTS = {
    "right": FILE,
    "wrong": WRONG,
    "fetches": asking(IN_FRONTENDS),
    "names": asking(NAMING),
    "backends": asking(("nbsrv(b)",), IN_BACKENDS),
}


def haproxys(path: Path) -> set[tuple[str, int]]:
    found = subprocess.run(
        [require_program("haproxy"), "-c", "-f", path],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    together = re.findall(r"^\s+parsing \[[^\]:]*:(\d+)\]", found.stderr, re.MULTILINE)
    of_each = {(kind, int(line)) for kind, line in LINE.findall(found.stderr)}
    return of_each | {("ALERT", int(line)) for line in together}  # several of one kind


def ours(path: Path) -> set[tuple[str, int]]:
    found = load([str(path)], environ={}).messages
    return {
        (SEVERITIES[each.severity], each.origin.line)
        for each in found
        if each.severity in SEVERITIES and each.origin is not None
    }


@pytest.mark.parametrize("name", TEXTS)
def test_errors_and_warnings_stand_where_haproxys_do(tmp_path: Path, name: str) -> None:
    path = tmp_path / "rules.cfg"
    path.write_text(TEXTS[name])
    assert ours(path) == haproxys(path)


def test_a_server_that_a_rule_names_is_of_the_section() -> None:
    text = HEAD + "backend b\n  use-server nosuch if { src 127.0.0.1 }\n  server such 127.0.0.1:1\n"
    line, alert = only_alert(text)
    assert line == HEAD.count("\n") + 2
    assert "unable to find server 'nosuch' in backend 'b'" in alert


@pytest.mark.parametrize(
    ("action", "advice"),
    [
        ("do-resolve(txn.x,r) src", "write a server with 'resolvers'"),
        ("set-bandwidth-limit x", "shape traffic with tc(8), by the mark of 'set-fc-mark'"),
        ("set-priority-class int(1)", "a backend with fewer places"),
        ("send-spoe-group a b", "conditions on variables, lists and stick tables"),
        ("lua.x", ""),
        ("switch-mode http", "it needs mode http"),
    ],
)
def test_what_is_not_built_is_refused_with_advice(action: str, advice: str) -> None:
    text = (
        HEAD + f"listen l\n  bind :7001\n  tcp-request content {action}\n  server s 127.0.0.1:1\n"
    )
    assert advice in only_alert(text)[1]


def test_rules_of_named_defaults_come_first() -> None:
    text = HEAD + "frontend l from named\n  bind :7001\n  tcp-request content accept\n"
    [proxy] = settings_of(text).proxies
    assert proxy.rules is not None
    actions = [rule.action for rule in proxy.rules.content]
    assert actions == [RuleAction.REJECT, RuleAction.ACCEPT]
    assert proxy.rules.inspect_ms == 3000


@pytest.mark.parametrize(
    ("sections", "complaint"),
    [
        ("listen l from named\n", "a listen section cannot inherit"),
        ("backend b from named\nfrontend f from named\n", "frontends and backends cannot inherit"),
    ],
)
def test_rules_of_defaults_are_for_one_side(sections: str, complaint: str) -> None:
    assert complaint in only_alert(HEAD + sections)[1]


def test_a_fetch_with_converters_is_known_in_each_stage() -> None:
    rules = "".join(
        f"    tcp-request {stage} reject if {{ src,ipmask(8) -m reg ^10 }}\n"
        for stage in ("connection", "session", "content")
    )
    head = (
        "defaults\n    timeout client 1s\n    timeout server 1s\n    timeout connect 1s\n"
        "listen l\n    bind 127.0.0.1:1\n"
    )
    outcome = load_text(f"{head}{rules}    server s 127.0.0.1:2\n")
    assert outcome.settings is not None, outcome.messages
    assert len(outcome.settings.lists) == 3, "each may be changed by itself"


@pytest.mark.parametrize(
    ("word", "written"),
    [
        ("plain", "plain"),
        (r"one\ word", '"one word"'),
        (r"a\nb\r\t\x01\x7f", r'"a\x0ab\x0d\x09\x01\x7f"'),
        (r"\\n", r'"\\n"'),
        ("'say \"$A\"'", r'"say \"\$A\""'),
    ],
)
def test_a_rule_is_told_in_one_line_that_means_the_same(word: str, written: str) -> None:
    """`show rules`, `show why session` and a metric tell it."""

    def text_of(word: str) -> str:
        line = f"    tcp-request connection reject if {{ src,concat(x) -m str {word} }}\n"
        rules = settings_of(LISTEN + line + "    server s 127.0.0.1:1\n").proxies[0].rules
        assert rules is not None
        return rules.connection[0].text.partition("-m str ")[2].removesuffix(" }")

    assert text_of(word) == written
    assert text_of(written) == written
