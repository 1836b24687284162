"""Where Millrace differs from HAProxy on purpose: both outcomes, each as a table of states.

A row is what a program shows from one step to the next: the servers of the backend as (address,
port, operational state, administrative state, weight). Both run at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.differential.pair import haproxy_command, millrace_command, observe_all
from tests.support.differential.scenarios import SHORT_HOLDS, Scenario, answers
from tests.support.differential.timeline import ServerState, Timeline
from tests.support.dns.scripted import NODATA, SERVFAIL, records, services

LABEL = "_web._tcp.app.test"
OPTIONS = "resolvers r1 resolve-prefer ipv4 init-addr none"
ATTEMPTS = 3

NEVER: ServerState = ("-", 0, 0, 32, 0)
FREED: ServerState = ("-", 0, 0, 96, 0)

States = set[ServerState]


def live(last: int, port: int, weight: int, operational: int = 2) -> ServerState:
    """A slot with an SRV record, at NET.<last>."""
    return (f"NET.{last}", port, operational, 64, weight)


@dataclass(frozen=True)
class Difference:
    """A scenario, and what each program shows at these seconds of it."""

    scenario: Scenario
    haproxy: dict[float, States]
    millrace: dict[float, States]
    haproxy_or: dict[float, States] = field(
        default_factory=dict
    )  # or else: the order of records is chance


def _template(slots: int) -> str:
    return f"backend be\n    server-template web {slots} {LABEL} {OPTIONS}"


ALL_WEIGHTS_ZERO = Difference(
    Scenario(
        name="all weights 0: HAProxy drains every slot, Millrace takes them for equal",
        backends=_template(2),
        zone={
            (LABEL, "SRV"): services(
                "0 81 h1.test", "0 82 h2.test", h1_test="NET.1", h2_test="NET.2"
            )
        },
        steps=(),
        seconds=1.5,
    ),
    haproxy={1.2: {live(1, 81, 0), live(2, 82, 0)}},
    millrace={1.2: {live(1, 81, 1), live(2, 82, 1)}},
)
ONE_TARGET_TWO_PORTS = Difference(
    Scenario(
        name="one target under two ports: HAProxy takes its address for a duplicate",
        backends=_template(2),
        zone={
            (LABEL, "SRV"): services("1 81 h1.test", "1 82 h1.test"),
            ("h1.test", "A"): records("NET.1"),
        },
        steps=(),
        seconds=1.5,
    ),
    haproxy={1.2: {live(1, 81, 1), ("-", 82, 0, 96, 0)}},
    haproxy_or={1.2: {live(1, 82, 1), ("-", 81, 0, 96, 0)}},
    millrace={1.2: {live(1, 81, 1), live(1, 82, 1)}},
)
MOVED_TARGET = Difference(
    Scenario(
        name="a changed additional address: HAProxy waits for hold obsolete",
        backends=_template(1),
        zone={(LABEL, "SRV"): services("1 81 h1.test", h1_test="NET.1")},
        holds=SHORT_HOLDS.replace("obsolete 0s", "obsolete 2500ms"),
        steps=(answers(1.0, LABEL, "SRV", services("1 81 h1.test", h1_test="NET.2")),),
        seconds=6.0,
    ),
    haproxy={2.5: {live(1, 81, 1)}, 5.5: {live(2, 81, 1)}},
    millrace={2.5: {live(2, 81, 1)}, 5.5: {live(2, 81, 1)}},
)
FORMER_SLOT = Difference(
    Scenario(
        name="a record that comes back: HAProxy takes the slot that was free longest",
        backends=_template(3),
        zone={(LABEL, "SRV"): services("1 81 h1.test", h1_test="NET.1")},
        steps=(
            answers(1.0, LABEL, "SRV", services("1 82 h2.test", h2_test="NET.2")),
            answers(2.5, LABEL, "SRV", services("1 81 h1.test", h1_test="NET.1")),
        ),
        seconds=4.0,
    ),
    haproxy={3.5: {live(1, 81, 1), FREED}},
    millrace={3.5: {live(1, 81, 1), FREED, NEVER}},
)
IPV4: ServerState = ("NET.1", 8080, 2, 0, 1)
IPV6: ServerState = ("fd00::1", 8080, 2, 0, 1)
TWO_FAMILIES = {("app.test", "A"): records("NET.1"), ("app.test", "AAAA"): records("fd00::1")}
PREFERS_IPV6 = (
    "backend be\n    server s1 app.test:8080 resolvers r1 resolve-prefer ipv6 init-addr none"
)
FAMILY_FAILS = Difference(
    Scenario(
        name="ten seconds of SERVFAIL for AAAA: HAProxy moves to IPv4 and back, Millrace stays",
        backends=PREFERS_IPV6,
        zone=TWO_FAMILIES,
        holds=SHORT_HOLDS.replace("other 2s", "other 30s"),
        steps=(
            answers(1.0, "app.test", "AAAA", SERVFAIL),
            answers(11.0, "app.test", "AAAA", records("fd00::1")),
        ),
        seconds=12.5,
    ),
    haproxy={0.9: {IPV6}, 2.0: {IPV4}, 10.5: {IPV4}, 12.0: {IPV6}},
    millrace={0.9: {IPV6}, 2.0: {IPV6}, 10.5: {IPV6}, 12.0: {IPV6}},
)
FAMILY_FAILS_FOR_LONG = Difference(
    Scenario(
        name="SERVFAIL for AAAA past its hold: Millrace moves then",
        backends=PREFERS_IPV6,
        zone=TWO_FAMILIES,
        holds=SHORT_HOLDS.replace("other 2s", "other 3s"),
        steps=(answers(1.0, "app.test", "AAAA", SERVFAIL),),
        seconds=6.0,
    ),
    haproxy={2.5: {IPV4}, 5.5: {IPV4}},
    millrace={2.5: {IPV6}, 5.5: {IPV4}},
)
FAMILY_IS_GONE = Difference(
    Scenario(
        name="NODATA for AAAA is a statement: both move at once without hold obsolete",
        backends=PREFERS_IPV6,
        zone=TWO_FAMILIES,
        holds=SHORT_HOLDS.replace("other 2s", "other 30s"),
        steps=(answers(1.0, "app.test", "AAAA", NODATA),),
        seconds=2.5,
    ),
    haproxy={0.9: {IPV6}, 2.0: {IPV4}},
    millrace={0.9: {IPV6}, 2.0: {IPV4}},
)
DIFFERENCES = (
    ALL_WEIGHTS_ZERO,
    ONE_TARGET_TWO_PORTS,
    MOVED_TARGET,
    FORMER_SLOT,
    FAMILY_FAILS,
    FAMILY_FAILS_FOR_LONG,
    FAMILY_IS_GONE,
)


def shown_at(timeline: Timeline, second: float) -> States:
    """The servers of the only backend at that time."""
    periods = [period for period in timeline.periods if period.begin <= second]
    return set(periods[-1].snapshot[0][1]) if periods else set()


def complaint(difference: Difference, timelines: Sequence[Timeline]) -> str:
    """'' when both show their table."""
    tables: Sequence[dict[float, States]] = (difference.haproxy, difference.millrace)
    wrong = [
        f"{timeline.program} at {second} s: {sorted(found)} instead of {sorted(states)}"
        for timeline, table in zip(timelines, tables, strict=True)
        for second, states in table.items()
        if (found := shown_at(timeline, second)) != states
        and (timeline.program != "haproxy" or found != difference.haproxy_or.get(second))
    ]
    return "\n".join([difference.scenario.name, *wrong, *map(str, timelines)]) if wrong else ""


@pytest.mark.slow
@pytest.mark.quiet
def test_differences_on_purpose_show_both_outcomes(tmp_path: Path) -> None:
    """Within a few attempts on a busy machine."""
    programs = [("haproxy", haproxy_command()), ("millrace", millrace_command())]
    left, accounts = list(DIFFERENCES), [""]
    for attempt in range(ATTEMPTS):
        found = observe_all([each.scenario for each in left], programs, tmp_path / str(attempt))
        accounts = [complaint(each, seen) for each, seen in zip(left, found, strict=True)]
        left = [each for each, account in zip(left, accounts, strict=True) if account]
        if not left:
            return
    pytest.fail("\n\n".join(filter(None, accounts)))
