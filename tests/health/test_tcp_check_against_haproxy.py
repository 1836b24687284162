"""`tcp-check` and `redis-check`: the same bytes, judgement, texts and log lines as HAProxy's."""

from __future__ import annotations

import pytest

from tests.health.check_peers import CHECK, Case, Told, hold, pause, receive, reset, send, tell

TCP = "option tcp-check"
PING = (TCP, r"tcp-check send PING\r\n", "tcp-check expect string +PONG")
SHORT = "check inter 400 fall 1 rise 1"  # of servers that never say what is expected
PONG = (receive(6), send(b"+PONG\r\n"), hold)


def expecting(words: str, *before: str) -> tuple[str, ...]:
    return (TCP, *before, f"tcp-check expect {words}")


CASES = {
    "ping": Case(PING, PONG),
    "mismatch": Case(PING, (receive(6), send(b"-ERR no\r\n"))),
    "mismatch_open": Case(PING, (receive(6), send(b"-ERR no\r\n"), hold), SHORT),
    "silent": Case(PING, (hold,), SHORT),
    "closed": Case(PING, (receive(6),)),
    "reset": Case(PING, (receive(6), reset)),
    "refused": Case(PING, None),
    "refused_bare": Case((TCP,), None),
    "refused_connect": Case((TCP, "tcp-check connect", *PING[1:]), None),
    "refused_port": Case(
        (TCP, "tcp-check connect", "tcp-check connect port 1", *PING[1:]), (hold,), heard=False
    ),
    "refused_comment": Case(
        (TCP, "tcp-check comment first", "tcp-check connect port 1 comment own", *PING[1:]), None
    ),
    "refused_address": Case((TCP, "tcp-check connect addr 127.0.0.1:1", *PING[1:]), None),
    "comments": Case(
        (TCP, "tcp-check comment one", PING[1], 'tcp-check expect comment "my own" string +PONG'),
        (hold,),
        SHORT,
    ),
    "comment_before": Case(expecting("string a", "tcp-check comment before"), (send(b"b"),)),
    "comment_own": Case(expecting("comment own string a"), (send(b"b"),)),
    "unwanted": Case(expecting("! string bad"), (send(b"this is bad"), hold)),
    "unwanted_absent": Case(expecting("! string bad"), (send(b"this is good"),)),
    "unwanted_open": Case(expecting("!string bad"), (send(b"this is good"), hold), SHORT),
    "unwanted_empty": Case(expecting("! string bad"), ()),
    "unwanted_binary": Case(expecting("! binary 2b"), (send(b"+"), hold)),
    "unwanted_regex": Case(expecting("! rstring foo"), (send(b"foo"), hold)),
    "regex": Case(expecting("rstring ^a[[:alpha:]]+c$"), (send(b"abbbc"), hold)),
    "regex_otherwise": Case(expecting("rstring ^ab+c$"), (send(b"xabbbc"),)),
    "regex_lines": Case(expecting("rstring ^two"), (send(b"one\r\ntwo"),)),
    "regex_case": Case(expecting("rstring (?i)HELLO"), (send(b"hello"), hold)),
    "regex_silent": Case(expecting("rstring foo"), (hold,), SHORT),
    "regex_dear": Case(expecting("rstring ^(a+)+$"), (send(b"a" * 40 + b"b"),)),
    "binary": Case(
        expecting("binary 2b504f4e47", "tcp-check send-binary 50494e470d0a"),
        (receive(6), send(b"+PONG"), hold),
    ),
    "binary_otherwise": Case(expecting("binary 2b504f4e47"), (send(b"+PONK"),)),
    "binary_silent": Case(expecting("binary 2b504f4e47"), (hold,), SHORT),
    "binary_regex": Case(expecting("rbinary ^2B50"), (send(b"+PONG"), hold)),
    "binary_regex_otherwise": Case(expecting("rbinary ^00ff$"), (send(b"\x00\xff"),)),
    "binary_regex_silent": Case(expecting("rbinary ^00FF$"), (hold,), SHORT),
    "ok_status": Case(expecting("ok-status L7OKC string a"), (send(b"a"), hold)),
    "ok_layer_6": Case(expecting("ok-status L6OK string a"), (send(b"a"), hold)),
    "error_status": Case(expecting("error-status L7STS string a"), (send(b"b"),)),
    "error_layer_4": Case(expecting("error-status L4CON string a"), (send(b"b"),)),
    "timeout_status": Case(expecting("tout-status L6TOUT string a"), (hold,), SHORT),
    "on_success": Case(expecting('on-success "very fine" string a'), (send(b"a"), hold)),
    "on_error": Case(expecting('on-error "bad thing" string a'), (send(b"b"),)),
    "on_error_comment": Case(expecting('comment c on-error "bad thing" string a'), (send(b"b"),)),
    "on_error_silent": Case(expecting('on-error "bad thing" string a'), (hold,), SHORT),
    "least_missing": Case(expecting("min-recv 10 string abc"), (send(b"abc"), hold), SHORT),
    "least_closed": Case(expecting("min-recv 10 string abc"), (send(b"abc"),)),
    "least_reached": Case(expecting("min-recv 3 string zz"), (send(b"abcd"), hold)),
    "least_unwanted": Case(expecting("min-recv 3 ! string zz"), (send(b"abcd"), hold)),
    "least_none": Case(expecting("min-recv 0 string zz"), (send(b"ab"), hold)),
    "least_off": Case(expecting("min-recv -1 string zz"), (send(b"ab"), hold), SHORT),
    "full": Case(expecting("string zz"), (send(b"a" * 40_000), hold)),
    "full_to_the_last": Case(expecting("string zz"), (send(b"a" * 16_382 + b"zz"), hold)),
    "full_too_late": Case(expecting("string zz"), (send(b"a" * 16_383 + b"zz"), hold)),
    "full_regex": Case(expecting("rstring zz"), (send(b"a" * 16_381 + b"zz"), hold)),
    "full_regex_too_late": Case(expecting("rstring zz"), (send(b"a" * 16_382 + b"zz"), hold)),
    "two_at_once": Case(expecting("string b", "tcp-check expect string a"), (send(b"ab"), hold)),
    "two_closed": Case(expecting("string b", "tcp-check expect string a"), (send(b"a"),)),
    "two_sends": Case(
        expecting("string x", "tcp-check send a", "tcp-check send b comment c"),
        (receive(2), send(b"x"), hold),
    ),
    "forgotten": Case(
        expecting("string b", "tcp-check expect string a", "tcp-check send x"),
        (send(b"ab"), hold),
        SHORT,
    ),
    "send_last": Case(
        (TCP, "tcp-check expect string a", "tcp-check send quit"), (send(b"a"), hold)
    ),
    "send_alone": Case((TCP, "tcp-check send a"), (hold,)),
    "connect_alone": Case((TCP, "tcp-check connect"), (hold,), heard=False),
    "connect_twice": Case(
        (TCP, *(("tcp-check connect", "tcp-check expect string a") * 2)), (send(b"a"), hold)
    ),
    "reset_behind_answer": Case(PING, (receive(6), send(b"+PONG"), reset)),
    "reset_behind_unwanted": Case(
        expecting("! string bad", "tcp-check send PING"), (receive(4), send(b"hello"), reset)
    ),
    "reset_behind_least": Case(
        expecting("min-recv 10 string ok", "tcp-check send PING"),
        (receive(4), send(b"ok"), reset),
    ),
    "reset_behind_error": Case(PING, (receive(6), send(b"-ERR"), reset)),
    "redis_reset_behind_error": Case(
        ("option redis-check",), (receive(14), send(b"-DENIED no\r\n"), reset)
    ),
    "unwanted_later": Case(
        expecting("string OK", "tcp-check expect min-recv 1 ! string ERR"),
        (send(b"hello"), pause, send(b" ERR"), pause, send(b" OK"), hold),
    ),
    "unwanted_row_silent": Case(
        expecting(
            "comment two string OK",
            "tcp-check expect comment one tout-status L6TOUT min-recv 1 ! string ERR",
        ),
        (send(b"hello"), hold),
        SHORT,
    ),
    "comment_before_send": Case(
        expecting("string zz", "tcp-check comment one", "tcp-check send PING"), (hold,), SHORT
    ),
    "comment_before_connect": Case(
        expecting("string zz", "tcp-check comment one", "tcp-check connect"), (hold,), SHORT
    ),
    "comment_for_two": Case(
        expecting("string zz", "tcp-check comment one", "tcp-check expect string a"),
        (send(b"a"), hold),
        SHORT,
    ),
    "comment_empty": Case(expecting("comment own string a"), ()),
    "connects_in_time": Case(
        (TCP, "timeout check 0", *(("tcp-check connect", "tcp-check expect string a") * 3)),
        (*[pause] * 25, send(b"a"), hold),
        "check inter 4s fall 1 rise 1",
    ),
    "forged_line": Case(
        ("option redis-check",),
        (receive(14), send(b'-x", check duration: 0ms\x1b[2J\x07<>\xc3\xa9 end\r\n')),
    ),
    "nul_in_line": Case(("option redis-check",), (receive(14), send(b"-a\0b\r\n"))),
    "port_behind_addr": Case(PING, PONG, f"{CHECK} addr 127.0.0.1:PORT", port=False),
    "port_before_that_of_addr": Case(PING, PONG, f"{CHECK} addr 127.0.0.1:1 port PORT"),
    "ports_of_connects": Case(
        (TCP, "tcp-check connect addr 127.0.0.1:PORT", *PING[1:]), PONG, port=False
    ),
    "nul": Case(expecting("string b"), (send(b"a\0b"), hold)),
    "header": Case((TCP, "tcp-check connect send-proxy", *PING[1:]), (receive(40), hold), SHORT),
    "header_of_server": Case((PING), (receive(40), hold), f"{SHORT} check-send-proxy"),
    "header_by_default": Case(
        (TCP, "tcp-check connect default", *PING[1:]), (receive(40), hold), f"{SHORT} send-proxy"
    ),
    "header_not_explicit": Case(
        (TCP, "tcp-check connect", *PING[1:]), PONG, "check inter 2s fall 1 rise 1 send-proxy"
    ),
    "long": Case(expecting("string " + "x" * 300), (send(b"b"),)),
    "redis": Case(("option redis-check",), (receive(14), send(b"+PONG\r\n"), hold)),
    "redis_error": Case(("option redis-check",), (receive(14), send(b"-NOAUTH\r\n"))),
    "redis_error_open": Case(("option redis-check",), (receive(14), send(b"-NO\r\n"), hold), SHORT),
    "redis_silent": Case(("option redis-check",), (hold,), SHORT),
    "redis_closed": Case(("option redis-check",), (receive(14),)),
    "redis_reset": Case(("option redis-check",), (receive(14), reset)),
    "redis_refused": Case(("option redis-check",), None),
    "last_option": Case((TCP, "option redis-check"), (receive(14), send(b"+PONG\r\n"), hold)),
    "plain_refused": Case((), None),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Told]]:
    folder = tmp_path_factory.mktemp("peers")
    return {program: tell(program, folder, CASES) for program in ("haproxy", "millrace")}


@pytest.mark.parametrize("name", CASES)
def test_a_check_is_the_same(told: dict[str, dict[str, Told]], name: str) -> None:
    assert told["millrace"][name] == told["haproxy"][name]
