"""Settings into a fresh segment, before the first fork: statics, backends, first addresses."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from proxy.members.static import static_state
from proxy.server_table import Configured, first_slot
from proxy.supervisor.initial import InitialAddress
from proxy.supervisor.restore import Restored, admin_state, agent_records, health_state
from proxy.supervisor.slices import PORTION, Steps, at_once
from shm.agents import AgentWriter
from shm.members import make_spare
from shm.names import NameOrderWriter, NameserverNameWriter, TargetWriter
from shm.segment import Segment
from shm.shape import Shape
from shm.slots import AdminTableWriter, HealthTableWriter, SlotTableReader, SlotTableWriter
from shm.states import AdminFlag, AdminState


def shape_of(configured: Configured, workers: int, sockets: int) -> Shape:
    """How large a segment this configuration needs."""
    settings, servers = configured
    return Shape(
        slots=servers.capacity,
        backends=len(servers.backends),
        frontends=len(settings.frontends),
        workers=workers,
        sockets=sockets,
        nameservers=settings.resolverd.nameserver_rows,
        resolutions=len(settings.resolverd.resolutions),
        binds=len(settings.binds),
        sections=len(settings.resolverd.sections),
        agents=sum(server.agent is not None for server in servers),
        runners=int(servers.has_programs),
        rules=len(settings.rules),
        variables=len(settings.shared.names),
        added_names=sum(each.spare_slots for each in servers.backends)
        if settings.resolverd.sections
        else 0,
    )


def fill_segment(
    segment: Segment,
    configured: Configured,
    initial: Iterable[InitialAddress],
    carried: Collection[int],
    now_ms: int,
) -> None:
    """Write all that the configuration fixes, at once."""
    at_once(filling(segment, configured, initial, carried, now_ms))


def filling(
    segment: Segment,
    configured: Configured,
    initial: Iterable[InitialAddress],
    carried: Collection[int],
    now_ms: int,
) -> Steps[None]:
    """Write all that the configuration fixes; slots that are `carried` get their record later."""
    settings, servers = configured
    slots = SlotTableWriter(segment)
    admins = AdminTableWriter(segment)
    targets = TargetWriter(segment)
    nameservers = NameserverNameWriter(segment)
    for section in settings.resolverd.sections:
        for nameserver in section.nameservers:
            nameservers.publish(nameserver.index, nameserver.name, now_ms)
    agents = 0
    for index, proxy in enumerate(servers.backends):
        assert proxy.backend_index == index, f"backend {proxy.name} is not number {index}"
        members = servers.of(proxy)
        slots.lay_backend(index, first_slot(proxy), len(members), proxy.spare_slots)
        if proxy.spare_of:
            make_spare(segment, index)
        yield
        for number, server in enumerate(members):
            if number % PORTION == 0:
                yield
            agent = -1 if server.agent is None else agents
            agents += server.agent is not None
            slots.place(server.slot, static_state(server)._replace(agent=agent))
            if server.disabled:
                maintenance = AdminState(AdminFlag.CMAINT, -1, None, 0, 0, now_ms)
                admins.publish(server.slot, maintenance)
    for number, record in enumerate(initial):
        if number % PORTION == 0:
            yield
        if record.slot not in carried:
            slots.publish(
                record.slot,
                record.address,
                record.port,
                cause=record.cause,
                flags=record.flags,
                weight=record.weight,
                now_ms=now_ms,
            )
            if record.target:
                targets.publish(record.slot, record.target, now_ms)


def fill_restored(segment: Segment, restored: Iterable[Restored], now_ms: int) -> None:
    """Write what state files say beside addresses; the slots have their first record already."""
    reader = SlotTableReader(segment)
    admins, health = AdminTableWriter(segment), HealthTableWriter(segment)
    orders = NameOrderWriter(segment)
    agents = AgentWriter(segment)
    for each in restored:
        ordered = None
        if each.agent_off or each.agent_down:
            said, ordered = agent_records(each)
            agents.publish(each.slot, said, changed=True)
        admins.publish(each.slot, admin_state(each, now_ms), ordered)
        health.publish(each.slot, health_state(each, reader.slot(each.slot), now_ms), changed=True)
        if each.order:
            orders.publish(each.slot, each.order, now_ms)
