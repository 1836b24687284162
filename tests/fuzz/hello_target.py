"""A generated run over the reader of first bytes: ClientHello of TLS and SSLv2, RDP, HTTP.

    python -m tests.fuzz.hello_target SECONDS [SEED]

Each input ends where its memory ends: with the address sanitizer loaded (LD_PRELOAD) a look beyond
it ends the run. Ends with another status than 0 at the first input of which is said, for good, what
more bytes then change, or of which is said something else when it comes in other TLS records.
"""

from __future__ import annotations

import random

from tests.fuzz.timed import remember, run
from tests.support.content import hellos
from tests.support.content.looking import LATER, look
from tests.support.content.mutations import kinds, mutated
from tests.support.content.settled import keeps_what_is_settled

ROUND = 200  # inputs of each protocol between two looks at the clock
POOL_MAX = 400  # inputs that are changed again
INPUT_MAX = 15_360  # so much rules look at
RECORD_HEADER_BYTES = 5
OF_HELLO = (*LATER, "req.ssl_sni", "req.ssl_alpn", "req.ssl_ec_ext", "req.ssl_hello_type")
KNOWN = {protocol: list(contents) for protocol, contents in kinds().items()}


def says_the_same_in_records(chance: random.Random, message: bytes) -> None:
    """A handshake message says what it says, however it is cut into records."""
    sizes = [chance.randint(1, 60) for _ in range(chance.randint(1, 8))]
    whole, split = hellos.in_records(message, []), hellos.in_records(message, sizes)
    for expression in OF_HELLO:
        assert look(expression, split) == look(expression, whole), (expression, sizes, message)


def play(chance: random.Random) -> int:
    """Some inputs of each protocol."""
    for protocol, pool in KNOWN.items():
        for _ in range(ROUND):
            content = mutated(chance, chance.choice(pool))[:INPUT_MAX]
            remember(chance, pool, content, POOL_MAX)
            keeps_what_is_settled(content, chance.randrange(len(content) + 1))
            message = content[RECORD_HEADER_BYTES:]
            if protocol == "tls" and message[:1] == b"\1" and chance.random() < 0.3:
                says_the_same_in_records(chance, message)
    return ROUND * len(KNOWN)


if __name__ == "__main__":
    run(play)
