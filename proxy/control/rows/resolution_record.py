"""What the segment's record of a resolution adds up to, without resolverd. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from resolverd.config import Family, Holds, ResolutionSettings
from resolverd.dns.answer import Status, query_types
from resolverd.explain.reasons import hold_for
from resolverd.records.schema import Summary, asks
from resolverd.resolution.hold_rules import hold_ms


def failed_with(record: Mapping[str, int]) -> Status | None:
    """How the last run failed; None if it did not, or there was none."""
    status = Status(record["status"]) if record["status"] else None
    return None if status is Status.VALID else status


def status_word(record: Mapping[str, int]) -> str:
    """The status of the last run in one word; `none` before the first has ended."""
    return Status(record["status"]).name.lower() if record["status"] else "none"


def is_stale(record: Mapping[str, int]) -> bool:
    """Whether servers live on a hold: they have addresses, and the last run has failed."""
    return failed_with(record) is not None and record["slots_used"] > 0


def dropped_in_ms(record: Mapping[str, int], holds: Holds, now_ms: int) -> int | None:
    """When all addresses go if nothing changes; None while nothing threatens them."""
    status = failed_with(record)
    if status is None or not is_stale(record):
        return None
    return max(0, record["last_valid_ms"] + hold_ms(holds, status) - now_ms)


def summary_of(
    resolution: ResolutionSettings,
    record: Mapping[str, int],
    holds: Holds,
    families: tuple[Family, ...],
    now_ms: int,
) -> Summary:
    """All that is known of a name while resolverd does not answer."""
    status = Status(record["status"]) if record["status"] else None
    failed = failed_with(record)
    types = query_types(resolution.preferred, families)
    return Summary(
        key=resolution.index,
        name=resolution.name,
        section=resolution.section,
        asks="SRV" if resolution.is_service else asks(types, merges=resolution.all_families),
        origin="configuration",
        state="unknown",
        status=None if status is None else status.name.lower().replace("_", " "),
        last_valid_age_ms=age_ms(last_valid_ms(record), now_ms),
        last_run_age_ms=age_ms(record["last_run_ms"], now_ms),
        next_in_ms=None,
        next_cause="",
        records=record["records_seen"],
        servers=len(resolution.servers),
        used=record["slots_used"],
        missing=record["slots_missing"],
        stale=is_stale(record),
        dropped_in_ms=dropped_in_ms(record, holds, now_ms),
        hold="" if failed is None or not is_stale(record) else str(hold_for(failed)),
        live=False,
    )


def last_valid_ms(record: Mapping[str, int]) -> int:
    """When the last valid answer came (CLOCK_MONOTONIC); 0: there was none."""
    return record["last_valid_ms"] if record["answered"] else 0


def age_ms(moment_ms: int, now_ms: int) -> int | None:
    """How long ago; None for a moment that never was."""
    return max(0, now_ms - moment_ms) if moment_ms else None
