"""Checks with an option of their own: the same bytes, judgement, texts and log lines as HAProxy's.

Servers are scripted; test_named_checks_of_servers.py has real ones.
"""

from __future__ import annotations

import pytest

from tests.health.check_peers import (
    CHECK,
    Act,
    Case,
    Told,
    end,
    end_of,
    hold,
    pause,
    receive,
    reset,
    send,
    tell,
)

SHORT = "check inter 1500 fall 1 rise 1"  # of servers that never say what is expected
SMTP = ("option smtpchk",)
MYSQL = ("option mysql-check",)
MYSQL_USER = ("option mysql-check user bob",)
PGSQL = ("option pgsql-check user bob",)
LDAP = ("option ldap-check",)
TLS = ("option ssl-hello-chk",)

FULL = 16_384  # bytes of a reply, the most that are read
GREETING = send(b"220 mx.test ESMTP here\r\n")
HELO = receive(16)
QUIT = receive(22)
DONE = (GREETING, HELO, send(b"250 mx.test\r\n"), QUIT)


def replied(option: tuple[str, ...], acts: tuple[Act, ...], data: bytes) -> tuple[Case, Case]:
    """`data` behind the acts: of a server that stays and of one that sends no more."""
    stays = end_of if len(data) < FULL else hold  # bytes that are not read make any end a reset
    return (
        Case(option, (*acts, send(data), stays), SHORT),
        Case(option, (*acts, send(data), end, hold)),
    )


def greeted(data: bytes) -> tuple[Case, Case]:
    """The first that the server says."""
    return replied(SMTP, (), data)


def answered(data: bytes) -> tuple[Case, Case]:
    """Behind HELO."""
    return replied(SMTP, (GREETING, HELO), data)


def dismissed(data: bytes) -> tuple[Case, Case]:
    """Behind QUIT."""
    return replied(SMTP, DONE, data)


def said(option: tuple[str, ...], count: int, data: bytes) -> tuple[Case, Case]:
    """Behind the bytes of the check, `count` of them."""
    return replied(option, (receive(count),), data)


def packet(body: bytes, number: int = 0) -> bytes:
    return len(body).to_bytes(3, "little") + bytes([number]) + body


def refusal(code: int, text: bytes) -> bytes:
    return packet(b"\xff" + code.to_bytes(2, "little") + text, 2)


VERSION = packet(b"\x0a8.0.1-test\0\1\0\0\0abcdefgh\0\xff\xf7\x08\2\0" + bytes(13))
LOGGED_IN = packet(b"\0\0\0\2\0\0\0", 2)
PG_ERROR = b'E\0\0\0\x30SFATAL\0VFATAL\0C28000\0Mrole "bob" does not exist\0\0'


def asked(kind: int, length: int = 8) -> bytes:
    """A request for authentication."""
    return b"R" + length.to_bytes(4, "big") + kind.to_bytes(4, "big")


def bound(code: int, head: str = "300c", operation: str = "07") -> bytes:
    """A response to a bind."""
    ends = bytes([code]) + bytes.fromhex("04000400")
    return bytes.fromhex(f"{head}02010161{operation}0a01") + ends


BY_TWO = {
    "smtp_busy": greeted(b"421 too busy\r\n"),
    "smtp_no_service": greeted(b"554   no\r\nreally\r\n"),
    "smtp_bare_code": greeted(b"421\r\n"),
    "smtp_blank": greeted(b"421 \r\nx"),
    "smtp_several_lines": greeted(b"220-one\r\n220 two\r\n"),
    "smtp_not_mail": greeted(b"SSH-2.0-x\r\nyy"),
    "smtp_empty_line": greeted(b"\r\n220 x\r\n"),
    "smtp_tab": greeted(b"220\tx\r\n"),
    "smtp_greeting_cut": greeted(b"220"),
    "smtp_nul": greeted(b"22\0 x\r\n"),
    "smtp_greeting_nul": greeted(b"500 a\0b\r\n"),
    "smtp_999": greeted(b"999 x\r\n"),
    "smtp_042": greeted(b"042 x\r\n"),
    "smtp_greeting_only": greeted(b"220 x\r\n"),
    "smtp_greeting_four": greeted(b"220 "),
    "smtp_greeting_full": greeted(b"421 " + b"x" * 20_000),
    "helo_550": answered(b"550 5.7.1 go away\r\n"),
    "helo_bare_550": answered(b"550\r\n"),
    "helo_354": answered(b"354 x\r\n"),
    "helo_lines_refused": answered(b"250-a\r\n550 b\r\n"),
    "helo_lines_cut": answered(b"250-a\r\n"),
    "helo_no_code": answered(b"hello there\r\n"),
    "helo_cut": answered(b"25"),
    "helo_three": answered(b"25x"),
    "helo_plus": answered(b"+12"),
    "helo_blank": answered(b" 25"),
    "helo_blank_line": answered(b"250-a\r\n\r\n250 b\r\n"),
    "helo_carriage": answered(b"250-a\rb\r\n250 b\r\n"),
    "helo_accepted_only": answered(b"250 x\r\n"),
    "helo_full": answered(b"250-a\r\n" * 3_000),
    "quit_221": dismissed(b"221 2.0.0 bye\r\n"),
    "quit_bare": dismissed(b"221\r\n"),
    "quit_lines": dismissed(b"221-a\r\n221 b\r\n"),
    "quit_500": dismissed(b"500 \t x\r\n"),
    "quit_no_code": dismissed(b"hello\r\n"),
    "quit_cut": dismissed(b"500"),
    "quit_long": dismissed(b"299 " + b"x" * 400 + b"\r\n"),
    "quit_forged": dismissed(b'221   "x", check duration: 0ms\x1b[2J<>\xc3\xa9\r\n'),
    "mysql": said(MYSQL, 0, VERSION),
    "mysql_full": said(MYSQL, 0, refusal(1040, b"#08004Too many connections")),
    "mysql_full_old": said(MYSQL, 0, refusal(1203, b"Too many connections\r\nx\0y")),
    "mysql_code_only": said(MYSQL, 0, refusal(1129, b"")),
    "mysql_header_cut": said(MYSQL, 0, b"abc"),
    "mysql_cut": said(MYSQL, 0, VERSION[:20]),
    "mysql_not": said(MYSQL, 0, b"HTTP/1.1 400 bad\r\n\r\n"),
    "mysql_old_protocol": said(MYSQL, 0, packet(b"\x09abc\0zz")),
    "mysql_no_version": said(MYSQL, 0, packet(b"\x0a\0abc")),
    "mysql_empty_packet": said(MYSQL, 0, packet(b"") + b"xyz\0"),
    "mysql_strange_version": said(MYSQL, 0, packet(b'\x0aa\x01\xc3\xa9"b\0x')),
    "mysql_long_version": said(MYSQL, 0, packet(b"\x0a" + b"v" * 400 + b"\0x")),
    "mysql_largest": said(MYSQL, 0, packet(b"\x0a" + b"v" * 16_379)),
    "mysql_too_large": said(MYSQL, 0, packet(b"\x0a" + b"v" * 16_380)),
    "login": said(MYSQL_USER, 46, VERSION + LOGGED_IN),
    "login_denied": said(MYSQL_USER, 46, VERSION + refusal(1045, b"#28000Access denied")),
    "login_full": said(MYSQL_USER, 46, refusal(1040, b"Too many connections")),
    "login_switch": said(MYSQL_USER, 46, VERSION + packet(b"\xfemysql_native\0abc", 2)),
    "login_greeting_only": said(MYSQL_USER, 46, VERSION),
    "login_cut": said(MYSQL_USER, 46, VERSION + LOGGED_IN[:6]),
    "login_header_cut": said(MYSQL_USER, 46, VERSION + LOGGED_IN[:3]),
    "login_garbage": said(MYSQL_USER, 46, VERSION + b"HTTP/1.1 400\r\n"),
    "login_empty_packets": said(MYSQL_USER, 46, packet(b"") * 2),
    "login_one_byte": said(MYSQL_USER, 46, packet(b"\x0a") + LOGGED_IN),
    "login_full_buffer": said(
        MYSQL_USER, 46, packet(b"\x0a" + b"v" * 10_000) + packet(bytes(7_000))
    ),
    "pgsql_error": said(PGSQL, 18, PG_ERROR),
    "pgsql_error_four": said(PGSQL, 18, PG_ERROR[:4]),
    "pgsql_error_five": said(PGSQL, 18, PG_ERROR[:5]),
    "pgsql_error_eight": said(PGSQL, 18, PG_ERROR[:8]),
    "pgsql_error_lines": said(PGSQL, 18, b"E\0\0\0\x20SFATAL a\r\nb"),
    "pgsql_error_long": said(PGSQL, 18, b"E\0\0\0\xffS" + b"x" * 400),
    "pgsql_not": said(PGSQL, 18, b"HTTP/1.1 400\r\n"),
    "pgsql_no_tls": said(PGSQL, 18, b"N"),
    "pgsql_eight": said(PGSQL, 18, asked(0)[:8]),
    "pgsql_more": said(PGSQL, 18, asked(0) + b"S\0\0\0\x08abc\0"),
    "pgsql_sasl": said(PGSQL, 18, asked(10, 23) + b"SCRAM-SHA-256\0\0"),
    "pgsql_length_line": said(PGSQL, 18, asked(10, 10)),
    "pgsql_length_long": said(PGSQL, 18, asked(0, 256)),
    "pgsql_kind_long": said(PGSQL, 18, asked(256)),
    "pgsql_late": said(PGSQL, 18, b"x" + asked(0)),
    "ldap": said(LDAP, 14, bound(0)),
    "ldap_49": said(LDAP, 14, bound(49)),
    "ldap_cut": said(LDAP, 14, bound(0)[:13]),
    "ldap_one": said(LDAP, 14, b"\x30"),
    "ldap_not": said(LDAP, 14, b"HTTP/1.1 400 bad request\r\n"),
    "ldap_not_cut": said(LDAP, 14, b"HTTP/"),
    "ldap_set": said(LDAP, 14, b"\x31" + bound(0)[1:]),
    "ldap_other_message": said(LDAP, 14, bytes.fromhex("300c02010261070a010004000400")),
    "ldap_other_operation": said(LDAP, 14, bytes.fromhex("300c02010162070a010004000400")),
    "ldap_no_enumeration": said(LDAP, 14, bytes.fromhex("300c020101610702010004000400")),
    "ldap_long_result": said(LDAP, 14, bytes.fromhex("300d02010161080a02000004000400")),
    "ldap_length_2": said(LDAP, 14, bound(0, "3082000c")),
    "ldap_length_4": said(LDAP, 14, bound(49, "308400000010", "8400000007")),
    "ldap_length_1": said(LDAP, 14, bound(0, "30810c")),
    "ldap_length_5": said(LDAP, 14, bound(0, "30850000000000")),
    "ldap_length_none": said(LDAP, 14, bound(0, "3080")),
    "ldap_length_13": said(LDAP, 14, bound(0, "308d")),
    "ldap_length_14": said(LDAP, 14, bound(0, "308e")),
    "ldap_more_missing": said(LDAP, 14, bound(0, "300e") + b"z"),
    "ldap_more": said(LDAP, 14, bound(0, "300e") + b"zz"),
    "ldap_less": said(LDAP, 14, bound(0, "3002")),
    "ldap_huge": said(LDAP, 14, bound(0, "3084ffffffff")),
    "ldap_beyond_buffer": said(LDAP, 14, bound(0, "3082fffb") + bytes(16_384)),
    "ldap_operation_81": said(LDAP, 14, bound(0, "300d", "8107")),
    "ldap_operation_7f": said(LDAP, 14, bound(0, operation="7f")),
    "ldap_notice": said(LDAP, 14, bytes.fromhex("302402010078") + bytes(34)),
    "tls_handshake": said(TLS, 126, b"\x16\3\3\0\5hello"),
    "tls_alert": said(TLS, 126, b"\x15\3\0\0\2\2\x28"),
    "tls_other_record": said(TLS, 126, b"\x17\3\0\0\2\2\x28"),
    "tls_not": said(TLS, 126, b"HTTP/1.1 400 bad\r\n"),
    "tls_not_cut": said(TLS, 126, b"HTTP"),
    "tls_cut": said(TLS, 126, b"\x15\3\0\0"),
}
OPTIONS = {
    "smtp": (SMTP, 0),
    "mysql": (MYSQL, 0),
    "login": (MYSQL_USER, 46),
    "pgsql": (PGSQL, 18),
    "ldap": (LDAP, 14),
    "tls": (TLS, 126),
}
# Of a server that stays: the check waits for more until its time is up.
ENDLESS = frozenset(
    [
        "helo_354",
        "helo_550",
        "helo_accepted_only",
        "helo_bare_550",
        "helo_blank",
        "helo_blank_line",
        "helo_carriage",
        "helo_cut",
        "helo_lines_cut",
        "helo_lines_refused",
        "helo_no_code",
        "helo_plus",
        "helo_three",
        "ldap_cut",
        "ldap_huge",
        "ldap_length_14",
        "ldap_more_missing",
        "ldap_not_cut",
        "ldap_one",
        "login_cut",
        "login_garbage",
        "login_greeting_only",
        "login_header_cut",
        "mysql_cut",
        "mysql_header_cut",
        "mysql_not",
        "pgsql_eight",
        "pgsql_error_four",
        "pgsql_no_tls",
        "quit_cut",
        "smtp_greeting_cut",
        "smtp_greeting_four",
        "smtp_greeting_only",
        "tls_cut",
        "tls_not_cut",
    ]
)
SINGLE = {
    **{f"{name}_refused": Case(option, None) for name, (option, _) in OPTIONS.items()},
    **{f"{name}_silent": Case(option, (end_of,), SHORT) for name, (option, _) in OPTIONS.items()},
    **{
        f"{name}_closed": Case(option, (receive(count), end, hold))
        for name, (option, count) in OPTIONS.items()
    },
    **{
        f"{name}_reset": Case(option, (receive(count), pause, reset))
        for name, (option, count) in OPTIONS.items()
    },
    **{
        f"pgsql_kind_{kind}": Case(PGSQL, (receive(18), send(asked(kind)), hold))
        for kind in range(13)
    },
    "helo_lines": Case(
        SMTP,
        (GREETING, HELO, send(b"250-a\nb\r\n299-\r\n250 c\r\n"), QUIT, send(b"250 d\r\n"), hold),
    ),
    "helo_two_parts": Case(
        SMTP, (GREETING, HELO, send(b"250-a\r\n2"), pause, send(b"50 b\r\n"), QUIT, end, hold)
    ),
    "helo_closed": Case(SMTP, (GREETING, HELO, end, hold)),
    "helo_reset": Case(SMTP, (GREETING, HELO, reset)),
    "quit_silent": Case(SMTP, (*DONE, end_of), SHORT),
    "quit_closed": Case(SMTP, (*DONE, end, hold)),
    "quit_reset": Case(SMTP, (*DONE, reset)),
    "quit_reset_behind": Case(SMTP, (*DONE, send(b"221 x\r\n"), reset)),
    "quit_two_parts": Case(SMTP, (*DONE, send(b"22"), pause, send(b"1 bye\r\n"), hold)),
    "quit_part": Case(SMTP, (*DONE, send(b"221 b"), pause, send(b"ye\r\n"), hold)),
    "greeting_then_end": Case(SMTP, (send(b"220 x\r\n"), pause, end, hold)),
    "smtp_ahead": Case(SMTP, (send(b"220 x\r\n250 y\r\n"), HELO, end_of), SHORT),
    "smtp_ehlo": Case(
        ("option smtpchk EHLO me.test",),
        (GREETING, receive(14), send(b"250-mx\r\n250 HELP\r\n"), receive(20), end, hold),
    ),
    **{
        f"smtp_words_{number}": Case((f"option smtpchk {words}",), (GREETING, end_of), SHORT)
        for number, words in enumerate(
            (
                "HELO me",
                "HELO",
                "ehlo me",
                "FOO me",
                "FOO",
                '""',
                'HELO ""',
                'HELO "a b"',
                r"HELO a\r\nb",
                "EHLO %[src]",
                "EHLO é%",
            ),
        )
    },
    **{
        f"login_words_{number}": Case((f"option mysql-check {words}",), (end_of,), SHORT)
        for number, words in enumerate(
            (
                "user u post-41",
                "user u pre-41",
                f"user {'u' * 300}",
                f"user {'u' * 300} pre-41",
                'user "a b"',
                "user %[src]",
                "user é",
                'user u ""',
                '""',
                '"" user u',
            ),
        )
    },
    **{
        f"pgsql_words_{number}": Case((f"option pgsql-check {words}",), (end_of,), SHORT)
        for number, words in enumerate((f"user {'u' * 300}", 'user "a b"', "user %[src]", "user é"))
    },
    "mysql_reset_behind": Case(MYSQL, (send(VERSION), pause, reset)),
    "mysql_reset_within": Case(MYSQL, (send(VERSION[:9]), pause, reset)),
    "login_parts": Case(
        MYSQL_USER,
        (receive(46), send(VERSION[:5]), pause, send(VERSION[5:]), pause, send(LOGGED_IN), hold),
    ),
    "login_reset_behind": Case(MYSQL_USER, (receive(46), send(VERSION + LOGGED_IN), reset)),
    "login_reset_within": Case(MYSQL_USER, (receive(46), send(VERSION), pause, reset)),
    "pgsql_parts": Case(PGSQL, (receive(18), send(asked(0)[:6]), pause, send(asked(0)[6:]), hold)),
    "pgsql_error_parts": Case(
        PGSQL, (receive(18), send(PG_ERROR[:8]), pause, send(PG_ERROR[8:]), hold)
    ),
    "pgsql_reset_behind": Case(PGSQL, (receive(18), send(asked(0)), reset)),
    "ldap_parts": Case(LDAP, (receive(14), send(bound(0)[:5]), pause, send(bound(0)[5:]), hold)),
    "ldap_reset_within": Case(LDAP, (receive(14), send(bound(0)[:5]), pause, reset)),
    "tls_reset_within": Case(TLS, (receive(126), send(b"\x16\3"), pause, reset)),
    "header": Case(SMTP, (end_of,), f"{SHORT} send-proxy"),
    "header_of_checks": Case(LDAP, (end_of,), f"{SHORT} check-send-proxy"),
    "last_option": Case((*LDAP, "option redis-check", *PGSQL), (receive(18), send(asked(0)), hold)),
}
CASES = {
    **{
        name: case if name in ENDLESS else case._replace(server=CHECK)
        for name, (case, _) in BY_TWO.items()
    },
    **{f"{name}_ends": case for name, (_, case) in BY_TWO.items()},
    **SINGLE,
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Told]]:
    folder = tmp_path_factory.mktemp("peers")
    return {program: tell(program, folder, CASES) for program in ("haproxy", "millrace")}


@pytest.mark.parametrize("name", CASES)
def test_a_check_is_the_same(told: dict[str, dict[str, Told]], name: str) -> None:
    assert told["millrace"][name] == told["haproxy"][name]
