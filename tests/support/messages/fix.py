"""Messages of FIX (Financial Information eXchange), and what chance makes of them."""

from __future__ import annotations

import random

END = b"\1"
LOGON = (b"35=A", b"49=BUYER", b"56=SELLER", b"34=1", b"98=0", b"108=30")


def message(version: bytes = b"FIX.4.4", body: tuple[bytes, ...] = LOGON) -> bytes:
    """A message with its length and its checksum."""
    content = b"".join(field + END for field in body)
    found = b"8=%s\x019=%d\x01" % (version, len(content)) + content
    return found + b"10=%03d\x01" % (sum(found) % 256)


def messages() -> list[bytes]:
    """Some of everything."""
    whole = message()
    versions = (b"FIX.4.0", b"FIX.4.3", b"FIXT.1.1", b"FIX.5.0", b"FIX.4.5", b"FIX.3.0", b"fix.4.4")
    return [
        whole,
        whole + whole,
        whole + b"x",
        *(message(version) for version in versions),
        message(body=()),
        message(body=(b"35=A",)),
        message(body=(b"49=A", b"35=B")),
        message(body=(b"35=A", b"x=1")),
        message(body=(b"35=A", b"49=")),
        message(body=(b"35=A", b"49")),
        message(body=(b"35=A", b"=1")),
        message(body=(b"35=A", b"0=1")),
        message(body=(b"35=A", b"049=x")),
        message(body=(b"35=A", b"58=a=b")),
        message(body=(b"35=A", b"10=001")),
        whole[:-4] + b"000\1",
        whole[:-2] + b"\1",
        whole[:-1] + b"0\1",
        whole.replace(b"9=", b"9=0", 1),
        whole.replace(b"\x019=", b"\x019=+", 1),
        whole.replace(b"\x0110=", b"\x0111="),
        b"35=A\1" + whole,
        b"8=FIX.4.4\x0135=A\x01",
        b"8=FIX.4.4\x019=99999999999999999999\x01",
        b"x",
        b"8",
        b"8=",
        b"8=FIX.4.4",
        b"GET / HTTP/1.1\r\n\r\n",
    ]


def converters() -> list[str]:
    """The values that are asked for."""
    names = ("BeginString", "BodyLength", "MsgType", "SenderCompID", "TargetCompID", "CheckSum")
    return [*(f"fix_tag_value({name})" for name in names), "fix_tag_value(58)", "fix_tag_value(34)"]


def mutated(chance: random.Random, content: bytes) -> bytes:
    """With some bytes changed, dropped or added, and perhaps cut."""
    found = bytearray(content)
    for _ in range(chance.choice((0, 1, 1, 2))):
        at = chance.randrange(len(found))
        action = chance.randrange(3)
        if action == 0:
            found[at] = chance.choice((1, *b"0189=A", chance.randrange(256)))
        elif action == 1 and len(found) > 1:
            del found[at]
        else:
            found.insert(at, chance.choice((1, *b"0=9")))
    if chance.random() < 0.4:
        del found[max(1, chance.randrange(len(found) + 1)) :]
    return bytes(found)
