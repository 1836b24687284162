"""Numbers that compiled code and Python both name are the same, whichever side gets a new one."""

from __future__ import annotations

import enum

import pytest

from loadtest.declarations import declared
from proxy.relay.state.termination import CODES, Termination
from shm.check_status import CheckResult
from shm.log_level import LogLevel
from shm.segment import area_sizes
from shm.shape import Shape
from shm.states import (
    AdminFlag,
    AgentCommand,
    AgentWord,
    Cause,
    HealthOrder,
    Operational,
    ProcessCommand,
    SlotFlag,
    StaticFlag,
)

NAMED_ALIKE = [
    ("shm/layout.pxd", "COMMAND", ProcessCommand),
    ("shm/records.pxd", "STATIC", StaticFlag),
    ("shm/records.pxd", "SLOT", SlotFlag),
    ("shm/records.pxd", "ADMIN", AdminFlag),
    ("shm/records.pxd", "HEALTH_ORDER", HealthOrder),
    ("shm/records.pxd", "AGENT_WORD", AgentWord),
    ("shm/records.pxd", "AGENT_COMMAND", AgentCommand),
    ("shm/records.pxd", "SERVER", Operational),
    ("shm/records.pxd", "RESULT", CheckResult),
    ("proxy/relay/state/types.pxd", "TERMINATION", Termination),
]


@pytest.mark.parametrize(("path", "prefix", "names"), NAMED_ALIKE)
def test_both_sides_name_the_same_numbers(
    path: str, prefix: str, names: type[enum.IntEnum | enum.IntFlag]
) -> None:
    compiled = declared(path).enums[names.__name__]
    assert compiled == {f"{prefix}_{name}": int(each) for name, each in names.__members__.items()}


@pytest.mark.parametrize(
    ("path", "prefix", "names"),
    [("shm/eligibility.pxd", "CAUSE", Cause), ("proxy/relay/log/write.pxd", "LEVEL", LogLevel)],
)
def test_compiled_code_that_names_some_numbers_means_the_same(
    path: str, prefix: str, names: type[enum.IntEnum]
) -> None:
    compiled = declared(path).enums[names.__name__]
    assert compiled
    assert compiled == {name: names[name.removeprefix(f"{prefix}_")] for name in compiled}


def test_every_termination_state_has_letters_and_a_counter() -> None:
    types, rows = declared("proxy/relay/state/types.pxd"), declared("shm/rows.pxd")
    assert set(CODES) == set(Termination)
    assert types.numbers["TERMINATIONS"] == len(Termination)
    worker = rows.structs["WorkerCounters"]
    assert len(Termination) <= (worker.size - worker.offsets["terminations"]) // 8


def test_structs_have_the_sizes_that_the_compiler_gave_them() -> None:
    layout, records = declared("shm/layout.pxd"), declared("shm/records.pxd")
    told = declared("shm/resolution_records.pxd").structs
    made = area_sizes(Shape(1, 1, 1, 1, 1, 1, 1, sections=1, agents=1))
    areas = {
        "HEADER": layout.structs["Header"].size,
        "PROCESSES": 3 * layout.structs["Process"].size,
        "STATICS": records.structs["SlotStatic"].size,
        "BACKENDS": layout.structs["BackendShared"].size,
        "SLOTS": records.structs["Latch"].size,
        "TARGETS": records.structs["NameLatch"].size,
        "REQUESTS": layout.structs["Request"].size,
        "NAMESERVERS": told["NameserverCounters"].size,
        "RESOLUTIONS": told["ResolutionRecord"].size,
        "MAILBOX": told["Mailbox"].size,
        "SECTIONS": told["SectionHistograms"].size,
        "AGENTS": 2 * (records.structs["AgentLatch"].size + records.structs["NameLatch"].size),
        "JOURNAL": layout.structs["Journal"].size,
    }
    assert areas == {name: made[layout.numbers[f"AREA_{name}"]] for name in areas}
