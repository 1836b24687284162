"""Samples of first bytes that nothing good sends: whatever comes, what is settled stays so.

Under the address sanitizer (tests/run_sanitized.sh) no look goes beyond the bytes.
"""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.content import hellos
from tests.support.content.looking import LATER, look
from tests.support.content.mutations import kinds, mutated
from tests.support.content.settled import EVERY, keeps_what_is_settled
from tests.support.generated import examples, sample

MUTATIONS = sample(2_000, 200_000)


@settings(max_examples=examples(200))
@given(st.binary(max_size=80), st.data())
def test_any_bytes(content: bytes, data: st.DataObject) -> None:
    keeps_what_is_settled(content, data.draw(st.integers(0, len(content))))


EXTENSIONS = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 60), st.binary(max_size=12)),
        st.builds(hellos.server_name, st.binary(max_size=9), st.integers(0, 1)),
        st.builds(hellos.protocols_of, st.binary(max_size=9), st.binary(max_size=9)),
        st.builds(
            hellos.key_shares,
            st.tuples(st.integers(0, 65_535), st.integers(0, 40)),
        ),
    ),
    max_size=6,
)


@settings(max_examples=examples(200))
@given(EXTENSIONS, st.lists(st.integers(1, 30)), st.data())
def test_any_extensions_in_any_records(
    extensions: list[tuple[int, bytes]], sizes: list[int], data: st.DataObject
) -> None:
    message = hellos.message(extensions)
    whole, split = hellos.in_records(message, []), hellos.in_records(message, sizes)
    for expression in (*LATER, *(name for name in EVERY if "_ssl" in name or ".ssl" in name)):
        assert look(expression, split) == look(expression, whole)
    keeps_what_is_settled(split, data.draw(st.integers(0, len(split))))


def test_mutations_of_what_programs_send(seed: int) -> None:
    chance = random.Random(seed)
    beginnings = [content for of_kind in kinds().values() for content in of_kind]
    for _ in range(MUTATIONS):
        content = mutated(chance, chance.choice(beginnings))
        if chance.random() < 0.2 and content[:1] == b"\x16":
            content = hellos.in_records(content[5:], [chance.randint(1, 60) for _ in content])
        keeps_what_is_settled(content, chance.randrange(len(content) + 1))
