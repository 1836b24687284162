"""Packets of MQTT (3.1.1 and 5.0): CONNECT and CONNACK, and what chance makes of them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

SIZES = {  # of properties that are numbers; of the others None
    **dict.fromkeys((1, 23, 25, 36, 37, 40, 41, 42), 1),
    **dict.fromkeys((19, 33, 34), 2),
    **dict.fromkeys((2, 17, 24, 39), 4),
    **dict.fromkeys((3, 8, 9, 18, 21, 22, 26, 28, 31), None),
}
USERS = 38
OF_CONNECT = (17, 33, 39, 34, 25, 23, 21, 22)
OF_WILL = (24, 1, 2, 3, 8, 9)
OF_CONNACK = (17, 33, 36, 37, 39, 18, 34, 31, 40, 41, 42, 19, 26, 28, 21, 22)
Values = Mapping[int, int | bytes] | Sequence[tuple[int, int | bytes]]


def text(content: bytes) -> bytes:
    """Behind its length."""
    return len(content).to_bytes(2, "big") + content


def varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    found = bytearray()
    while True:
        number, low = divmod(number, 128)
        found.append(low | (128 if number else 0))
        if not number:
            return bytes(found)


def properties(values: Values) -> bytes:
    """Properties behind their length."""
    found = b""
    for number, value in values.items() if isinstance(values, Mapping) else values:
        found += bytes([number])
        if isinstance(value, int):
            found += value.to_bytes(SIZES.get(number) or 1, "big")
        else:
            found += text(value) + (text(value) if number == USERS else b"")
    return varint(len(found)) + found


def packet(kind: int, content: bytes) -> bytes:
    """A packet of a kind."""
    return bytes([kind << 4]) + varint(len(content)) + content


def connect(
    version: int = 4,
    name: bytes | None = None,
    *,
    client: bytes = b"me",
    keepalive: int = 60,
    flags: int = 2,
    own: Values = (),
    will: tuple[Values, bytes, bytes] | None = None,
    user: bytes | None = None,
    password: bytes | None = None,
) -> bytes:
    """A client's first packet; `flags` are added to those of what there is."""
    name = name if name is not None else b"MQIsdp" if version == 3 else b"MQTT"
    flags |= 4 * (will is not None) | 128 * (user is not None) | 64 * (password is not None)
    content = text(name) + bytes([version, flags]) + keepalive.to_bytes(2, "big")
    content += properties(own) if version == 5 else b""
    content += text(client)
    if will is not None:
        content += (properties(will[0]) if version == 5 else b"") + text(will[1]) + text(will[2])
    for each in (user, password):
        content += b"" if each is None else text(each)
    return packet(1, content)


def connack(flags: int = 0, reason: int = 0, own: Values | None = None) -> bytes:
    """A server's answer; with properties one of 5.0."""
    return packet(2, bytes([flags, reason]) + (b"" if own is None else properties(own)))


def packets() -> list[bytes]:
    """One at least of everything."""
    numbers = {1: 1, 2: 300, 4: 70_000}

    def one(number: int) -> int | bytes:
        size = SIZES[number]
        return b"p%d" % number if size is None else numbers[size]

    return [
        connect(),
        connect(3),
        connect(5),
        connect(flags=0, client=b""),
        connect(user=b"u", password=b"p\0w"),
        connect(5, password=b"alone"),
        connect(will=({}, b"topic", b"gone")),
        connect(5, own={number: one(number) for number in OF_CONNECT}),
        connect(5, own=[(USERS, b"a"), (USERS, b"b"), (17, 0)], will=({24: 9}, b"t", b"")),
        connect(5, will=({number: one(number) for number in OF_WILL}, b"t", b"w"), user=b"u"),
        connect(flags=2 | 0x38, will=({}, b"t", b"w")),
        connect(flags=2 | 0x08, will=({}, b"t", b"w"), user=b"u" * 200, password=b"p"),
        connect(client=b"long" * 60),
        connect()[:-2] + b"me" + b"more",
        *(connect(5, own={number: 0}) for number in (17, 33, 39, 34, 25, 23)),
        *(connect(5, own={number: 2}) for number in (25, 23)),
        connect(5, own=[(17, 1), (17, 1)]),
        connect(5, own={24: 1}),
        connect(6),
        connect(2),
        connect(4, b"MQIsdp"),
        connect(3, b"MQTT"),
        connect(4, b"mqtt"),
        connect(4, b""),
        connect(flags=1),
        connect(flags=0x10),
        connect(flags=0x40),
        connack(),
        connack(1),
        connack(2),
        connack(0, 5),
        connack(1, 5),
        connack(0, 200),
        connack(0, 0, {}),
        connack(0, 0x87, {31: b"why"}),
        connack(1, 0, {number: one(number) for number in OF_CONNACK}),
        *(connack(0, 0, {number: 0}) for number in (17, 33, 36, 37, 39, 34, 40, 41, 42, 19)),
        *(connack(0, 0, {number: 2}) for number in (36, 37, 40, 41, 42)),
        packet(3, b"\0\1tx"),
        packet(15, b""),
        packet(0, b""),
        b"\x11" + connect()[1:],
        b"\x22" + connack()[1:],
        packet(1, b""),
        packet(2, b"\0"),
        b"\x10\x80\x80\x80\x80\x01",
        b"\x10\xff\xff\xff\x7f",
        b"\x10\x80\x00",
    ]


def fields() -> list[str]:
    """The converters that ask for each field."""
    names = ("flags", "protocol_version")
    connect_names = (
        *("protocol_name", "client_identifier", "will_topic", "will_payload", "username"),
        *("password", "keepalive"),
    )
    of_connect = (*names, *connect_names, *OF_CONNECT, *OF_WILL, USERS)
    of_connack = (*names, "reason_code", *OF_CONNACK, USERS)
    return [
        *(f"mqtt_field_value(connect,{each})" for each in of_connect),
        *(f"mqtt_field_value(connack,{each})" for each in of_connack),
    ]


def mutated(chance: random.Random, content: bytes) -> bytes:
    """With some bytes changed, dropped or added, the length often put right; perhaps cut."""
    found = bytearray(content)
    for _ in range(chance.choice((0, 1, 1, 2, 3))):
        at = chance.randrange(len(found))
        action = chance.randrange(4)
        if action == 0:
            found[at] = chance.choice((0, 1, 2, 4, 5, 0x80, 0xFF, chance.randrange(256)))
        elif action == 1:
            found[at] = (found[at] + chance.choice((-1, 1))) % 256
        elif action == 2 and len(found) > 3:
            del found[at]
        else:
            found.insert(at, chance.randrange(256))
    if 2 < len(found) < 130 and chance.random() < 0.6:
        found[1] = len(found) - 2
    if chance.random() < 0.3:
        del found[max(1, chance.randrange(len(found) + 1)) :]
    return bytes(found)
