"""Rules that wait for a whole message, or a whole request, in pieces cut at every byte: as HAProxy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from tests.support.messages import fix, mqtt
from tests.support.relay.rule_cases import TWO, Case, Finish, Hear, Met, Pause, front, met_by_both

pytestmark = pytest.mark.slow
PIECES = Pause(0.05)
REQUEST = b"GET /a?b=1 HTTP/1.1\r\nHost: two\r\n\r\n"
OTHER_REQUEST = b"POST /b HTTP/1.0\r\nHost: one\r\n\r\n"
VALID = (
    "tcp-request inspect-delay 8s",
    "tcp-request content reject unless {{ req.payload(0,0),{0} }}",
)
OF_MQTT = (
    *(line.format("mqtt_is_valid") for line in VALID),
    "tcp-request content set-var(txn.user) req.payload(0,0),mqtt_field_value(connect,username)",
    'log-format "%ft %b/%s %ts %[var(txn.user)]"',
)
OF_FIX = (
    *(line.format("fix_is_valid") for line in VALID),
    "tcp-request content set-var(txn.type) req.payload(0,0),fix_tag_value(MsgType)",
    'log-format "%ft %b/%s %ts %[var(txn.type)]"',
)
OF_HTTP = (
    "tcp-request inspect-delay 8s",
    "tcp-request content set-var(txn.path) path",
    "tcp-request content reject if { method POST }",
    "tcp-request content accept if { hdr(host) -m found }",
    'log-format "%ft %b/%s %ts %[var(txn.path)]"',
)


def cut(name: str, lines: Sequence[str], whole: bytes, step: int = 1) -> Iterator[Case]:
    """A client for each place where its first bytes are cut."""
    for at in range(1, len(whole), step):
        steps = (whole[:at], PIECES, whole[at:], Hear(whole), Finish())
        yield Case(f"{name} at {at}", front(*lines), steps, TWO)


def once(name: str, lines: Sequence[str], sent: bytes) -> Case:
    return Case(name, front(*lines), (sent, Finish()), TWO)


CASES = [
    *cut("connect", OF_MQTT, mqtt.connect(user=b"me", password=b"x")),
    *cut("connect of 5", OF_MQTT, mqtt.connect(5, own={17: 9}, user=b"me")),
    *cut("message of FIX", OF_FIX, fix.message(), 3),
    *cut("request", OF_HTTP, REQUEST),
    once("no packet", OF_MQTT, b"\x10\x0e\0\4MQTX\4\2\0\x3c\0\2me"),
    once("a packet and others", OF_MQTT, mqtt.connect() + b"\xc0\0"),
    once("a message that is wrong", OF_FIX, fix.message()[:-4] + b"000\1"),
    once("two messages", OF_FIX, fix.message() * 2),
    once("a request that is refused", OF_HTTP, OTHER_REQUEST),
    once("no request", OF_HTTP, b"\x16\3\1hello"),
    Case(
        "by the name of the host",
        front(
            "tcp-request inspect-delay 8s",
            "tcp-request content accept if HTTP",
            "use_backend x<other> if { hdr(host) -i ONE }",
            "use_backend <other> if { path_beg /a } { url_param(b) 1 } METH_GET",
        ),
        (REQUEST, Hear(REQUEST), Finish()),
        TWO + "\nbackend x<other>\n  server s1 <s1>\n",
    ),
    Case(
        "by the name of another host",
        front(
            "tcp-request inspect-delay 8s",
            "tcp-request content accept if HTTP",
            "use_backend x<other> if { hdr(host) -i ONE }",
        ),
        (OTHER_REQUEST, Hear(OTHER_REQUEST), Finish()),
        TWO + "\nbackend x<other>\n  server s1 <s1>\n",
    ),
]


@pytest.fixture(scope="module")
def met(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Met]]:
    return met_by_both(CASES, tmp_path_factory.mktemp("messages"))


@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_a_client_meets_the_same(met: dict[str, dict[str, Met]], name: str) -> None:
    assert met["millrace"][name] == met["haproxy"][name]
