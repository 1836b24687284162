"""What a reload keeps, with real segments."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from msgspec.structs import replace

from proxy.config.model.settings import (
    Balancing,
    Check,
    Global,
    InitState,
    Origin,
    Proxy,
    Server,
    Settings,
)
from proxy.server_table import Configured
from proxy.supervisor.carry import (
    Carried,
    add_late,
    carry_answers,
    carry_counters,
    known_addresses,
    pair_nameservers,
    plan_carry,
    take_tally,
)
from proxy.supervisor.fill import fill_segment, shape_of
from proxy.supervisor.handover import Handover, carried_health
from proxy.supervisor.initial import decide
from proxy.supervisor.pairs import Onward
from proxy.supervisor.slices import at_once
from resolverd.config import (
    Family,
    Nameserver,
    ResolutionSettings,
    ResolvedServer,
    ResolverdSettings,
    ResolversSection,
)
from shm.changes import ChangeReader
from shm.counters import CounterReader, NameserverTable
from shm.names import NameOrderWriter, NameReader, TargetWriter
from shm.segment import Segment
from shm.slots import AdminTableWriter, HealthTableWriter, SlotTableReader, SlotTableWriter
from shm.states import (
    HEALTH_NONE,
    AdminFlag,
    AdminState,
    Cause,
    HealthOrder,
    Operational,
    SlotFlag,
    StaticFlag,
)
from tests.support.rows import CarriedRow

NOW = 5_000_000
_made: list[Segment] = []


class Draft:
    """A server to be: name, host and whatever differs from the usual."""

    def __init__(self, name: str, host: str, port: int = 80, **changes: object) -> None:
        self.name = name
        self.host = host
        self.port = port
        self.changes = changes


def configured(**backends: list[Draft]) -> Configured:
    """Backends that are frontends, too; host names are resolved by section `dns`."""
    proxies: list[Proxy] = []
    slot = 0
    names: dict[str, list[ResolvedServer]] = {}
    for index, (backend, drafts) in enumerate(backends.items()):
        servers = []
        for draft in drafts:
            numeric = draft.host[0].isdigit()
            servers.append(
                Server(
                    slot=slot,
                    backend_index=index,
                    id=slot + 1,
                    name=draft.name,
                    host=draft.host,
                    port=draft.port,
                    origin=Origin(),
                    address=draft.host if numeric else None,
                    init_addr=("none",),
                    check=Check(rise=2, fall=3),
                    resolution_index=None if numeric else 0,
                )
            )
            servers[-1] = _changed(servers[-1], draft.changes)
            if not numeric:
                resolved = ResolvedServer(slot, index, backend, draft.name, draft.port, 1)
                names.setdefault(draft.host, []).append(resolved)
            slot += 1
        proxies.append(
            Proxy(
                name=backend,
                id=index,
                kind="listen",
                origin=Origin(),
                frontend_index=index,
                backend_index=index,
                servers=tuple(servers),
            )
        )
    resolutions = tuple(
        ResolutionSettings(index, "dns", name, Family.IPV6, tuple(users))
        for index, (name, users) in enumerate(names.items())
    )
    section = ResolversSection("dns", (Nameserver("n1", "127.0.0.1"),))
    return Configured.of(
        Settings(Global(), tuple(proxies), ResolverdSettings((section,), resolutions))
    )


def _changed(server: Server, changes: dict[str, object]) -> Server:
    return msgspec.structs.replace(server, **changes)


@pytest.fixture(autouse=True, scope="module")
def _no_segment_is_left() -> Iterator[None]:
    yield
    while _made:
        _made.pop().close()


def segment_of(wanted: Configured, known: frozenset[int] = frozenset(), spare: int = 0) -> Segment:
    shape = shape_of(wanted, 2, 0)
    segment = Segment.create(shape._replace(slots=shape.slots + spare))
    _made.append(segment)
    fill_segment(segment, wanted, decide(wanted.servers, {}, known).addresses, known, NOW)
    return segment


def carried(old: Configured, old_segment: Segment, new: Configured, spare: int = 0) -> Segment:
    known = known_slots(old, old_segment, new)
    segment = segment_of(new, known, spare)
    plan = at_once(plan_carry(old, new))
    at_once(Handover((old.servers, old_segment), (new.servers, segment), plan, known).copy())
    return segment


def known_slots(old: Configured, segment: Segment, new: Configured) -> frozenset[int]:
    servers = at_once(plan_carry(old, new)).counted.servers
    return at_once(known_addresses(old.servers, segment, new.servers, servers))


def carry_names(old: Configured, old_segment: Segment, new: Configured, segment: Segment) -> None:
    nameservers = at_once(pair_nameservers(old.settings, new.settings, NameReader(old_segment)))
    at_once(carry_answers(old_segment, segment, at_once(plan_carry(old, new)), nameservers))


def test_a_fresh_segment_says_what_the_configuration_says() -> None:
    wanted = configured(
        be=[
            Draft("a", "10.0.0.1", 81, balancing=Balancing(7, backup=True), check=None),
            Draft("b", "b.test", 82, disabled=True),
        ]
    )
    reader = SlotTableReader(segment_of(wanted))
    assert reader.slot(0).address == "10.0.0.1"
    assert reader.slot(0).cause == Cause.CONFIGURED
    assert (reader.static(0).weight, reader.static(0).flags) == (7, StaticFlag.BACKUP)
    assert reader.server(0).eligible
    assert (reader.slot(1).address, reader.slot(1).port) == (None, 82)
    assert reader.slot(1).flags == SlotFlag.RMAINT
    assert reader.static(1).flags == StaticFlag.CHECKED | StaticFlag.RESOLVED
    assert reader.admin(1).flags == AdminFlag.CMAINT


def test_a_server_that_must_prove_itself_first_starts_down() -> None:
    wanted = configured(be=[Draft("a", "10.0.0.1", init_state=InitState.FULLY_DOWN)])
    assert not SlotTableReader(segment_of(wanted)).server(0).eligible


def test_an_address_found_by_dns_is_kept_with_its_generation_wherever_the_slot_moves() -> None:
    old = configured(be=[Draft("a", "a.test"), Draft("b", "a.test")])
    segment = segment_of(old)
    SlotTableWriter(segment).publish(1, "10.0.0.9", 80, weight=9, cause=Cause.DNS, now_ms=NOW)
    before = SlotTableReader(segment).slot(1)
    new = configured(
        first=[Draft("x", "10.1.1.1")], be=[Draft("b", "a.test"), Draft("c", "a.test")]
    )
    reader = SlotTableReader(carried(old, segment, new))
    assert reader.slot(1) == before._replace(cause=Cause.CARRIED)
    assert reader.slot(2).address is None
    assert reader.server(1).eligible


def test_another_name_or_port_is_another_server() -> None:
    old = configured(be=[Draft("a", "a.test"), Draft("b", "b.test")])
    segment = segment_of(old)
    for slot in (0, 1):
        SlotTableWriter(segment).publish(slot, f"10.0.0.{slot}", 80, now_ms=NOW)
    new = configured(be=[Draft("a", "other.test"), Draft("b", "b.test", 81)])
    assert known_slots(old, segment, new) == frozenset()
    reader = SlotTableReader(carried(old, segment, new))
    assert [reader.slot(slot).address for slot in (0, 1)] == [None, None]
    assert reader.slot(1).port == 81


def test_a_server_that_waits_for_resolverd_goes_on_waiting() -> None:
    old = configured(be=[Draft("a", "a.test")])
    segment = segment_of(old)
    new = configured(be=[Draft("a", "a.test")])
    assert known_slots(old, segment, new) == {0}
    assert SlotTableReader(carried(old, segment, new)).slot(0).flags == SlotFlag.RMAINT


def test_without_resolvers_a_server_without_address_is_tried_again() -> None:
    old = configured(be=[Draft("a", "a.test")])
    new = configured(be=[Draft("a", "a.test", resolution_index=None)])
    assert known_slots(old, segment_of(old), new) == frozenset()


def test_what_is_known_of_a_name_is_carried_to_the_row_with_the_same_options() -> None:
    def with_rows(*merges: bool) -> Configured:
        made = configured(be=[Draft("a", "a.test")]).settings
        (row,) = made.resolverd.resolutions
        rows = tuple(
            msgspec.structs.replace(row, index=index, all_families=each)
            for index, each in enumerate(merges)
        )
        resolverd = msgspec.structs.replace(made.resolverd, resolutions=rows)
        return Configured.of(msgspec.structs.replace(made, resolverd=resolverd))

    old, new = with_rows(True), with_rows(False, True)
    segment = segment_of(old)
    NameserverTable(segment).record(0, last_valid_ms=9, ipv4_valid_ms=7, ipv6_valid_ms=9)
    reader = CounterReader(after := carried(old, segment, new))
    carry_names(old, segment, new, after)
    assert reader.resolution(0)["last_valid_ms"] == 0
    fields = reader.resolution(1)
    assert (fields["ipv4_valid_ms"], fields["ipv6_valid_ms"]) == (7, 9)


def test_a_server_that_is_down_stays_down() -> None:
    old = configured(be=[Draft("a", "10.0.0.1")])
    segment = segment_of(old)
    slot = SlotTableReader(segment).slot(0)
    counted = replace(HEALTH_NONE, downs=3, failures=9)
    down = replace(counted, incarnation=slot.incarnation, operational=Operational.STOPPED)
    HealthTableWriter(segment).publish(0, down, changed=True)
    reader = SlotTableReader(carried(old, segment, configured(be=[Draft("a", "10.0.0.1")])))
    assert reader.health(0) == down
    assert not reader.server(0).eligible


def test_another_rise_or_fall_makes_up_fully_up_and_down_fully_down() -> None:
    was = configured(be=[Draft("a", "10.0.0.1")]).servers[0]
    now = configured(be=[Draft("a", "10.0.0.1", check=Check(rise=5, fall=7))]).servers[0]
    up = replace(HEALTH_NONE, operational=Operational.RUNNING, health=3)
    assert carried_health(up, was, was).health == 3
    assert carried_health(up, was, now).health == 11
    assert carried_health(replace(up, operational=Operational.STOPPING), was, now).health == 11
    assert carried_health(replace(up, operational=Operational.STOPPED), was, now).health == 0


def test_the_operators_orders_are_kept() -> None:
    old = configured(be=[Draft("a", "10.0.0.1"), Draft("b", "10.0.0.2"), Draft("c", "10.0.0.3")])
    segment = segment_of(old)
    admins = AdminTableWriter(segment)
    admins.publish(0, AdminState(AdminFlag.FMAINT, -1, None, 0, 0, NOW))
    admins.publish(1, AdminState(AdminFlag.FDRAIN, 77, "10.9.9.9", 99, 1, NOW))
    new = configured(be=[Draft("b", "10.0.0.2"), Draft("a", "10.0.0.1"), Draft("c", "10.0.0.3")])
    reader = SlotTableReader(carried(old, segment, new))
    assert reader.admin(0) == AdminState(AdminFlag.FDRAIN, 77, "10.9.9.9", 99, 1, NOW)
    assert reader.server(0).address == "10.9.9.9"
    assert reader.admin(1).flags == AdminFlag.FMAINT
    assert reader.admin(2).flags == 0


def test_a_new_weight_and_a_new_address_win_over_the_operators() -> None:
    old = configured(be=[Draft("a", "10.0.0.1")])
    segment = segment_of(old)
    order = AdminState(AdminFlag.FDRAIN, 77, "10.9.9.9", 99, 1, NOW, HealthOrder.DOWN, 4, 1)
    AdminTableWriter(segment).publish(0, order)
    heavier = configured(be=[Draft("a", "10.0.0.1", balancing=Balancing(5))])
    assert SlotTableReader(carried(old, segment, heavier)).admin(0) == order._replace(weight=-1)
    moved = configured(be=[Draft("a", "10.0.0.2")])
    assert SlotTableReader(carried(old, segment, moved)).admin(0) == order._replace(
        address=None, port=0, override_generation=0, health_order=HealthOrder.NONE
    )


def test_maintenance_of_the_file_comes_and_goes_with_the_file() -> None:
    plain = configured(be=[Draft("a", "10.0.0.1")])
    disabled = configured(be=[Draft("a", "10.0.0.1", disabled=True)])
    segment = segment_of(plain)
    assert SlotTableReader(carried(plain, segment, disabled)).admin(0).flags == AdminFlag.CMAINT
    segment = segment_of(disabled)
    assert SlotTableReader(carried(disabled, segment, plain)).admin(0).flags == 0


def test_a_server_enabled_by_the_operator_stays_enabled_while_the_file_says_the_same() -> None:
    disabled = configured(be=[Draft("a", "10.0.0.1", disabled=True)])
    segment = segment_of(disabled)
    AdminTableWriter(segment).publish(0, AdminState(0, -1, None, 0, 0, NOW))
    assert SlotTableReader(carried(disabled, segment, disabled)).admin(0).flags == 0


def test_names_that_records_or_the_operator_gave_are_kept() -> None:
    wanted = configured(be=[Draft("a", "_x._tcp.test"), Draft("b", "b.test")])
    segment = segment_of(wanted)
    TargetWriter(segment).publish(0, "host1.test", NOW)
    NameOrderWriter(segment).publish(1, "other.test", NOW)
    names = NameReader(carried(wanted, segment, wanted))
    assert names.target(0) == ("host1.test", NOW)
    assert names.order(1) == ("other.test", NOW)
    assert names.target(1).name == ""


def test_what_has_moved_since_the_first_copy_is_copied_again_and_nothing_else() -> None:
    names = "abcdef"
    wanted = configured(be=[Draft(name, f"{name}.test") for name in names])
    old, new = segment_of(wanted), segment_of(wanted)
    plan = at_once(plan_carry(wanted, wanted))
    known = frozenset(range(len(names)))
    handover = Handover((wanted.servers, old), (wanted.servers, new), plan, known)
    at_once(handover.copy())
    changes, reader = ChangeReader(new), SlotTableReader(new)
    at_once(handover.copy_moved())
    assert changes.slots() == []
    SlotTableWriter(old).publish(1, "10.0.0.1", 80, cause=Cause.DNS, now_ms=NOW)
    AdminTableWriter(old).publish(2, AdminState(AdminFlag.FMAINT, 7, None, 0, 0, NOW))
    TargetWriter(old).publish(3, "target.test", NOW)
    NameOrderWriter(old).publish(4, "ordered.test", NOW)
    at_once(handover.copy_moved())
    assert sorted(set(changes.slots() or ())) == [1, 2, 3, 4]
    assert reader.slot(1).address == "10.0.0.1"
    assert reader.admin(2).weight == 7
    assert NameReader(new).target(3).name == "target.test"
    assert NameReader(new).order(4).name == "ordered.test"


def test_slots_without_a_server_stay_as_they_are() -> None:
    old = configured(be=[Draft("a", "a.test"), Draft("b", "10.0.0.2")])
    new = configured(be=[Draft("b", "10.0.0.2"), Draft("n", "10.0.0.3"), Draft("a", "a.test")])
    segment = segment_of(old, spare=70)
    SlotTableWriter(segment).publish(0, "10.0.0.1", 80, cause=Cause.DNS, now_ms=NOW)
    AdminTableWriter(segment).publish(1, AdminState(AdminFlag.FMAINT, 7, None, 0, 0, NOW))
    after = carried(old, segment, new, spare=3)
    reader = SlotTableReader(after)
    assert [reader.slot(slot).address for slot in range(6)] == [
        *("10.0.0.2", "10.0.0.3", "10.0.0.1"),
        *(None, None, None),
    ]
    assert reader.admin(0).flags == AdminFlag.FMAINT
    assert [reader.server(slot).eligible for slot in range(6)] == [False, True, True, *[False] * 3]


def test_late_counters_go_through_all_generations_in_between() -> None:
    first = configured(be=[Draft("a", "10.0.0.1"), Draft("b", "10.0.0.2")])
    second = configured(other=[Draft("x", "10.0.0.9")], be=[Draft("b", "10.0.0.2")])
    third = configured(be=[Draft("c", "10.0.0.3"), Draft("a", "10.0.0.1"), Draft("b", "10.0.0.2")])
    old, newest = segment_of(first), segment_of(third)
    before = Carried.by(at_once(take_tally(old)), at_once(plan_carry(first, second)).counted)
    last = before.onward.following = Onward(at_once(plan_carry(second, third)).counted)
    reader, row = CounterReader(old), CarriedRow(old)
    for slot in (0, 1):
        row.server(slot, {**reader.server(slot), "sessions_total": 5 + slot})
    at_once(add_late(before, old, last, newest))
    totals = [CounterReader(newest).server(slot)["sessions_total"] for slot in range(3)]
    assert totals == [0, 0, 6], "a was gone in between"


def test_counters_are_kept_and_what_old_workers_count_later_is_added() -> None:
    old = configured(gone=[], be=[Draft("a", "10.0.0.1")])
    new = configured(be=[Draft("new", "10.0.0.2"), Draft("a", "10.0.0.1")])
    old_segment, new_segment = segment_of(old), segment_of(new)
    reader, row = CounterReader(old_segment), CarriedRow(old_segment)
    row.server(0, {**reader.server(0), "sessions_total": 10, "sessions_max": 4})
    row.worker({**reader.worker(), "accepts": 12, "terminations": [2] * 63})
    NameserverTable(old_segment).count(0, "sent", 5)
    counted = at_once(plan_carry(old, new)).counted
    carried = Carried.by(at_once(take_tally(old_segment)), counted)
    at_once(carry_counters(carried.tally, new_segment, counted))
    carry_names(old, old_segment, new, new_segment)
    now = CounterReader(new_segment)
    assert now.server(1)["sessions_total"] == 10
    assert now.server(0)["sessions_total"] == 0
    assert now.nameserver(0)["sent"] == 5
    row.server(0, {**reader.server(0), "sessions_total": 13, "sessions_max": 6})
    row.worker({**reader.worker(), "accepts": 15, "terminations": [3] * 63})
    for _ in range(2):  # the second time there is nothing more
        next(add_late(carried, old_segment, carried.onward, new_segment))  # and broken off
        at_once(add_late(carried, old_segment, carried.onward, new_segment))
        assert (now.server(1)["sessions_total"], now.server(1)["sessions_max"]) == (13, 6)
        assert now.worker()["accepts"] == 15
        assert now.worker()["terminations"] == [3] * 63
