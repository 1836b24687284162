"""A generated run over the readers of MQTT and FIX; a program of its own, for a time.

    python -m tests.fuzz.message_target SECONDS [SEED]

Each input ends where its memory ends: with the address sanitizer loaded (tests/run_sanitized.sh) a
look beyond it ends the run. Ends with another status than 0 at the first input of which is said,
for good, what more bytes then change.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from tests.fuzz.timed import remember, run
from tests.support.messages import fix, mqtt
from tests.support.messages.converting import made

Mutate = Callable[[random.Random, bytes], bytes]
KINDS: Sequence[tuple[Sequence[str], Sequence[bytes], Mutate]] = (
    (("mqtt_is_valid", *mqtt.fields()), mqtt.packets(), mqtt.mutated),
    (("fix_is_valid", *fix.converters()), fix.messages(), fix.mutated),
)
POOL_MAX = 400  # messages that are changed again
ROUND = 500  # inputs between two looks at the clock


def keeps_what_is_settled(words: Sequence[str], content: bytes, end: int) -> None:
    """What was said of the first bytes for good holds when there are more."""
    for word in words:
        before = made(word, content[:end])
        after = made(word, content)
        assert before.unsettled or after == before, (word, content, end, before, after)


def play(chance: random.Random, rounds: int) -> int:
    """So many inputs of each kind; how many these are."""
    for words, known, mutate in KINDS:
        pool = list(known)
        for _ in range(rounds):
            content = mutate(chance, chance.choice(pool))
            remember(chance, pool, content, POOL_MAX)
            some = chance.sample(list(words), min(6, len(words)))
            keeps_what_is_settled(some, content, chance.randrange(len(content) + 1))
    return rounds * len(KINDS)


if __name__ == "__main__":
    run(lambda chance: play(chance, ROUND))
