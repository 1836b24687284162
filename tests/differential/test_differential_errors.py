"""Error answers and silence: HAProxy and Millrace hold, take down and bring back in the same way.

In each scenario all types of a name get the same error, so the question for the other family
changes nothing: what an error does to the family is a difference on purpose.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.differential.pair import disagreements, millrace_command
from tests.support.differential.scenarios import Scenario, answers
from tests.support.dns.scripted import NODATA, NX, REFUSED, SERVFAIL, SILENT, Answer, records

OPTIONS = "resolvers r1 resolve-prefer ipv4 init-addr none"
ONE_SERVER = f"backend be\n    server s1 app.test:8080 {OPTIONS}"
VALID = {("app.test", "A"): records("NET.1"), ("app.test", "AAAA"): NODATA}

# Each status has another hold, so a status taken for another one shows.
NX_SHORTEST = """\
    hold nx 1s
    hold refused 30s
    hold other 30s
    hold timeout 30s
    hold obsolete 0s
"""


def _holds(kind: str) -> str:
    return NX_SHORTEST.replace("nx 1s", "nx 30s").replace(f"{kind} 30s", f"{kind} 2s")


def _past_its_hold(title: str, kind: str, error: Answer) -> Scenario:
    return Scenario(
        name=f"{title} past its hold, then another address",
        backends=ONE_SERVER,
        zone=VALID,
        holds=_holds(kind),
        steps=(
            answers(1.5, "app.test", "*", error),
            answers(5.5, "app.test", "A", records("NET.2")),
        ),
        seconds=7.0,
    )


def _within_its_hold(title: str, kind: str, error: Answer) -> Scenario:
    return Scenario(
        name=f"{title} twice within its hold",
        backends=ONE_SERVER,
        zone=VALID,
        holds=_holds(kind),
        steps=(
            answers(1.5, "app.test", "*", error),
            answers(2.8, "app.test", "A", records("NET.1")),
            answers(3.4, "app.test", "*", error),
            answers(4.7, "app.test", "A", records("NET.2")),
        ),
        seconds=6.0,
    )


HOLDS = ("nx", "refused", "other", "timeout", "obsolete")
ERRORS = (
    ("no such name", "nx", NX),
    ("refused", "refused", REFUSED),
    ("server failure", "other", SERVFAIL),
    ("no record", "other", NODATA),
    ("silence", "timeout", SILENT),
)
NEVER_RESOLVED = Scenario(
    name="a name that never resolves loses its first address after the hold",
    backends=ONE_SERVER.replace("init-addr none", "init-addr NET.9"),
    zone={},
    steps=(answers(4.5, "app.test", "A", records("NET.9")),),
    seconds=6.0,
)
NEVER_HAD_ONE = Scenario(
    name="a name that never resolves, without a first address, until it does",
    backends=ONE_SERVER,
    zone={("app.test", "*"): SERVFAIL},
    steps=(answers(3.5, "app.test", "A", records("NET.1")),),
    seconds=5.0,
)
WHOLE_TEMPLATE = Scenario(
    name="a template loses all of its servers and gets some back",
    backends=f"backend be\n    server-template web 4 app.test:8080 {OPTIONS}",
    zone={("app.test", "A"): records("NET.1", "NET.2", "NET.3")},
    steps=(
        answers(1.5, "app.test", "*", NX),
        answers(5.0, "app.test", "A", records("NET.2", "NET.4")),
    ),
    seconds=6.5,
)
ERRORS_IN_TURN = Scenario(
    name="the hold of the present error counts, from the last valid answer",
    backends=ONE_SERVER,
    zone=VALID,
    holds=NX_SHORTEST,
    steps=(
        answers(1.5, "app.test", "*", REFUSED),
        answers(4.5, "app.test", "*", NX),  # three seconds late already: down at once
        answers(6.5, "app.test", "*", REFUSED),  # stays down
        answers(8.0, "app.test", "A", records("NET.1")),
    ),
    seconds=9.5,
)
LONG_HOLD = Scenario(
    name="a long hold keeps the address all the time",
    backends=ONE_SERVER,
    zone=VALID,
    holds=_holds("refused"),
    steps=(answers(1.5, "app.test", "*", NX),),
    seconds=6.0,
)
ERROR_WITH_OBSOLETE = Scenario(
    name="hold obsolete plays no part while answers are errors",
    backends=f"backend be\n    server-template web 2 app.test:8080 {OPTIONS}",
    zone={("app.test", "A"): records("NET.1", "NET.2")},
    holds=_holds("nx").replace("obsolete 0s", "obsolete 500ms"),
    steps=(
        answers(1.5, "app.test", "*", NX),
        answers(2.8, "app.test", "A", records("NET.1", "NET.2")),
        answers(4.0, "app.test", "*", NX),
        answers(8.0, "app.test", "A", records("NET.1", "NET.3")),
    ),
    seconds=9.5,
)


def _all_attempts(title: str, error: Answer) -> Scenario:
    return Scenario(
        name=f"{title} counts after all attempts",
        backends=ONE_SERVER,
        zone=VALID,
        pace="    resolve_retries 6\n    timeout resolve 100ms\n    timeout retry 400ms",
        holds="\n".join(f"    hold {kind} 0" for kind in HOLDS),
        steps=(
            answers(1.5, "app.test", "*", error),  # over before the third attempt: nothing happens
            answers(2.2, "app.test", "A", records("NET.1")),
            answers(3.2, "app.test", "*", error),  # down 6 x 400 ms later
            answers(8.0, "app.test", "A", records("NET.1")),
        ),
        seconds=9.5,
    )


SCENARIOS = (
    *(_past_its_hold(*error) for error in ERRORS),
    *(_within_its_hold(*error) for error in ERRORS),
    *(_all_attempts(title, error) for title, _, error in ERRORS),
    NEVER_RESOLVED,
    NEVER_HAD_ONE,
    WHOLE_TEMPLATE,
    ERRORS_IN_TURN,
    LONG_HOLD,
    ERROR_WITH_OBSOLETE,
)


@pytest.mark.slow
@pytest.mark.quiet
def test_errors_and_recovery_give_the_sequences_of_haproxy(tmp_path: Path) -> None:
    accounts = disagreements(SCENARIOS, millrace_command(), tmp_path)
    assert not accounts, "\n\n".join(accounts)
