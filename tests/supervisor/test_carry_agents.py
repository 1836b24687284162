"""What a reload keeps of agents, with real segments."""

from __future__ import annotations

from msgspec.structs import replace

from proxy.config.model.settings import Agent, Balancing
from shm.agents import AgentReader, AgentSendingWriter, AgentWriter
from shm.slots import AdminTableWriter, HealthTableWriter, SlotTableReader
from shm.states import (
    HEALTH_NONE,
    AdminFlag,
    AdminState,
    AgentOrders,
    AgentState,
    AgentWord,
    Operational,
)
from tests.supervisor import test_carry
from tests.supervisor.test_carry import NOW, Draft, carried, configured, segment_of

_no_segment_is_left = test_carry._no_segment_is_left


def test_what_an_agent_said_and_what_was_ordered_beside_it_is_carried() -> None:
    agent = Agent(7, None, 2_000)
    old = configured(be=[Draft("x", "10.0.0.8"), Draft("a", "10.0.0.1", check=None, agent=agent)])
    segment = segment_of(old)
    said = AgentState(*(8, 9, 9, 9, 9), weight=20, maxconn=3, word=AgentWord.DRAIN, down=True)
    AgentWriter(segment).tell(1, "via agent : down", 9)
    AgentWriter(segment).publish(1, said, changed=True)
    orders = AgentOrders(weight_ns=9, address="10.0.0.7", port=8, off=True)
    admin = AdminState(0, 2, None, 0, 0, NOW)
    AdminTableWriter(segment).publish(1, admin, orders)
    stopped = replace(HEALTH_NONE, incarnation=1, operational=Operational.STOPPED, status=1)
    HealthTableWriter(segment).publish(1, stopped, changed=True)
    new = configured(be=[Draft("a", "10.0.0.1", check=None, agent=agent)])
    after = carried(old, segment, new)
    reader, table = AgentReader(after), SlotTableReader(after)
    assert (reader.said(0), reader.orders(0)) == (said, orders)
    assert reader.text(0, 9) == "via agent : down"
    server = table.server(0)
    assert (server.weight, server.maxconn, server.drain) == (2, 3, True)
    assert server.operational == Operational.STOPPED


def test_where_the_configuration_changed_it_wins_over_an_agent() -> None:
    agent = Agent(7, None, 2_000)
    old = configured(be=[Draft("a", "10.0.0.1", agent=agent)])
    segment = segment_of(old)
    said = AgentState(*(9, 9, 9, 9, 9), weight=20, maxconn=3, word=AgentWord.DRAIN)
    AgentWriter(segment).publish(0, said, changed=True)
    orders = AgentOrders(address="10.0.0.7", port=8)
    AdminTableWriter(segment).publish(0, AdminState(0, -1, None, 0, 0, NOW), orders)
    other = Draft("a", "10.0.0.1", agent=Agent(6, None, 2_000), balancing=Balancing(50))
    after = carried(old, segment, configured(be=[other]))
    server = SlotTableReader(after).server(0)
    assert (server.weight, server.maxconn, server.drain) == (50, 3, True)
    assert AgentReader(after).orders(0) == AgentOrders()
    without = carried(old, segment, configured(be=[Draft("a", "10.0.0.1")]))
    assert not SlotTableReader(without).server(0).drain


def test_what_an_agent_is_sent_by_order_is_carried_while_the_line_sends_the_same() -> None:
    agent = Agent(7, None, 2_000, b"one")
    old = configured(be=[Draft("a", "10.0.0.1", agent=agent)])
    segment = segment_of(old)
    assert AgentReader(segment).sending(0) is None
    for sending in (b"two\xff", b"", b"x" * 255):
        AgentSendingWriter(segment).publish(0, sending, NOW)
        after = carried(old, segment, configured(be=[Draft("a", "10.0.0.1", agent=agent)]))
        assert AgentReader(after).sending(0) == sending
    other = Draft("a", "10.0.0.1", agent=Agent(7, None, 2_000, b"three"))
    assert AgentReader(carried(old, segment, configured(be=[other]))).sending(0) is None


def test_an_order_that_a_lost_agent_had_overruled_does_not_come_back() -> None:
    agent = Agent(7, None, 2_000)
    old = configured(be=[Draft("a", "10.0.0.1", agent=agent)])
    without = configured(be=[Draft("a", "10.0.0.1")])
    drained = AdminState(AdminFlag.FDRAIN, 5, None, 0, 0, NOW, maxconn=6)
    for said_ns, wanted in ((9, (False, 1, 0)), (7, (True, 5, 6))):
        segment = segment_of(old)
        said = AgentState(*(said_ns,) * 3, weight=20, maxconn=3, word=AgentWord.READY)
        AgentWriter(segment).publish(0, said, changed=True)
        AdminTableWriter(segment).publish(0, drained, AgentOrders(8, 8, 8))
        server = SlotTableReader(carried(old, segment, without)).server(0)
        assert (server.drain, server.weight, server.maxconn) == wanted
