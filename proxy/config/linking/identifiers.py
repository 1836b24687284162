"""The numbers of proxies, servers and bind lines without an `id`, as HAProxy assigns them.

Owns one rule: the counter is incremented with every item, and skips numbers that are in use. Tools
find objects by these numbers, so they must equal HAProxy's.
"""

from __future__ import annotations

from collections.abc import Sequence

FIRST_PROXY = 2  # 1 belongs to HAProxy's own internal proxy
FIRST_SERVER = 1
FIRST_BIND = 1


def number_items(given: Sequence[int | None], first: int) -> list[int]:
    """The number of each item; `given` has None for an item without an `id`."""
    used = {number for number in given if number is not None}
    counter = first
    numbers: list[int] = []
    for wanted in given:
        number = wanted
        if number is None:
            while counter in used:
                counter += 1
            number = counter
            used.add(number)
        numbers.append(number)
        counter += 1
    return numbers
