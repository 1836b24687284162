"""Heads of HTTP requests, good and bad, for what HAProxy takes for HTTP."""

from __future__ import annotations

from collections.abc import Iterator

LINES = (
    *(
        "GET / HTTP/1.1",
        "GET  /  HTTP/1.1",
        "GET\t/\tHTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / HTTP/2.0",
    ),
    *("GET / HTTP/1.10", "GET / FOO/1.1", "GET / http/1.1", "GET / HTTP/a.1", "GET / H", "GET / @"),
    *("GET", "GET ", "GET / ", "GET /", "POST /", " GET / HTTP/1.1", "G(T / HTTP/1.1", "get / X"),
    *("GET /\x01 HTTP/1.1", "GET /a#b HTTP/1.1", 'GET /"{ HTTP/1.1', "GET //a HTTP/1.1"),
    *("GET a HTTP/1.1", "GET ?a HTTP/1.1", "GET a:b HTTP/1.1", "GET u@a HTTP/1.1", "GET *a X"),
    *("GET a:80 HTTP/1.1", "GET a: HTTP/1.1", "GET a/b HTTP/1.1", "OPTIONS * HTTP/1.1"),
    *("GET http://a/b HTTP/1.1", "GET http:// HTTP/1.1", "GET http://b/ HTTP/1.1"),
    *("GET http://u:p@q@A/ HTTP/1.1", "GET http://a?x HTTP/1.1", "GET http:/a HTTP/1.1"),
    *("GET http://a:80/ HTTP/1.1", "GET http://a:443/ HTTP/1.1", "GET https://a:443/ HTTP/1.1"),
    *("GET x+y://a: HTTP/1.1", "GET 1://a HTTP/1.1", "GET ://a HTTP/1.1", "GET !://a HTTP/1.1"),
    *("CONNECT a:1 HTTP/1.1", "CONNECT a:80 HTTP/1.1", "CONNECT a:443 HTTP/1.1"),
    *("CONNECT a HTTP/1.1", "CONNECT a: HTTP/1.1", "CONNECT a:x HTTP/1.1", "CONNECT / HTTP/1.1"),
    *("CONNECT http://a:1/ HTTP/1.1", "CONNECT [::1]:5 HTTP/1.1", "CONNECT [::1] HTTP/1.1"),
)
HOSTS = ("", "Host:", "Host: a", "Host: A ", "Host: a:80", "Host: a:443", "Host: a:", "Host: a:1")
FIELDS = (
    *("", "A", "A :b", ":b", " a: b", "A: b| c", "A: b|\tc", "A: \x01b", "A(: b", "A:", "A: b\rc"),
    *(
        "A: b|C",
        "A\t: b",
        "A:| b",
        "A: b| |",
        "Host: a|Host: A",
        "Host: a|Host: b",
        "Host:|Host: a",
    ),
    *("Content-Length: 1", "Content-Length: x", "Content-Length:", "Content-Length: 1, 1"),
    *("Content-Length: 1,2", "Content-Length: 1,", "Content-Length: ,1", "Content-Length: 1 1"),
    *("Content-Length: 1|content-length: 2", "Content-Length: 01|Content-Length: 1"),
    *("Content-Length: +1", "Content-Length: 1| ,1", "Content-Length: 9223372036854775807"),
    *("Transfer-Encoding: chunked", "Transfer-Encoding: x", "Transfer-Encoding: chunked, x"),
    *("Transfer-Encoding: x, CHUNKED", "Transfer-Encoding:", "Transfer-Encoding: chunked,"),
    *("Transfer-Encoding: chunked|Transfer-Encoding: chunked", "Transfer-Encoding: chunked;x"),
    *("Transfer-Encoding: x|Transfer-Encoding: chunked", "Transfer-Encoding: chunked x"),
    *("Transfer-Encoding: chunked|Content-Length: 1", 'Transfer-Encoding: x;a=",", chunked'),
)
COUNTS = (97, 98, 99, 100, 101)  # of lines: HAProxy has a limit
OTHERS = (
    *("\r", "\r\n", "\r\nGET / HTTP/1.1\r\n\r\n", "\n\nGET / HTTP/1.1\n\n", "\rx", "\r\r\n"),
    *("GET / HTTP/1.1\rX", "GET / HTTP/1.1\r\nA: b\r\n\rx", "GET /\n", "GET / \r", "POST /\r"),
    *("PRI * HTTP/2.0\r\n\r\nSM", "GET\r", "GET \r", "GET \r\n"),
)


def head(line: str, fields: str) -> bytes:
    """A request whose fields are separated by bars."""
    lines = [line, *(fields.split("|") if fields else ())]
    return "".join(each + "\r\n" for each in (*lines, "")).encode("latin-1")


def requests() -> Iterator[bytes]:
    """Each line with each host, each field in a good request, some of them cut."""
    for line in LINES:
        for host in HOSTS:
            yield head(line, host)
    for fields in FIELDS:
        whole = head("GET / HTTP/1.1", fields)
        yield whole
        yield whole[:-2]
        yield whole[:-2] + b"A"
    for count in COUNTS:
        whole = head("GET / HTTP/1.1", "|".join(["a: b"] * count))
        yield whole
        yield whole[:-2]
    for other in OTHERS:
        yield other.encode("latin-1")
