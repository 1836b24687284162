"""Samples of first bytes: what they are, and whether more bytes are waited for, beside HAProxy."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from tests.support.content.looking import EXPRESSIONS, OF_HTTP, look
from tests.support.content.mutations import kinds, mutated
from tests.support.content.oracle import Look, oracle
from tests.support.content.requests import requests
from tests.support.generated import sample

CASES = sample(1_200, 20_000)  # looks at each protocol
MESSAGE_HEADER_BYTES = 4
LATE_BYTES = 4  # HAProxy begins to read a hello when so many are still missing
DIGITS_MAX = 18
OF_HELLO = ("req.ssl_sni", "req.ssl_alpn", "req.ssl_ec_ext", "req.ssl_st_ext", "req.ssl_hello_type")


def differs_on_purpose(expression: str, content: bytes) -> bool:
    """Whether docs/differences.md says so: of hellos in pieces, and requests that HAProxy misreads."""
    if expression == "req.proto_http":
        digits = b"".join(bytes([b]) if b in b"0123456789" else b" " for b in content).split()
        return any(byte >= 0x7F for byte in content) or any(len(d) > DIGITS_MAX for d in digits)
    if content[:1] != b"\x16" or len(content) < 9:
        return False
    record, message = int.from_bytes(content[3:5], "big"), int.from_bytes(content[6:9], "big")
    needed = MESSAGE_HEADER_BYTES + message
    if expression == "req.ssl_ver":
        return record < 6
    return expression in OF_HELLO and (
        record < needed or needed - LATE_BYTES <= len(content) - 5 < needed
    )


def has_overlong_name(content: bytes) -> bool:
    """Whether a server name is longer than its list: HAProxy tells what is in its memory then."""
    found = re.search(rb"\0\0..(..)\0(..)", content[40:], re.DOTALL)
    return found is not None and int.from_bytes(found[1], "big") < 3 + int.from_bytes(
        found[2], "big"
    )


def ours(expression: str, content: bytes) -> Look:
    """What HAProxy tells by one variable, which has the first value."""
    values, unsettled = look(expression, content)
    if not values:
        return Look(False, unsettled, "")
    value = values[0] if isinstance(values[0], bytes) else values[0].to_bytes(8, "big")
    return Look(True, unsettled, value.hex().upper())


@pytest.mark.slow
def test_samples_are_haproxys_and_so_is_what_is_waited_for(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    contents = [
        mutated(chance, chance.choice(beginnings))
        for beginnings in kinds().values()
        for _ in range(CASES // len(EXPRESSIONS) + 1)
    ]
    questions = [
        (number, content)
        for number, expression in enumerate(EXPRESSIONS)
        for content in contents
        if not differs_on_purpose(expression, content)
    ]
    with oracle(tmp_path, EXPRESSIONS) as haproxy:
        looks = list(haproxy.looks(questions))
    wrong = [
        f"{EXPRESSIONS[number]} of {content!r}: HAProxy {theirs}, Millrace {mine}"
        for (number, content), theirs in zip(questions, looks, strict=True)
        if (mine := ours(EXPRESSIONS[number], content)) != theirs
        and not (
            EXPRESSIONS[number] == "req.ssl_sni" and theirs.found and has_overlong_name(content)
        )
    ]
    assert not wrong, "\n".join(wrong[:10])
    assert 0.1 < sum(each.found for each in looks) / len(looks) < 0.9
    assert 0.1 < sum(each.unsettled for each in looks) / len(looks) < 0.9


@pytest.mark.slow
def test_what_is_http_is_so_for_haproxy(tmp_path: Path) -> None:
    heads = list(requests())
    with oracle(tmp_path, ["req.proto_http"]) as haproxy:
        looks = list(haproxy.looks([(0, content) for content in heads]))
    wrong = [
        f"{content!r}: HAProxy {theirs}"
        for content, theirs in zip(heads, looks, strict=True)
        if ours("req.proto_http", content) != theirs
    ]
    assert not wrong, "\n".join(wrong[:20])
    assert 0.2 < sum(each.found for each in looks) / len(looks) < 0.8


HEADS = (
    b"GET /a/b?b=1&c&b=2 HTTP/1.1\r\nHost: a.b:80\r\nX: 1, 2\r\nX: 3\r\n\r\n",
    b"POST http://h/p?b HTTP/1.0\r\nhost: h\r\nx:\r\nContent-Length: 3\r\n\r\nabc",
    b'OPTIONS * HTTP/1.1\nHost: a\nX: "1,2" , 3\n\n',
    b"GET /?b=&b HTTP/1.1\r\n\r\nGET /second HTTP/1.1\r\n\r\n",
)


def heads(chance: random.Random) -> list[bytes]:
    """Requests: whole ones, cut at every byte, and what chance makes of them."""
    cut = [head[:end] for head in HEADS for end in range(1, len(head), 7)]
    return [*HEADS, *cut, *(mutated(chance, chance.choice(HEADS)) for _ in range(CASES // 14))]


@pytest.mark.slow
def test_what_a_request_says_is_what_haproxy_says(tmp_path: Path, seed: int) -> None:
    contents = [
        content
        for content in heads(random.Random(seed))
        if not differs_on_purpose("req.proto_http", content)
    ]
    questions = [(number, content) for number in range(len(OF_HTTP)) for content in contents]
    with oracle(tmp_path, OF_HTTP) as haproxy:
        looks = list(haproxy.looks(questions))
    wrong = [
        f"{OF_HTTP[number]} of {content!r}: HAProxy {theirs}, Millrace {mine}"
        for (number, content), theirs in zip(questions, looks, strict=True)
        if (mine := ours(OF_HTTP[number], content)) != theirs
    ]
    assert not wrong, f"{len(wrong)} of {len(questions)}:\n" + "\n".join(wrong[:40])
    assert 0.1 < sum(each.found for each in looks) / len(looks) < 0.9
    assert 0.1 < sum(each.unsettled for each in looks) / len(looks) < 0.9
