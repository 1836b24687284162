"""Which worker serves which listening socket. Pure.

An accept queue without a worker loses clients, and closing it resets them all. So a socket whose
own worker is away is served by a sibling until that worker is back.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence


def plan_owners(
    homes: Sequence[int], staying: Collection[int], siblings: Collection[int]
) -> list[int]:
    """The worker that serves each socket, given its home worker.

    Sockets of `staying` workers stay. Those of the others are spread over `siblings`; with none
    they stay too: their worker empties the queue when it is back.
    """
    candidates = sorted(siblings)
    owners = []
    orphans = 0
    for home in homes:
        if home in staying or not candidates:
            owners.append(home)
        else:
            owners.append(candidates[orphans % len(candidates)])
            orphans += 1
    return owners
