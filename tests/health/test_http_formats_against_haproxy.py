"""Formats, expressions and variables in `http-check`: what HAProxy makes of them."""

from __future__ import annotations

import pytest

from tests.health.check_peers import Act, Case, Told, hold, send, tell
from tests.health.test_http_check_against_haproxy import request

USUAL = Case._field_defaults["server"]
ANSWER = send(b"HTTP/1.1 203 Hm\r\nX-A: 1, 2\r\nX-A: 3\r\nContent-Length: 5\r\n\r\nab cd")
LARGE = "str(abcdefgh)" + ",hex" * 11
FILLED = (
    (16_227, 'meth POST uri /a body-lf "%[var(check.x)]"'),
    (16_231, 'meth POST uri-lf "/%[var(check.x)]" body a'),
    (16_264, 'meth GET uri-lf "/%[var(check.x)]"'),
    (16_236, 'meth GET uri-lf "/%[var(check.x)]" hdr abc def hdr abc def'),
    (16_252, 'meth GET uri-lf "/a" hdr abc "%[var(check.x)]"'),
    (16_264, 'meth GET uri-lf "/%[var(check.x)]" ver HTTP/1.1'),
)
WITH_NUL = send(b"HTTP/1.0 200 OK\r\nContent-Length: 8\r\n\r\n1\0_ab_zz")
GARBAGE = send(b"HTTP/1.1 200 OK\r\nX-A: \xff\xfe\r\n\r\n" + b"\0\xff%[str(a)]\r\n" * 2_000)


def case(
    *rules: str,
    option: str = "option httpchk",
    acts: tuple[Act, ...] = (request, ANSWER),
    server: str = USUAL,
) -> Case:
    return Case((option, *(f"http-check {rule}" for rule in rules)), acts, server)


def filled(length: int, send: str) -> Case:
    """A request with so many bytes of a variable: with one more of them it is too large."""
    value = f"set-var(check.x) {LARGE},bytes(0,{length})"
    return case(value, "connect", f"send {send}", "expect status 203")._replace(heard=False)


CASES = {
    "request": case(
        'send meth GET uri-lf "/%s?%[var(check.x)]x" ver HTTP/1.1 hdr A "%b-%[str(q)]" '
        'hdr Host "%[str(hh)]" body-lf "<%s>"'
    ),
    "uri_empty": case('send uri-lf "%[var(check.x)]"'),
    "uri_last": case('send uri /a uri-lf "/%s"'),
    "uri_last_plain": case('send uri-lf "/%s" uri /b'),
    "uri_of_option": case('send hdr A "%s"', option="option httpchk GET /y HTTP/1.1"),
    "uri_not_of_option": case('send uri-lf "/%s"', option="option httpchk GET /y HTTP/1.1"),
    "body_last": case('send meth POST body a body-lf "%b"'),
    "header_empty": case('send hdr A "%[var(check.x)]" hdr B "c"'),
    "header_spaces": case('send hdr A "  %s   b "'),
    "header_of_option": case(option=r"option httpchk GET /x HTTP/1.1\r\nHost:\ %s.%b"),
    "header_bytes": case('send hdr A "x%[bin(0d0a)]B: c%[bin(ff)]" uri-lf "/a%[bin(20)]b"'),
    "authority": case(
        'send meth GET uri-lf "http://%[str(a.b)]/x" ver HTTP/1.1 hdr Host "%[str(hh)]"'
    ),
    "framing": case(
        'send meth GET uri-lf "/" ver HTTP/1.1 hdr Connection "%[str(keep-alive)]" '
        'hdr Content-Length "%s"'
    ),
    "success": case(
        'expect status 203 on-success "%s %[status] [%[res.body]] [%[res.hdr(x-a)]] '
        '[%[res.hdr(x-a,1)]] [%[res.fhdr(x-a)]] [%[res.hdr_cnt(x-a)]] [%[res.fhdr_cnt(x-a)]]"'
    ),
    "error": case('expect status 200 on-error "%s %[status] [%[res.body]]" comment cc'),
    "error_closed": case(
        'expect status 200 on-error "%s %[status] [%[res.body]]" comment cc', acts=(request,)
    ),
    "error_empty": case('expect status 200 on-error "%[var(check.x)]" comment cc'),
    "code": case("expect status 203 status-code int(77)"),
    "code_of_header": case("expect status 203 status-code res.hdr(x-a,1)"),
    "code_of_error": case("expect status 200 status-code int(77)"),
    "code_none": case("expect status 203 status-code res.hdr(nope)"),
    "string": case('expect string-lf "%[str(ab)]"'),
    "string_otherwise": case('expect string-lf "%[str(zz)]"'),
    "string_unwanted": case('expect ! string-lf "%[str(ab)]"'),
    "string_unwanted_absent": case('expect ! string-lf "%[str(zz)]"'),
    "string_empty": case('expect string-lf "%[var(check.x)]" comment cc'),
    "string_of_answer": case("set-var(check.s) str(x)", 'expect string-lf "%[res.hdr(x-b)]b c"'),
    "name": case('expect hdr name-lf "%[str(x-a)]" value 3'),
    "name_case": case('expect hdr name-lf "%[str(X-A)]" value 3'),
    "name_otherwise": case('expect hdr name-lf "%[str(x-b)]"'),
    "name_empty": case('expect hdr name-lf "%[var(check.x)]" comment cc'),
    "name_and_value": case('expect fhdr name-lf -m beg "%[str(x-)]" value-lf -m end "%[str(2)]"'),
    "value": case('expect hdr name x-a value-lf "%[str(3)]"'),
    "value_otherwise": case('expect hdr name x-a value-lf "%[str(4)]"'),
    "value_empty": case('expect hdr name x-a value-lf "%[var(check.x)]" comment cc'),
    "variables": case(
        *("set-var(check.x) str(abc)", "connect", 'send uri-lf "/%[var(check.x)]"'),
        *("expect status 203", "set-var(check.y) status", "set-var(check.z) res.body", "connect"),
        *('send uri-lf "/second"', 'expect string-lf "%[var(check.z)]"'),
        'expect status 203 on-success "%[var(check.x)] %[var(check.y)] %[var(check.z)]"',
    ),
    "variable_alone": case("set-var(check.x) str(abc)"),
    "variable_before_send": case("set-var(check.x) str(a)", 'send uri-lf "/%[var(check.x)]"'),
    "variable_before_connect": case(
        "set-var(check.x) str(a)", "connect", 'send uri-lf "/%[var(check.x)]"'
    ),
    "variable_last": case(
        'expect status 203 on-success "%[var(check.x)]"', "set-var(check.x) str(abc)"
    ),
    "variable_behind_error": case("expect status 200", "set-var(check.x) str(abc)"),
    "port": case(
        *("set-var(check.p) int(PORT)", "connect port var(check.p)", "send uri /a"),
        server="check port 1 inter 2s fall 1 rise 1",
    ),
    "body_none": case(
        'expect status 200 on-success "[%[res.body,length]] [%[res.body,hex]]"',
        acts=(request, send(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")),
    ),
    "body_with_nul": case(
        'expect status 200 on-success "[%[res.body]] [%[res.body,length]] [%[res.body,hex]] '
        '[%[res.body,field(2,_)]] [%[res.body,upper,hex]]"',
        acts=(request, WITH_NUL),
    ),
    **{
        f"code_of_answer_{code}": case(
            "expect status 203", acts=(request, send(b"HTTP/1.0 %d OK\r\n\r\n" % code))
        )
        for code in (999, 32_767, 32_768, 40_000, 65_535, 65_536)
    },
    "code_of_header_large": case(
        "expect status 200 status-code res.hdr(x-code)",
        acts=(request, send(b"HTTP/1.0 200 OK\r\nX-Code: -4000000000\r\n\r\n")),
    ),
    "code_of_body": case("expect status 200 status-code res.body", acts=(request, WITH_NUL)),
    "string_behind_nul": case('expect string-lf "%[str(zz)]"', acts=(request, WITH_NUL)),
    "string_with_nul": case('expect string-lf "%[bin(31005f)]"', acts=(request, WITH_NUL)),
    "header_numbers": case(
        'expect status 203 on-success "[%[res.hdr(x-a,1),add(1)]] [%[res.hdr(x-a,-1),mul(-7)]] '
        "[%[res.hdr(x-a,9),add(1)]] [%[res.hdr(x-a,-3),neg]] [%[res.hdr(x-a,-4)]] "
        "[%[res.fhdr(x-a,1),field(2,',')]]\""
    ),
    **{
        f"room_{at}_{length}": filled(length, send)
        for at, (length_max, send) in enumerate(FILLED)
        for length in (length_max, length_max + 1)
    },
    "no_room_behind": case(
        *("comment one", "set-var(check.y) str(a)", "connect", "send", "expect status 203"),
        *("comment two", "connect", f'send body-lf "%[{LARGE}]" comment cc', "expect status 203"),
    )._replace(heard=False),
    "no_room": case(
        "set-var(check.y) str(a)", f'send body-lf "%[{LARGE}]" comment cc', acts=(hold,)
    )._replace(heard=False),
    "garbage": case(
        'expect status 200 on-success "%[res.hdr(x-a)]"',
        "set-var(check.x) res.body",
        'expect ! string-lf "%[var(check.x),hex]"',
        acts=(request, GARBAGE),
    ),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Told]]:
    folder = tmp_path_factory.mktemp("peers")
    return {program: tell(program, folder, CASES) for program in ("haproxy", "millrace")}


@pytest.mark.parametrize("name", CASES)
def test_a_check_is_the_same(told: dict[str, dict[str, Told]], name: str) -> None:
    assert told["millrace"][name] == told["haproxy"][name]
