"""Handshakes of checks: the same ones, judgements and texts as HAProxy's."""

from __future__ import annotations

import pytest

from tests.health.check_peers import CHECK, Case, Told, hold, reset, send
from tests.health.test_http_check_against_haproxy import OK
from tests.health.tls_peers import (
    HTTP,
    REQUIRED,
    SHORT,
    TCP,
    ServerTls,
    line,
    plain_server,
    say,
    shake,
    tell_hello,
    tell_tls,
    wait,
)


def names(certificate: str, words: str) -> Case:
    return line(f"{REQUIRED} {words}", shake(ServerTls(certificate), wait))


def greets(words: str, server: ServerTls) -> Case:
    rules = (TCP, "tcp-check expect string hi")
    return line(words, shake(server, say(b"hi"), wait), rules=rules)


def version(words: str, *versions: str) -> Case:
    server = ServerTls("good", versions=(versions[0], versions[-1]))
    return greets(f"verify none {words}", server)


def hello(words: str) -> Case:
    return line(f"verify none {words}", tell_hello, rules=(TCP,))


def asks(words: str, version: str = "TLSv1_2") -> Case:
    server = ServerTls("good", clients="ca", versions=(version, version))
    return greets(f"verify none {words}", server)


def offers(rule: str, words: str) -> Case:
    rules = (TCP, f"tcp-check connect {rule}")
    return line(f"verify none check-sni s.test {words}", tell_hello, rules=rules)


CASES = {
    # who is trusted
    "unverified": line("verify none", shake(ServerTls("alone"), wait)),
    "trusted": line(REQUIRED, shake(ServerTls("good"), wait)),
    "self_signed": line(REQUIRED, shake(ServerTls("alone"), wait)),
    "self_trusted": line(
        "verify required ca-file {folder}/alone.pem", shake(ServerTls("alone"), wait)
    ),
    "expired": names("expired", ""),
    "expired_with_its_name": names("expired", "verifyhost expired.test"),
    "expired_with_another_name": names("expired", "verifyhost other.test"),
    "expired_unverified": line("verify none", shake(ServerTls("expired"), wait)),
    "not_revoked": names("good", "crl-file {folder}/none.pem"),
    "revoked": names("gone", "crl-file {folder}/one.pem"),
    "revoked_otherwise": names("good", "crl-file {folder}/one.pem"),
    "no_list": names("good", "crl-file {folder}/ca.pem"),
    # names
    "host": names("good", "verifyhost www.good.test"),
    "host_of_the_subject": names("good", "verifyhost good"),
    "host_otherwise": names("good", "verifyhost other.test"),
    "host_in_capitals": names("good", "verifyhost WWW.Good.Test"),
    "host_with_a_dot": names("good", "verifyhost www.good.test."),
    "host_alone": names("bare", "verifyhost bare.test"),
    "host_by_address": names("good", "verifyhost 127.0.0.1"),
    "host_like_an_address": names("partly", "verifyhost 10.0.0.1"),
    "wild": names("good", "verifyhost a.wild.test"),
    "wild_deep": names("good", "verifyhost a.b.wild.test"),
    "wild_bare": names("good", "verifyhost wild.test"),
    "wild_empty": names("good", "verifyhost .wild.test"),
    "wild_subject": names("partly", "verifyhost x.cn.test"),
    "wild_part": names("partly", "verifyhost foo.part.test"),
    "wild_part_short": names("partly", "verifyhost f.part.test"),
    "wild_part_otherwise": names("partly", "verifyhost g.part.test"),
    "wild_itself": names("good", "verifyhost *.wild.test"),
    "sni": greets(f"{REQUIRED} check-sni www.good.test", ServerTls("good")),
    "sni_otherwise": names("good", "check-sni other.test"),
    "sni_unverified": greets("verify none check-sni other.test", ServerTls("good")),
    "sni_and_host": names("good", "check-sni www.good.test verifyhost other.test"),
    "sni_otherwise_and_host": names("good", "check-sni other.test verifyhost www.good.test"),
    # versions, protocols, certificates of clients
    "tls_12": version("", "TLSv1_2"),
    "tls_13": version("", "TLSv1_3"),
    "tls_11": version("", "TLSv1_1"),
    "too_old": version("ssl-min-ver TLSv1.3", "TLSv1_2"),
    "too_new": version("ssl-max-ver TLSv1.2", "TLSv1_3"),
    "forced": version("force-tlsv12", "TLSv1_2", "TLSv1_3"),
    "forced_last": version("force-tlsv12 force-tlsv13", "TLSv1_2", "TLSv1_3"),
    "without_13": version("no-tlsv13", "TLSv1_2", "TLSv1_3"),
    "with_a_hole": version("no-tlsv12", "TLSv1_2"),
    "ignored": version("no-tlsv13 ssl-min-ver TLSv1.2", "TLSv1_2", "TLSv1_3"),
    "no_common_cipher": version("force-tlsv12 ciphers ECDHE-RSA-AES128-GCM-SHA256", "TLSv1_2"),
    "cipher": version("force-tlsv12 ciphers ECDHE-ECDSA-AES128-GCM-SHA256", "TLSv1_2"),
    "alpn": greets("verify none check-alpn a,http/1.1", ServerTls("good", alpn=("h2", "http/1.1"))),
    "alpn_of_sessions": greets("verify none alpn h2", ServerTls("good", alpn=("h2", "http/1.1"))),
    "alpn_of_both": greets(
        "verify none alpn h2 check-alpn http/1.1", ServerTls("good", alpn=("h2", "http/1.1"))
    ),
    **{
        f"alpn_of_rule_{rule.replace(' ', '_')}_{number}": offers(rule, words)
        for rule in ("ssl", "default", "default ssl", "ssl alpn c", "default ssl alpn c")
        for number, words in enumerate(("alpn a", "check-alpn b", "alpn a check-alpn b"))
    },
    "alpn_unknown": greets("verify none check-alpn x", ServerTls("good", alpn=("h2",))),
    "no_common_alpn": plain_server("check-alpn x", send(b"\x15\x03\x03\0\2\2\x78")),
    "client": asks("crt {folder}/client.pem"),
    "client_13": asks("crt {folder}/client.pem", "TLSv1_3"),
    "client_missing": asks(""),
    "client_unknown": asks("crt {folder}/unknown.pem"),
    "client_not_asked": greets("verify none crt {folder}/client.pem", ServerTls("good")),
    # what is offered
    "hello": hello(""),
    "hello_with_names": hello("check-sni a.test check-alpn h2,b"),
    "hello_of_12": hello("ssl-max-ver TLSv1.2 no-tls-tickets"),
    "hello_of_13": hello("force-tlsv13"),
    "hello_with_a_hole": hello("no-tlsv11"),
    "hello_with_ciphers": hello("ciphers ECDHE+AESGCM:!SHA384 ssl-min-ver TLSv1.2"),
    # servers that do not shake hands
    "refused": Case((), None, f"{CHECK} check-ssl verify none"),
    "garbage": plain_server("", send(b"220 hello\r\n"), hold),
    "much_garbage": plain_server("", send(b"\0" * 40_000), hold),
    "http_garbage": plain_server("", send(OK), hold, rules=(HTTP,)),
    "closes": plain_server(""),
    "closes_at_once": line("verify none"),
    "resets": plain_server("", reset),
    "alert": plain_server("", send(b"\x15\x03\x03\0\2\2\x28"), hold),
    "warning_then_close": plain_server("", send(b"\x15\x03\x03\0\2\1\0")),
    "silent": plain_server("", hold, start=SHORT),
    "half_a_record": plain_server("", send(b"\x16\x03\x03\x40\0" + b"\2"), hold, start=SHORT),
    "wrong_hello": plain_server("", send(b"\x16\x03\x03\0\4\2\0\0\0"), hold),
    "no_message": plain_server("", send(b"\x16\x03\x03\0\0" * 20), hold),
    "silent_http": plain_server("", hold, start=SHORT, rules=(HTTP,)),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Told]]:
    return tell_tls(tmp_path_factory.mktemp("tls"), CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_check_is_the_same(told: dict[str, dict[str, Told]], name: str) -> None:
    assert told["millrace"][name] == told["haproxy"][name]
