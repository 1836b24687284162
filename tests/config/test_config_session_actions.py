"""Rules that change a session, and words of persistence: what they are read as, and what is wrong."""

from __future__ import annotations

import pytest

from proxy.config.model.rules import RuleAction
from proxy.config.model.settings import Balance, Proxy
from proxy.config.text.messages import Severity
from tests.support.config.loading import load_text, only_alert, said, settings_of

HEAD = """defaults
  timeout connect 1s
  timeout client 1s
  timeout server 1s
"""
EDGE = HEAD + "listen edge\n  bind 127.0.0.1:7001\n  server s 127.0.0.1:80\n"


def proxy_with(line: str) -> Proxy:
    [proxy] = settings_of(f"{EDGE}  {line}\n").proxies
    return proxy


@pytest.mark.parametrize(
    ("line", "action", "number"),
    [
        ("connection set-mark 1", RuleAction.CLIENT_MARK, 1),
        ("connection set-fc-mark 0x10", RuleAction.CLIENT_MARK, 16),
        ("content set-mark 010", RuleAction.CLIENT_MARK, 8),
        ("content set-mark -1", RuleAction.CLIENT_MARK, 2**32 - 1),
        ("content set-mark 99999999999999999999", RuleAction.CLIENT_MARK, 2**32 - 1),
        ("session set-tos 0x20", RuleAction.CLIENT_TOS, 32),
        ("content set-bc-mark 7", RuleAction.SERVER_MARK, 7),
        ("content set-bc-tos 8", RuleAction.SERVER_TOS, 8),
        ("content set-log-level emerg", RuleAction.LOG_LEVEL, 1),
        ("content set-log-level silent", RuleAction.LOG_LEVEL, 9),
        ("content set-retries 0", RuleAction.RETRIES, 0),
    ],
)
def test_what_a_line_sets(line: str, action: RuleAction, number: int) -> None:
    rules = proxy_with(f"tcp-request {line}").rules
    assert rules is not None
    [rule] = [*rules.connection, *rules.session, *rules.content]
    assert rule.action is action
    assert rule.key is not None
    assert rule.key.numbers[0] == number


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("tcp-request content set-mark 1x", "invalid character starting at 'x' (integer/hex value"),
        ("tcp-request content set-mark 08", "invalid character starting at '8'"),
        ("tcp-request content set-fc-mark 1x", "invalid character starting at 'x'"),
        ("tcp-request content set-mark src", "invalid character starting at 'src'"),
        ("tcp-request content set-fc-tos nosuch", "fetch method 'nosuch' is unknown"),
        ("tcp-request content set-retries -1", "expects a number of retries from 0 to"),
        ("tcp-request content set-log-level infos", "did you mean 'info'"),
        ("tcp-request connection set-bc-mark 1", "'tcp-request connection' expects"),
        ("tcp-response content set-src src", "'tcp-response content' expects"),
        ("persist rdp-cookie(", "requires an rdp cookie name"),
        ("balance hash", "balance hash requires a sample expression."),
        ("balance hash nosuch", "failed to parse 'balance hash' expression 'nosuch'"),
        ("balance rdp-cookie()", "balance rdp-cookie : missing cookie name."),
        ("stick store-response req.len", "fetch method 'req.len' is unknown, not available"),
        ("stick store-response src", "Proxy 'edge': unable to find store table 'edge'."),
    ],
)
def test_what_is_wrong_is_said(line: str, text: str) -> None:
    where, alert = only_alert(f"{EDGE}  {line}\n")
    assert where in (EDGE.count("\n") + 1, 0, 5)
    assert text in alert


def test_words_without_an_effect_say_so() -> None:
    for line, text in (
        ("tcp-request content set-nice 5", "'tcp-request content set-nice' has no effect here"),
        ("ignore-persist if { src 127.0.0.1 }", "only keeps later 'force-persist' lines back"),
    ):
        notices = [each for _, each in said(load_text(f"{EDGE}  {line}\n"), Severity.NOTICE)]
        assert any(text in notice for notice in notices), notices


def test_the_last_line_of_balance_and_of_persist_counts() -> None:
    lines = (
        "balance hash src\n  balance rdp-cookie(x)\n  persist rdp-cookie\n  persist rdp-cookie(y)"
    )
    proxy = proxy_with(f"{lines}\n  hash-type map-based crc32 avalanche")
    assert proxy.rules is not None
    assert proxy.balance is Balance.RDP_COOKIE
    assert [rule.key.text for rule in proxy.rules.hashes if rule.key] == ["x"]
    assert [rule.key.text for rule in proxy.rules.cookies if rule.key] == ["y"]
    assert (proxy.hash_function, proxy.hash_avalanche) == ("crc32", True)
    assert proxy_with("balance hash src\n  balance source").rules is None


def test_a_backend_hashes_what_its_defaults_say_and_a_frontend_nothing() -> None:
    text = HEAD + "  balance hash src\n  persist rdp-cookie\n  option persist\n"
    text += "frontend f\n  bind 127.0.0.1:7001\n  default_backend b\n"
    frontend, backend = settings_of(f"{text}backend b\n  server s 127.0.0.1:1\n").proxies
    assert frontend.rules is None
    assert backend.rules is not None
    assert (len(backend.rules.hashes), len(backend.rules.cookies)) == (1, 1)
    assert backend.persist
    assert backend.weights_fixed
