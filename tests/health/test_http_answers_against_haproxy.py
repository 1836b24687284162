"""Answers to `option httpchk`, right, strange and broken: HAProxy 2.6 reads them alike."""

from __future__ import annotations

import random

import pytest

from tests.health.check_peers import CHECK, Act, Case, Told, hold, send, tell
from tests.health.test_http_check_against_haproxy import CHUNKED, SHORT, request
from tests.support.generated import sample

STATUS = ("option httpchk",)
BODY = ("option httpchk", "http-check expect string foo")
END = b"\r\n\r\n"
LINE = b"HTTP/1.1 200 OK\r\n"
GENERATED = sample(100, full=2_000)
SEEDS = range(GENERATED // 160 + (GENERATED % 160 > 0))

HEADS = {
    "two_digits": b"HTTP/1.1 20 OK",
    "four_digits": b"HTTP/1.1 2000 OK",
    "digit_before": b"HTTP/1.1 099 OK",
    "zero": b"HTTP/1.1 0 OK",
    "above": b"HTTP/1.1 999 OK",
    "wraps": b"HTTP/1.1 65736 OK",
    "wraps_far": b"HTTP/1.1 20000000000000000000 OK",
    "letters_for_digits": b"HTTP/1.1 abc OK",
    "letter_behind_digits": b"HTTP/1.1 200x OK",
    "no_status": b"HTTP/1.1 OK",
    "no_status_at_all": b"HTTP/1.1",
    "no_status_but_space": b"HTTP/1.1 ",
    "no_reason": b"HTTP/1.1 503",
    "reason_spaces": b"HTTP/1.1 503   a  b  ",
    "reason_long": b"HTTP/1.1 503 " + b"x" * 300,
    "reason_not_ascii": b"HTTP/1.1 503 O\xc3\xa9K",
    "reason_control": b"HTTP/1.1 200 O\x01\0K",
    "two_spaces": b"HTTP/1.1  200 OK",
    "tabs": b"HTTP/1.1\t200\tOK",
    "small": b"http/1.1 200 OK",
    "http_2": b"HTTP/2.0 200 OK",
    "http_0_9": b"HTTP/0.9 200 OK",
    "http_1_10": b"HTTP/1.10 200 OK",
    "http_1_letter": b"HTTP/1.A 200 OK",
    "http_1": b"HTTP/1 200 OK",
    "http_alone": b"HTTP 200 OK",
    "other_protocol": b"RTSP/1.0 200 OK",
    "short_protocol": b"SIP/2.0 200 OK",
    "icecast": b"ICY 200 OK",
    "smtp": b"220 hello",
    "empty_lines_before": b"\r\n\r\nHTTP/1.1 200 OK",
    "line_feed_before": b"\nHTTP/1.1 200 OK",
    "space_before": b" HTTP/1.1 200 OK",
    "carriage_return_within": b"HTTP/1.1 200 OK\rX",
    "no_content": b"HTTP/1.1 204 No",
    "not_modified": b"HTTP/1.1 304 No",
    "switching": b"HTTP/1.1 101 Switching",
    **{
        name: LINE + head
        for name, head in {
            "field_without_colon": b"foo",
            "field_space_in_name": b"foo bar: x",
            "field_space_before_colon": b"foo : x",
            "field_without_name": b": x",
            "field_slash": b"a/b: x",
            "field_control_in_name": b"a\x01: x",
            "field_folded": b"a: x\r\n y",
            "field_folded_first": b" y: z",
            "field_nul": b"a: x\0y\xff",
            "field_carriage_return": b"a: x\ry",
            "field_100": b"\r\n".join([b"a: b"] * 100),
            "field_101": b"\r\n".join([b"a: b"] * 101),
            "length_other": b"Content-Length: 3\r\nContent-Length: 4",
            "length_letter": b"Content-Length: x",
            "length_minus": b"Content-Length: -1",
            "length_plus": b"Content-Length: +1",
            "length_none": b"Content-Length: ",
            "length_list_other": b"Content-Length: 3, 4",
            "length_too_large": b"Content-Length: 99999999999999999999999",
            "coding_and_length": b"Transfer-Encoding: chunked\r\nContent-Length: 3",
            "coding_other": b"Transfer-Encoding: gzip",
            "coding_two": b"Transfer-Encoding: gzip, chunked",
            "coding_twice": b"Transfer-Encoding: chunked, chunked",
            "coding_capitals": b"Transfer-Encoding: CHUNKED",
            "coding_identity": b"Transfer-Encoding: identity",
            "upgrade": b"Connection: upgrade\r\nUpgrade: websocket",
        }.items()
    },
}
PARTS = {  # that more may still make right
    "part_letter": b"H",
    "part_word": b"HELLO",
    "part_line": b"HTTP/1.1 200 OK",
    "part_head": b"HTTP/1.1 200 OK\r\n",
    "part_field": LINE + b"foo",
}
BROKEN_PARTS = {
    "broken_word": b"hello",
    "broken_version": b"HTTP/1x",
    "broken_status": b"HTTP/1.1 2x",
    "broken_field": LINE + b"foo bar",
}
BODIES = {
    "same_lengths": LINE + b"Content-Length: 3\r\nContent-Length: 3" + END + b"foo",
    "length_list": LINE + b"Content-Length: 3, 3" + END + b"foo",
    "behind_length": LINE + b"Content-Length: 3" + END + b"foxfoo",
    "line_feeds": b"HTTP/1.1 200 OK\nContent-Length: 3\n\nfoo",
    "body_of_no_content": b"HTTP/1.1 204 No" + END + b"foo",
    "body_of_not_modified": b"HTTP/1.1 304 No\r\nContent-Length: 3" + END + b"foo",
    "body_behind_continue": b"HTTP/1.1 100 C" + END + LINE + b"Content-Length: 3" + END + b"foo",
    "body_of_switching": b"HTTP/1.1 101 C" + END + b"foo",
    "chunks_of_1_0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked" + END + b"3\r\nfoo\r\n",
    **{
        name: CHUNKED + body
        for name, body in {
            "chunk_extension": b"3;a=b\r\nfoo\r\n0\r\n\r\n",
            "chunk_space": b"3 \r\nfoo\r\n0\r\n\r\n",
            "chunk_space_before": b" 3\r\nfoo\r\n0\r\n\r\n",
            "chunk_capitals": b"0A\r\nfoo4567890\r\n0\r\n\r\n",
            "chunk_line_feeds": b"3\nfoo\n0\n\n",
            "chunk_trailer": b"3\r\nfox\r\n0\r\nA: b\r\n\r\n",
            "chunk_trailer_broken": b"3\r\nfox\r\n0\r\nA b\r\n\r\n",
            "chunk_too_large": b"fffffffffffffffff\r\nfoo",
            "chunk_large": b"ffffffff\r\nfoo",
            "chunk_minus": b"-1\r\nfoo",
            "chunk_without_size": b"\r\nfoo\r\n0\r\n\r\n",
            "chunk_without_end": b"3\r\nfooX0\r\n\r\n",
            "chunk_zeros": b"000000000000000000003\r\nfoo\r\n0\r\n\r\n",
            "chunks": b"1\r\nf\r\n2\r\noo\r\n",
            "behind_chunks": b"3\r\nfox\r\n0\r\n\r\nfoo",
        }.items()
    },
}


def _case(lines: tuple[str, ...], data: bytes, *acts: Act, server: str = CHECK) -> Case:
    return Case(lines, (request, send(data), *acts), server)


CASES = {
    **{name: _case(STATUS, head + END, hold) for name, head in HEADS.items()},
    **{name: _case(STATUS, part, hold, server=SHORT) for name, part in PARTS.items()},
    **{f"{name}_closed": _case(STATUS, part) for name, part in PARTS.items()},
    **{name: _case(STATUS, part, hold) for name, part in BROKEN_PARTS.items()},
    **{name: _case(BODY, body, hold) for name, body in BODIES.items()},
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Told]]:
    folder = tmp_path_factory.mktemp("peers")
    return {program: tell(program, folder, CASES) for program in ("haproxy", "millrace")}


@pytest.mark.parametrize("name", CASES)
def test_an_answer_is_read_alike(told: dict[str, dict[str, Told]], name: str) -> None:
    assert told["millrace"][name] == told["haproxy"][name]


def _damaged(chance: random.Random) -> bytes:
    """An answer with some of its bytes removed, doubled or replaced by those of others."""
    # What HAProxy makes of half a trailer depends on whether it sees the end of the stream with it.
    bodies = [body for name, body in BODIES.items() if "trailer" not in name]
    known = [head + END for head in HEADS.values()] + bodies
    data = bytearray(chance.choice(known))
    for _ in range(chance.randrange(1, 4)):
        other = chance.choice(known)
        at, length = chance.randrange(len(data) + 1), chance.randrange(4)
        begin = chance.randrange(len(other))
        data[at : at + length] = other[begin : begin + chance.randrange(4)]
    return bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_damaged_answer_is_read_alike(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    chance = random.Random(seed)
    answers = [_damaged(chance) for _ in range(160)]
    cases = {f"n{n}": _case(chance.choice((STATUS, BODY)), data) for n, data in enumerate(answers)}
    folder = tmp_path_factory.mktemp("peers")
    wanted, found = (tell(program, folder, cases) for program in ("haproxy", "millrace"))
    otherwise = {
        answers[int(name[1:])]: (wanted[name], found[name])
        for name in cases
        if wanted[name] != found[name]
    }
    assert not otherwise
