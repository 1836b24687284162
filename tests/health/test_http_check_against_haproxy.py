"""`option httpchk` and `http-check`: the same requests, judgements and texts as HAProxy's."""

from __future__ import annotations

import socket

import pytest

from tests.health.check_peers import Act, Case, Told, hold, pause, reset, send, tell

OPTION = "option httpchk"
GET = "option httpchk GET /x HTTP/1.1"
SEND = "http-check send"
SHORT = "check inter 400 fall 1 rise 1"  # of servers that never say what is expected
OK = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def request(connection: socket.socket, received: bytearray) -> None:
    """Take a request with the body that its length announces."""
    while b"\r\n\r\n" not in received:
        _take(connection, received)
    head, _, _ = received.partition(b"\r\n\r\n")
    lengths = [
        int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")
    ]
    while len(received) < len(head) + 4 + sum(lengths):
        _take(connection, received)


def _take(connection: socket.socket, received: bytearray) -> None:
    data = connection.recv(4096)
    if not data:
        raise OSError("the check has ended")
    received += data


def reply(code: str, body: bytes = b"", headers: str = "", length: int | None = -1) -> Act:
    """An answer; `length` None: until the connection is closed, -1: the body's own."""
    counted = len(body) if length == -1 else length
    if counted is not None:
        headers += f"Content-Length: {counted}\r\n"
    return send(f"HTTP/1.1 {code}\r\n{headers}\r\n".encode() + body)


def sends(*lines: str) -> Case:
    """What these lines make of the request, which is answered."""
    return Case(lines, (request, send(OK)))


def expects(words: str, *acts: Act, server: str = "", before: tuple[str, ...] = ()) -> Case:
    lines = (OPTION, *before, f"http-check expect {words}")
    return Case(lines, (request, *acts), server or Case._field_defaults["server"])


CASES = {
    # what is sent
    "bare": sends(OPTION),
    "uri": sends("option httpchk /x?y=1"),
    "method": sends("option httpchk GET /x"),
    "version": sends(GET),
    "version_newer": sends("option httpchk GET /x HTTP/2.0"),
    "version_older": sends("option httpchk GET /x HTTP/0.9"),
    "version_small": sends("option httpchk GET /x http/1.1"),
    "version_other": sends("option httpchk GET /x FOO"),
    "old_headers": sends(r"option httpchk GET /x HTTP/1.1\r\nHost:\ www.x\r\nUser-Agent:\ hap"),
    "old_headers_end": sends(r"option httpchk GET /x HTTP/1.0\r\nHost:a\r\nConnection:\ close\r\n"),
    "old_body": sends(r"option httpchk POST /x HTTP/1.1\r\nA:\ b\r\n\r\nbody"),
    "old_length": sends(r"option httpchk GET /x HTTP/1.1\r\nContent-Length:\ 5"),
    "old_and_new": sends(r"option httpchk GET /x HTTP/1.1\r\nA:\ b", f"{SEND} hdr C d"),
    "old_kept": sends(r"option httpchk GET /x HTTP/1.1\r\nA:\ b", f"{SEND} uri /y"),
    "old_body_kept": sends(
        r"option httpchk POST /x HTTP/1.1\r\nA:\ b\r\n\r\nbody", f"{SEND} hdr Q r"
    ),
    "asterisk": sends("option httpchk OPTIONS * HTTP/1.1", f"{SEND} hdr Host www"),
    "body": sends(OPTION, f"{SEND} meth POST uri /p ver HTTP/1.1 hdr Host a.b hdr X-Y z body abc"),
    "body_of_get": sends(GET, f"{SEND} body abc"),
    "framing": sends(OPTION, f"{SEND} hdr Content-Length 7 hdr Transfer-Encoding chunked body abc"),
    "post_empty": sends("option httpchk POST /x HTTP/1.1"),
    "put_empty": sends("option httpchk PUT /x"),
    "delete_empty": sends("option httpchk DELETE /x HTTP/1.1"),
    "head": sends("option httpchk HEAD /x HTTP/1.1"),
    "unknown_method": sends("option httpchk FOO /x HTTP/1.1"),
    "small_method": sends("option httpchk get /x"),
    "repeated_header": sends(GET, f"{SEND} hdr A b hdr A c"),
    "repeated_word": sends(GET, f"{SEND} meth GET meth PUT uri /a uri /b"),
    "host_with_1_0": sends("option httpchk GET /x", f"{SEND} hdr Host b"),
    "host_is_authority": sends(
        "option httpchk GET http://q:80/x?y#z HTTP/1.1", f"{SEND} hdr Host z"
    ),
    "host_behind_user": sends("option httpchk GET http://u:p@q/x HTTP/1.1", f"{SEND} hdr Host z:1"),
    "host_of_connect": sends("option httpchk CONNECT a:1 HTTP/1.1", f"{SEND} hdr Host z:81"),
    "host_of_authority": sends("option httpchk GET a.b:80 HTTP/1.1", f"{SEND} hdr Host x:1"),
    "keep_alive": sends(GET, f"{SEND} hdr A b hdr Connection keep-alive hdr C d body x"),
    "keep_alive_1_0": sends(OPTION, f"{SEND} hdr Connection keep-alive"),
    "close": sends(GET, f"{SEND} hdr A b hdr Connection close hdr C d body x"),
    "close_1_0": sends(OPTION, f'{SEND} hdr Connection "close, foo"'),
    "close_among_others": sends(GET, f'{SEND} hdr Connection "close, foo, close" hdr Upgrade u'),
    "other_connection": sends(GET, f"{SEND} hdr Connection upgrade hdr Upgrade foo"),
    "percent": sends(OPTION, f"{SEND} hdr A 100%%"),
    "spaces": sends(OPTION, rf'{SEND} hdr A "b c" uri /a\ b'),
    "not_ascii": sends(OPTION, f"{SEND} hdr X-é é body é"),
    "option_behind": sends(f"{SEND} hdr A b", "option httpchk GET /x"),
    "last_option": sends("option tcp-check", "option httpchk GET /a", "option httpchk GET /b"),
    "connect": sends(GET, "http-check connect", f"{SEND} uri /y"),
    "connect_alone": sends(GET, "http-check connect linger"),
    "proxy_header": Case((GET, "http-check connect send-proxy"), (request, send(OK))),
    "two_connections": sends(
        GET,
        *("http-check connect", f"{SEND} uri /a", "http-check expect status 200"),
        *("http-check connect", f"{SEND} uri /b", "http-check expect status 200"),
    ),
    # the usual status
    "redirect": Case((OPTION,), (request, reply("302 Found"))),
    "not_found": Case((OPTION,), (request, reply("404 Not Found"))),
    "error": Case((OPTION,), (request, reply("500 Oh No", b"abc"))),
    "error_behind_connect": Case(
        (OPTION, "http-check connect", f"{SEND} uri /a"), (request, reply("500 No"))
    ),
    "continue": Case((OPTION,), (request, reply("100 Continue", length=None), pause, send(OK))),
    "silent": Case((OPTION,), (request, hold), SHORT),
    "closed": Case((OPTION,), (request,)),
    "reset": Case((OPTION,), (request, reset)),
    "refused": Case((OPTION,), None),
    "refused_later": Case(
        (
            *(OPTION, "http-check connect", "http-check send", "http-check expect status 200"),
            *("http-check connect port 1 comment vv", "http-check send uri /y"),
        ),
        (request, send(OK)),
    ),
    "reset_behind": Case((OPTION,), (request, send(OK), reset)),
    "reset_behind_error": Case((OPTION,), (request, reply("500 No"), reset)),
    # 404 as the way out
    "stops": Case((OPTION, "http-check disable-on-404"), (request, reply("404 Gone"))),
    "stops_expected": expects(
        "comment c on-error d on-success e status 404",
        reply("404 Gone"),
        before=("http-check disable-on-404",),
    ),
    "stops_body": expects("string a", reply("404 X", b"a"), before=("http-check disable-on-404",)),
    "stops_not": expects("status 404", reply("500 X"), before=("http-check disable-on-404",)),
    # expectations
    "status": expects("status 200", reply("200 OK")),
    "status_list": expects("status 200,204-206,", reply("205 Hm")),
    "status_list_otherwise": expects("status 200,204-206", reply("203 Hm")),
    "status_unwanted": expects("! status 500-599", reply("503 Hm")),
    "status_regex": expects("rstatus ^2", reply("203 Hm")),
    "status_regex_otherwise": expects("rstatus ^5", reply("203 Hm")),
    "string": expects("string foo", reply("200 OK", b"a foo b")),
    "string_any_status": expects("string foo", reply("500 Bad", b"a foo b")),
    "string_otherwise": expects("string foo", reply("200 OK", b"a fo b"), hold),
    "string_unwanted": expects("! string foo", reply("200 OK", b"a foo b")),
    "string_unwanted_absent": expects("! string foo", reply("200 OK", b"a fo b"), hold),
    "string_none": expects("string foo", reply("200 OK")),
    "string_unwanted_none": expects("! string foo", reply("200 OK")),
    "string_early": expects("string foo", reply("200 OK", b"a foo", length=100), hold),
    "string_cut": expects("string foo", reply("200 OK", b"a fo", length=100)),
    "string_unwanted_cut": expects("! string foo", reply("200 OK", b"a fo", length=100)),
    "string_in_pieces": expects(
        "string foo", reply("200 OK", b"a fo", length=None), pause, send(b"o b")
    ),
    "string_missing": expects(
        "string foo", reply("200 OK", b"a fo", length=None), hold, server=SHORT
    ),
    "regex": expects("rstring fo+", reply("200 OK", b"a foo b")),
    "regex_otherwise": expects("rstring ^fo+", reply("200 OK", b"a foo b")),
    "chunks": expects(
        "string foobar",
        send(CHUNKED + b"3\r\nfoo\r\n"),
        pause,
        send(b"3\r\nbar\r\n"),
        hold,
    ),
    "chunks_otherwise": expects(
        "string foobaz", send(CHUNKED + b"3\r\nfoo\r\n3\r\nbar\r\n0\r\n\r\n"), hold
    ),
    "body_of_head": Case(
        ("option httpchk HEAD /", "http-check expect string foo"),
        (request, reply("200 OK", b"foooo"), hold),
    ),
    "header": expects("hdr name x-a", reply("200 OK", headers="X-A: 1\r\n")),
    "header_absent": expects("hdr name x-a", reply("200 OK", headers="X-B: 1\r\n")),
    "header_element": expects("hdr name x-a value 2", reply("200 OK", headers="X-A: 1, 2\r\n")),
    "header_otherwise": expects("hdr name x-a value 3", reply("200 OK", headers="X-A: 1, 2\r\n")),
    "header_quoted": expects(
        r"hdr name x-a value \"a,b\"", reply("200 OK", headers='X-A: x, "a,b" , c\r\n')
    ),
    "header_whole": expects('fhdr name x-a value "1, 2"', reply("200 OK", headers="X-A: 1, 2\r\n")),
    "header_whole_otherwise": expects(
        "fhdr name x-a value 2", reply("200 OK", headers="X-A: 1, 2\r\n")
    ),
    "header_repeated": expects(
        "fhdr name x-a value foo", reply("200 OK", headers="X-A: bar\r\nX-A: foo\r\n")
    ),
    "header_methods": expects(
        "hdr name -m beg X- value -m reg ^v.l", reply("200 OK", headers="X-C: VAL, val\r\n")
    ),
    "header_value_case": expects("hdr name x value B", reply("200 OK", headers="X: b\r\n")),
    "header_regex_case": expects("hdr name x value -m reg ^V", reply("200 OK", headers="X: v\r\n")),
    "header_name_regex": expects("hdr name -m reg ^X-", reply("200 OK", headers="X-A: b\r\n")),
    "header_parts": expects(
        "fhdr name -m sub -b value -m end cd", reply("200 OK", headers="A-B-c: ab,cd  \r\n")
    ),
    "header_empty": expects("hdr name x value -m reg ^$", reply("200 OK", headers="X: \r\n")),
    "header_unwanted": expects("! hdr name x value 1", reply("200 OK", headers="X: 1\r\n")),
    "least_reached": expects("min-recv 3 string z", reply("200 OK", b"foo", length=10), hold),
    "least_missing": expects(
        "min-recv 4 string z", reply("200 OK", b"foo", length=10), hold, server=SHORT
    ),
    "least_of_status": expects("min-recv 40 status 200", reply("200 OK", b"foo", length=50), hold),
    "least_complete": expects("min-recv 40 string z", reply("200 OK", b"foo"), hold),
    "two": expects("string foo", reply("200 OK", b"fo"), before=("http-check expect status 200",)),
    "full": expects("string zz", reply("200 OK", b"a" * 40_000 + b"zz"), hold),
    "full_unwanted": expects("! string zz", reply("200 OK", b"a" * 40_000 + b"zz"), hold),
    "full_head": expects("status 200", reply("200 OK", headers=f"X: {'a' * 20_000}\r\n"), hold),
    "comment": expects("comment hello status 200", reply("503 Hm")),
    "comment_before": expects("status 200", reply("503 Hm"), before=("http-check comment hey",)),
    "comment_closed": expects("comment ww status 200"),
    "comment_silent": expects("comment ww status 200", hold, server=SHORT),
    "comment_body": expects("comment cc string foo", reply("200 OK", b"x")),
    "on_error": expects("comment cc on-error bad status 200", reply("503 Hm")),
    "on_error_closed": expects("comment cc on-error bad status 200"),
    "on_error_garbage": expects("comment cc on-error bad status 200", send(b"220 hello\r\n"), hold),
    "on_success": expects("comment cc on-success fine status 200", reply("200 OK")),
    "ok_status": expects("ok-status L7OKC status 200", reply("200 OK")),
    "ok_layer_4": expects("ok-status L4OK status 200", reply("200 OK")),
    "error_status": expects("error-status L7RSP status 200", reply("503 Hm")),
    "error_conditional": expects("error-status L7OKC string foo", reply("200 OK", b"x")),
    "error_of_body": expects("error-status L7STS string foo", reply("200 OK", b"x")),
    "error_garbage": expects("error-status L7STS string foo", send(b"220 hello\r\n")),
    "timeout_status": expects("tout-status L6TOUT status 200", hold, server=SHORT),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Told]]:
    folder = tmp_path_factory.mktemp("peers")
    return {program: tell(program, folder, CASES) for program in ("haproxy", "millrace")}


@pytest.mark.parametrize("name", CASES)
def test_a_check_is_the_same(told: dict[str, dict[str, Told]], name: str) -> None:
    assert told["millrace"][name] == told["haproxy"][name]
