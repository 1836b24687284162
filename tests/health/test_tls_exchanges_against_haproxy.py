"""Checks over TLS: the same exchanges, judgements and texts as HAProxy's, and ends of streams.

A server that resets right behind its answer is not here: HAProxy says what it sees first.
"""

from __future__ import annotations

import pytest

from tests.health.check_peers import CHECK, Case, Told, hold, pause, receive, reset, send
from tests.health.test_http_check_against_haproxy import OK
from tests.health.tls_peers import (
    HTTP,
    REQUIRED,
    SHORT,
    TCP,
    ServerTls,
    TlsAct,
    client_hello,
    end_of,
    get,
    line,
    notify,
    plain,
    plain_server,
    raw,
    say,
    shake,
    take,
    tell_tls,
    wait,
    write,
)


def http(*acts: TlsAct) -> Case:
    return line("verify none", shake(ServerTls("good"), get, *acts), rules=(HTTP,))


def tcp(
    *rules: str,
    acts: tuple[TlsAct, ...],
    words: str = "check-ssl verify none",
) -> Case:
    hears = any("expect" in rule for rule in rules)
    act = shake(ServerTls("good"), *acts)
    return Case((TCP, *rules), (act,), f"{CHECK} {words}", heard=hears)


BRIEF = "timeout check 400"  # behind the handshake
OLD = ServerTls("good", versions=("TLSv1_2", "TLSv1_2"))  # its server has the last word
CASES = {
    # steps
    "initial_garbage": plain_server(
        "", send(b"220 hello\r\n"), hold, rules=(TCP, "tcp-check expect string a")
    ),
    "initial_silent": plain_server("", hold, start=SHORT, rules=(TCP, "tcp-check expect string a")),
    "no_rules": tcp(acts=(wait,)),
    "connects": tcp("tcp-check connect ssl", acts=(wait,), words="verify none"),
    "connects_with_name": tcp(
        "tcp-check connect ssl sni a.test alpn foo comment hello",
        acts=(wait,),
        words="verify none",
    ),
    "connects_plain": Case(
        (TCP, "tcp-check connect", "tcp-check expect string hi"),
        (send(b"hi"), hold),
        f"{CHECK} check-ssl verify none",
    ),
    "connects_default": tcp("tcp-check connect default", acts=(wait,)),
    "connects_default_with_name": tcp(
        "tcp-check connect default",
        acts=(wait,),
        words="check-ssl verify none check-sni b.test",
    ),
    "connects_without_name": tcp(
        "tcp-check connect ssl", acts=(wait,), words="check-ssl verify none check-sni b.test"
    ),
    "connects_default_ssl": tcp(
        "tcp-check connect default ssl", acts=(wait,), words="verify none check-sni b.test"
    ),
    "connects_default_name": tcp(
        "tcp-check connect default ssl sni c.test",
        acts=(wait,),
        words="verify none check-sni b.test",
    ),
    "name_without_ssl": Case(
        (TCP, "tcp-check connect sni a.test", "tcp-check expect string hi"),
        (send(b"hi"), hold),
        f"{CHECK} verify none",
    ),
    "connect_garbage": Case(
        (TCP, "tcp-check connect ssl comment why"),
        (client_hello, send(b"220 hello\r\n"), hold),
        f"{CHECK} verify none",
    ),
    "connect_silent": Case(
        (TCP, "tcp-check connect ssl comment slow"),
        (client_hello, hold),
        f"{SHORT} verify none",
    ),
    "connect_other_name": Case(
        (TCP, "tcp-check connect ssl sni other.test"),
        (shake(ServerTls("good"), wait),),
        f"{CHECK} {REQUIRED}",
        heard=False,
    ),
    "greeting": tcp("tcp-check expect string hi", acts=(say(b"hi"), wait)),
    "greeting_with_the_handshake": Case(
        (TCP, "tcp-check expect string hi"),
        (shake(OLD, say(b"hi"), wait, flushing=False),),
        f"{CHECK} check-ssl verify none",
    ),
    "end_with_the_handshake": Case(
        (TCP, "tcp-check expect string hi"),
        (shake(OLD, write(b"ho"), notify, wait, flushing=False),),
        f"{CHECK} check-ssl verify none",
    ),
    "question": tcp(
        *("tcp-check send hello", "tcp-check expect string hi"),
        *("tcp-check send more", "tcp-check expect string ho"),
        acts=(take(5), say(b"hi"), take(4), say(b"ho"), wait),
    ),
    "answer_in_pieces": tcp(
        *("tcp-check send hello", "tcp-check expect string hiho"),
        acts=(take(5), say(b"hi"), plain(pause), say(b"ho"), wait),
    ),
    "answers_together": tcp(
        *("tcp-check send hello", "tcp-check expect string hi", "tcp-check send more"),
        "tcp-check expect string ho",
        acts=(take(5), write(b"h"), write(b"i"), raw(b""), take(4), say(b"ho"), wait),
    ),
    "otherwise": tcp("tcp-check expect string hi", BRIEF, acts=(say(b"ho"), wait)),
    "two_connections": tcp(
        *("tcp-check connect ssl", "tcp-check expect string hi"),
        *("tcp-check connect ssl sni second.test", "tcp-check expect string hi"),
        acts=(say(b"hi"), wait),
        words="verify none",
    ),
    "expects_layer": tcp("tcp-check expect ok-status L6OK string hi", acts=(say(b"hi"), wait)),
    "much": tcp(
        *("tcp-check send hello", "tcp-check expect string zz"),
        acts=(take(5), say(b"a" * 40_000 + b"zz"), wait),
    ),
    # how streams end
    "answers": http(say(OK), end_of),
    "answers_and_notifies": http(write(OK), notify, end_of),
    "answers_and_notifies_later": http(say(OK), plain(pause), notify, end_of),
    "answers_and_closes": http(say(OK)),
    "answers_and_resets_later": http(say(OK), plain(pause), plain(reset)),
    "notifies": http(notify, wait),
    "closes_behind": http(),
    "resets_behind": http(plain(reset)),
    "silent_behind": line("verify none", shake(ServerTls("good"), get, wait), rules=(HTTP, BRIEF)),
    "garbage_behind": http(raw(b"220 hello\r\n" * 9), wait),
    "wrong_record_behind": http(raw(b"\x17\x03\x03\0\x30" + b"a" * 48), wait),
    "answers_with_garbage": http(write(OK), raw(b"220 hello\r\n" * 9), wait),
    "half_an_answer_with_garbage": http(write(OK[:9]), raw(b"220 hello\r\n" * 9), wait),
    "half_an_answer_and_notifies": http(write(OK[:9]), notify, wait),
    "half_an_answer_and_closes": http(say(OK[:9])),
    "until_the_end": Case(
        (HTTP, "http-check expect string done"),
        (
            shake(
                ServerTls("good"),
                *(get, write(b"HTTP/1.0 200 OK\r\n\r\n"), write(b"all done"), notify, wait),
            ),
        ),
        f"{CHECK} check-ssl verify none",
    ),
    "until_the_cut": Case(
        (HTTP, "http-check expect string done"),
        (shake(ServerTls("good"), get, say(b"HTTP/1.0 200 OK\r\n\r\nall d")),),
        f"{CHECK} check-ssl verify none",
    ),
    "tcp_notifies": tcp("tcp-check expect string hi", acts=(notify, wait)),
    "tcp_closes": tcp("tcp-check expect string hi", acts=()),
    "tcp_resets": tcp("tcp-check expect string hi", acts=(plain(reset),)),
    "tcp_garbage": tcp("tcp-check expect string hi", acts=(raw(b"220 hello\r\n" * 9), wait)),
    "tcp_half_and_notifies": tcp("tcp-check expect string hi", acts=(write(b"h"), notify, wait)),
    "end_of_a_connect": line("verify none", shake(ServerTls("good"), end_of)),
    "end_of_tcp": tcp("tcp-check expect string hi", acts=(say(b"hi"), end_of)),
    "end_with_linger": tcp(
        "tcp-check connect ssl linger",
        "tcp-check expect string hi",
        acts=(say(b"hi"), end_of),
        words="verify none",
    ),
    # other checks
    "http_connect": Case(
        (HTTP, "http-check connect ssl sni a.test alpn http/1.1"),
        (shake(ServerTls("good", alpn=("http/1.1",)), get, say(OK), wait),),
        f"{CHECK} verify none",
    ),
    "http_connects_plain": Case(
        (HTTP, "http-check connect"),
        (receive(10), send(OK), hold),
        f"{CHECK} check-ssl verify none",
    ),
    "http_error": http(say(b"HTTP/1.0 503 No\r\n\r\n"), wait),
    "mail": Case(
        ("option smtpchk",),
        (
            shake(
                ServerTls("good"),
                *(say(b"220 hi\r\n"), take(16), say(b"250 ho\r\n"), take(6), say(b"221 x\r\n")),
                wait,
            ),
        ),
        f"{CHECK} check-ssl verify none",
    ),
    "hello_within": Case(
        ("option ssl-hello-chk",),
        (shake(ServerTls("good"), take(60), say(b"\x15\3\0\0\2\2\x28"), wait),),
        f"{CHECK} check-ssl verify none",
    ),
    "redis": Case(
        ("option redis-check",),
        (shake(ServerTls("good"), take(14), say(b"+PONG\r\n"), wait),),
        f"{CHECK} check-ssl verify none",
    ),
    "proxy_header": line(
        "verify none check-send-proxy",
        receive(len(b"PROXY TCP4 127.0.0.1 127.0.0.1 ")),
        hold,
        start=SHORT,
    ),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Told]]:
    return tell_tls(tmp_path_factory.mktemp("tls"), CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_check_is_the_same(told: dict[str, dict[str, Told]], name: str) -> None:
    assert told["millrace"][name] == told["haproxy"][name]
