"""How long after a run the next one is due: `timeout resolve`, or a TTL within bounds. Pure.

Owns the statuses that hold for a TTL. Knows no jitter and no failed connect.
"""

from __future__ import annotations

from collections.abc import Callable

from resolverd.config import ResolversSection
from resolverd.dns.answer import Answer, Status
from resolverd.resolution.run_outcomes import TypeOutcome

# Statuses that hold for a TTL; NX also does if the other type has records.
STATEMENTS = (Status.VALID, Status.NODATA, Status.NX)


def on_time(_period_ms: int) -> int:
    """No jitter."""
    return 0


def period_ms(
    section: ResolversSection, answer: Answer | None, outcomes: tuple[TypeOutcome, ...]
) -> int:
    """The longest time to the next run; if a type has failed, the least of `ttl_period`."""
    ttl = section.ttl_period
    if ttl is None:
        return section.timeout_resolve_ms
    if answer is None or any(each.status not in STATEMENTS for each in outcomes):
        return ttl.min_ms
    return max(ttl.min_ms, min(1_000 * answer.ttl_s, ttl.max_ms))


def pause_ms(section: ResolversSection, longest_ms: int, early_ms: Callable[[int], int]) -> int:
    """The time to the next run: at most `longest_ms`, less a jitter."""
    shortest_ms, _, _ = pause_bounds_ms(section)
    return max(shortest_ms, longest_ms - early_ms(longest_ms))


def pause_bounds_ms(section: ResolversSection) -> tuple[int, int, int]:
    """The shortest pause after a valid run, and the bounds of the time to live that it follows."""
    ttl = section.ttl_period
    if ttl is None:
        return 0, section.timeout_resolve_ms, section.timeout_resolve_ms
    return ttl.min_ms, ttl.min_ms, ttl.max_ms
