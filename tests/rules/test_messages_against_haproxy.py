"""Converters of whole messages: what they make, and whether more bytes are waited for, as HAProxy."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.support.content.oracle import Look, oracle
from tests.support.generated import sample
from tests.support.messages import fix, mqtt
from tests.support.messages.converting import made

pytestmark = pytest.mark.slow
MUTATIONS = sample(900, 20_000)
CUTS = sample(3, 40)  # packets that are cut at every byte


WAITS = Look(False, True, "")
WRONG = "00" * 8
CONNACK = 0x20


def differs_on_purpose(content: bytes, mine: Look, theirs: Look) -> bool:
    """Whether docs/differences.md says so: HAProxy waits for more of some messages that are wrong.

    Of packets of MQTT, it takes what a length says of which a part is not there yet, and takes
    bytes behind an answer of 3.1.1 for properties. Of some messages of FIX it says that they are
    wrong when they only may be.
    """
    if theirs == WAITS:
        return not mine.unsettled and mine.value in ("", WRONG)
    if content[:2] == b"8=":
        return mine == WAITS and theirs.value == WRONG
    if content[0] & 0x0F or len(content) < 2:
        return False
    if len(content) < 5 and min(content[1:]) >= 0x80:
        return mine == WAITS
    return content[0] == CONNACK and (len(content) > 4 if content[1] == 2 else content[-1] >= 0x80)


def ours(word: str, content: bytes) -> Look:
    """What HAProxy tells by one variable, which has the value."""
    found, unsettled = made(word, content)
    if found is None:
        return Look(False, unsettled, "")
    value = (found if isinstance(found, bytes) else found.to_bytes(8, "big")).hex().upper()
    return Look(True, unsettled, value)


def compared(
    folder: Path, words: Sequence[str], questions: Sequence[tuple[int, bytes]]
) -> Sequence[Look]:
    """What HAProxy found, after all was found alike."""
    with oracle(folder, [f"req.payload(0,0),{word}" for word in words]) as haproxy:
        looks = list(haproxy.looks(questions))
    wrong = [
        f"{words[number]} of {content!r}: HAProxy {theirs}, Millrace {mine}"
        for (number, content), theirs in zip(questions, looks, strict=True)
        if (mine := ours(words[number], content)) != theirs
        and not differs_on_purpose(content, mine, theirs)
    ]
    assert not wrong, f"{len(wrong)} of {len(questions)}:\n" + "\n".join(wrong[:40])
    return looks


def generated(
    seed: int, known: Sequence[bytes], mutate: Callable[[random.Random, bytes], bytes]
) -> list[bytes]:
    """Messages: known ones, some of them cut at every byte, and mutations."""
    chance = random.Random(seed)
    cut = [
        each[:end]
        for each in chance.sample([one for one in known if len(one) < 100], CUTS)
        for end in range(1, len(each))
    ]
    return [*known, *cut, *(mutate(chance, chance.choice(known)) for _ in range(MUTATIONS))]


def test_packets_of_mqtt(tmp_path: Path, seed: int) -> None:
    contents = generated(seed, mqtt.packets(), mqtt.mutated)
    looks = compared(tmp_path, ["mqtt_is_valid"], [(0, content) for content in contents])
    assert {WRONG, "00" * 7 + "01"} <= {each.value for each in looks}
    assert not all(each.found for each in looks)


def test_fields_of_mqtt(tmp_path: Path) -> None:
    words = mqtt.fields()
    questions = [(n, content) for n in range(len(words)) for content in mqtt.packets()]
    looks = compared(tmp_path, words, questions)
    assert 0.1 < sum(each.found for each in looks) / len(looks) < 0.9


def test_messages_of_fix(tmp_path: Path, seed: int) -> None:
    contents = generated(seed, fix.messages(), fix.mutated)
    looks = compared(tmp_path, ["fix_is_valid"], [(0, content) for content in contents])
    assert {WRONG, "00" * 7 + "01"} <= {each.value for each in looks}
    assert not all(each.found for each in looks)


def test_fields_of_fix(tmp_path: Path, seed: int) -> None:
    words = fix.converters()
    chance = random.Random(seed)
    contents = [*fix.messages(), *(fix.mutated(chance, fix.message()) for _ in range(CUTS * 10))]
    looks = compared(tmp_path, words, [(n, c) for n in range(len(words)) for c in contents])
    assert 0.1 < sum(each.found for each in looks) / len(looks) < 0.9
