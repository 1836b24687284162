"""Numbers that HAProxy gives to proxies, servers and bind lines when the file gives none.

Owns one rule: the counter moves on with every item, and takes the next number that nobody has.
Tools find objects by these numbers, so they must come out as HAProxy's.
"""

from __future__ import annotations

from collections.abc import Sequence

FIRST_PROXY = 2  # 1 belongs to HAProxy's own internal proxy
FIRST_SERVER = 1
FIRST_BIND = 1


def number_items(given: Sequence[int | None], first: int) -> list[int]:
    """The number of each item; None stands for an item without one in the file."""
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
