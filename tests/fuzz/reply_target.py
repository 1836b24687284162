"""A coverage-guided run over the reader of replies; a program of its own, as libFuzzer ends it.

    python -m tests.fuzz.reply_target FOLDER RUNS [options of libFuzzer]

FOLDER keeps the inputs that led to new code. The first two bytes of an input choose the question
and whether the input follows a large reply to it.
Ends with another status than 0 at the first exception, and at the first reply that is read
otherwise by the reader that remembers the one before it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["resolverd.dns.wire", "resolverd.dns.answer", "resolverd.dns.reply_cache"]
):
    from resolverd.dns import answer, reply_cache, wire

NAMES = ("app.test", "_web._tcp.app.test")
QUESTIONS = [answer.Question(name, kind) for name in NAMES for kind in answer.QueryType]
HEADER_BYTES = 12
OPT_BYTES = 11
CHOICE_BYTES = 2
INPUT_MAX = 2_048


def record(owner: bytes, kind: int, data: bytes) -> bytes:
    """A record in wire form with a TTL of 60 s."""
    fixed = (kind, 1, 0, 60, len(data))
    return owner + b"".join(number.to_bytes(2, "big") for number in fixed) + data


def seeds() -> list[bytes]:
    """One whole reply of each kind: addresses, an alias, services, an error, a large one."""
    owner, root, host = b"\xc0\x0c", b"\0", b"\x02h1\x04test\0"
    address, wide = record(owner, 1, b"\x7f\0\1\1"), record(owner, 28, bytes(15) + b"\1")
    alias = record(owner, 5, host) + record(host, 1, b"\x7f\0\1\1")
    service = record(owner, 33, b"\0\1\0\2\0\x50" + host)
    strangers = record(root, 16, b"\5hello") + record(owner, 46, bytes(20))
    bodies = [
        (address * 3, 3, 0, 0),
        (wide, 1, 0, 0),
        (alias, 2, 0, 0),
        (strangers + service + record(host, 1, b"\x7f\0\1\1"), 3, 0, 1),
        (service * 40 + record(host, 1, b"\x7f\0\1\1"), 40, 0, 1),
        (b"", 0, 0, 0),
    ]
    found = []
    for number, question in enumerate(QUESTIONS):
        query = answer.build_query(question, 512)
        section, extension = query[HEADER_BYTES:-OPT_BYTES], query[-OPT_BYTES:]
        for body, answers, authorities, additionals in bodies:
            header = wire.HEADER.pack(7, 0x8180, 1, answers, authorities, additionals + 1)
            found.append(bytes((number, 1)) + header + section + body + extension)
    return found


def remembered(number: int) -> dict[tuple[str, answer.Question], reply_cache.KnownReply]:
    """What a reader remembers of the largest of the seeds for this question."""
    large = max((seed for seed in SEEDS if seed[0] == number), key=len)
    reader = reply_cache.ReplyReader()
    reader.read(large[CHOICE_BYTES:], "ns1", QUESTIONS[number])
    return reader._known


def read(data: bytes) -> None:
    """Read one input as a reply, by a reader that remembers a large one and by a fresh one."""
    if len(data) < CHOICE_BYTES:
        return
    number, message = data[0] % len(QUESTIONS), data[CHOICE_BYTES:]
    question = QUESTIONS[number]
    found = answer.read_reply(message, question)
    reader = reply_cache.ReplyReader()
    if data[1] % 2:
        reader._known = dict(KNOWN[number])
    told = reader.read(message, "ns1", question)
    if told != found:
        raise AssertionError(f"{told} is not {found}")


SEEDS = seeds()
KNOWN = [remembered(number) for number in range(len(QUESTIONS))]


def main() -> None:
    """Run over the seeds and what grows out of them."""
    folder, runs, *options = sys.argv[1:]
    for number, seed in enumerate(SEEDS):
        Path(folder, str(number)).write_bytes(seed)
    atheris.Setup(
        [sys.argv[0], f"-atheris_runs={runs}", f"-max_len={INPUT_MAX}", *options, folder], read
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
