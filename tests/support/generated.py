"""How much the generated, tortured and fuzzed tests do, and from which seeds.

`make test` takes a sample from fixed seeds, so that the same commit passes or fails each time;
`make long` (MILLRACE_LONG=1) does all of it from new seeds, and names them at its end. One test is
played again with MILLRACE_SEED=<seed>. A test takes its seed from the fixture `seed`.
"""

from __future__ import annotations

import os
import random
import zlib

from hypothesis import settings

LONG = bool(os.environ.get("MILLRACE_LONG"))
PLAYED_AGAIN = os.environ.get("MILLRACE_SEED")
EXAMPLES_FACTOR = 20  # so many times as many generated cases in the long run


def sample(count: int, full: int) -> int:
    """So many in `make test`, and in the long run."""
    return full if LONG else count


def examples(count: int) -> int:
    """So many generated cases in `make test`, and a multiple in the long run."""
    return sample(count, count * EXAMPLES_FACTOR)


def choose_seed(name: str) -> int:
    """The seed of the test of this name in this run."""
    if PLAYED_AGAIN is not None:
        return int(PLAYED_AGAIN)
    return random.SystemRandom().randrange(1 << 31) if LONG else zlib.crc32(name.encode())


def set_up_hypothesis() -> None:
    """The same examples each time, but for the long run."""
    settings.register_profile("sample", derandomize=True, deadline=None)
    settings.register_profile("long", print_blob=True, deadline=None)
    settings.load_profile("long" if LONG else "sample")
