"""What an agent says and what an operator orders: the last word of each kind counts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shm.agents import AgentReader, AgentWriter
from shm.segment import Segment
from shm.shape import Shape
from shm.slots import AdminTableWriter, SlotTableReader, SlotTableWriter
from shm.states import (
    AdminFlag,
    AdminState,
    AgentCommand,
    AgentOrders,
    AgentState,
    AgentWord,
    StaticState,
)

NOTHING = AdminState(0, -1, None, 0, 0, 0)
ASKED, ALONE = 1, 0  # slots with and without an agent


@pytest.fixture
def segment() -> Iterator[Segment]:
    made = Segment.create(Shape(2, 1, 1, 1, 0, 0, 0, agents=1))
    writer = SlotTableWriter(made)
    writer.lay_backend(0, 0, 2)
    for slot in (ALONE, ASKED):
        settings = StaticState(0, 0, 40, 5, 2, 3, slot + 1, agent=0 if slot == ASKED else -1)
        writer.place(slot, settings)
        writer.publish(slot, "127.0.0.1", 80, now_ms=1)
    yield made
    made.close()


def test_records_are_read_as_they_were_written(segment: Segment) -> None:
    reader = AgentReader(segment)
    assert reader.said(ASKED) == AgentState()
    assert reader.orders(ASKED) == AgentOrders()
    state = AgentState(
        *(1, 2, 3, 4, 5, 256, 2**31 - 1, 6, 7, AgentWord.MAINT, True, 8, 9, 17, True, True, 111)
    )
    writer = AgentWriter(segment)
    writer.tell(ASKED, "é" * 200, 5)
    writer.publish(ASKED, state, changed=True)
    orders = AgentOrders(1, 2, 3, "::1", True, 65_535, 2**32 - 1, AgentCommand.DOWN)
    AdminTableWriter(segment).publish(ASKED, NOTHING, orders)
    assert reader.said(ASKED) == state
    assert reader.orders(ASKED) == orders
    assert reader.text(ASKED, 5).encode(errors="surrogateescape") == ("é" * 127).encode() + b"\xc3"
    assert reader.text(ASKED, 6) == ""


@pytest.mark.parametrize("slot", [ALONE, 2])
def test_a_slot_without_an_agent_has_no_record(segment: Segment, slot: int) -> None:
    with pytest.raises(IndexError):
        AgentReader(segment).said(slot)
    with pytest.raises(IndexError):
        AgentWriter(segment).publish(slot, AgentState(), changed=False)


def test_an_agent_beyond_the_segment_is_refused(segment: Segment) -> None:
    with pytest.raises(IndexError):
        SlotTableWriter(segment).place(0, StaticState(0, 0, 1, 0, 2, 3, 1, agent=1))
    with pytest.raises(ValueError, match="2 agents for 1 servers"):
        Segment.create(Shape(1, 1, 1, 1, 0, 0, 0, agents=2))


@pytest.mark.parametrize(("said_ns", "ordered_ns", "by_agent"), [(2, 1, True), (1, 1, False)])
def test_the_last_word_of_each_kind_counts_and_the_operators_in_a_tie(
    segment: Segment, said_ns: int, ordered_ns: int, by_agent: bool
) -> None:
    said, ordered, table = AgentWriter(segment), AdminTableWriter(segment), SlotTableReader(segment)
    order = NOTHING._replace(flags=AdminFlag.FDRAIN | AdminFlag.CHECK_OFF, weight=3, maxconn=9)
    for kind in ("weight", "state", "maxconn"):
        spoken = AgentState(weight=20, maxconn=7, word=AgentWord.MAINT)
        said.publish(ASKED, spoken._replace(**{f"{kind}_ns": said_ns}), changed=True)
        ordered.publish(ASKED, order, AgentOrders()._replace(**{f"{kind}_ns": ordered_ns}))
        server = table.server(ASKED)
        wins = {kind} if by_agent else set()
        assert server.weight == (20 if "weight" in wins else 3)
        assert server.maxconn == (7 if "maxconn" in wins else 9)
        assert (server.maint, server.drain) == ("state" in wins, "state" not in wins)
        assert server.check_off  # which no agent speaks of
        assert table.admin(ASKED) == order
        assert table.administration(ASKED).flags & AdminFlag.CHECK_OFF


def test_an_agent_may_give_back_the_configured_weight(segment: Segment) -> None:
    AdminTableWriter(segment).publish(ASKED, NOTHING._replace(weight=3), AgentOrders(weight_ns=1))
    AgentWriter(segment).publish(ASKED, AgentState(weight_ns=2, weight=-1), changed=True)
    assert SlotTableReader(segment).server(ASKED).weight == 40


def test_what_an_agent_says_is_announced_only_where_it_changes_something(segment: Segment) -> None:
    writer, before = AgentWriter(segment), segment.table_generation
    writer.publish(ASKED, AgentState(), changed=False)
    assert segment.table_generation == before
    writer.publish(ASKED, AgentState(), changed=True)
    assert segment.table_generation == before + 1
