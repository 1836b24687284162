"""First addresses: the methods of init-addr in their order."""

from __future__ import annotations

import pytest

from proxy.config.model.settings import Global, InitAddr, Origin, Proxy, Server, Settings
from proxy.config.text.messages import Severity
from proxy.server_table import ServerTable
from proxy.supervisor.initial import InitialAddress, decide, names_wanted
from resolverd.config import ResolverdSettings
from shm.states import Cause, SlotFlag

LAST, LIBC, NONE = InitAddr.LAST, InitAddr.LIBC, InitAddr.NONE


def table(*servers: tuple[str, tuple[str, ...]]) -> ServerTable:
    made = tuple(
        Server(
            slot=slot,
            backend_index=0,
            id=slot + 1,
            name=f"s{slot}",
            host=host,
            port=8_000 + slot,
            origin=Origin("edge.cfg", 5 + slot),
            address=host if host[0].isdigit() else None,
            init_addr=methods,
        )
        for slot, (host, methods) in enumerate(servers)
    )
    proxy = Proxy("be", 1, "backend", Origin(), backend_index=0, servers=made)
    return ServerTable(Settings(Global(), (proxy,), ResolverdSettings()))


def one(host: str, *methods: str, **resolved: str) -> tuple[InitialAddress, list[str]]:
    found = decide(
        table((host, methods)), {name.replace("_", "."): a for name, a in resolved.items()}
    )
    return found.addresses[0], [f"{m.severity.value} {m.text}" for m in found.messages]


def test_a_number_needs_no_method() -> None:
    assert one("10.0.0.1", LAST, LIBC) == (
        InitialAddress(0, "10.0.0.1", 8_000, Cause.CONFIGURED),
        [],
    )


def test_libc_gives_the_address() -> None:
    found, said = one("a.test", LAST, LIBC, NONE, a_test="10.0.0.9")
    assert found == InitialAddress(0, "10.0.0.9", 8_000, Cause.LIBC)
    assert said == []


def test_none_after_a_failure_disables_the_server_and_says_so() -> None:
    found, said = one("a.test", LAST, LIBC, NONE)
    assert found == InitialAddress(0, None, 8_000, Cause.NOTHING, SlotFlag.RMAINT)
    assert said == [
        "WARNING [edge.cfg:5] : 'server be/s0' : could not resolve address 'a.test', disabling server."
    ]


def test_none_alone_waits_silently() -> None:
    found, said = one("a.test", NONE, a_test="10.0.0.9")
    assert found.address is None
    assert found.port == 8_000
    assert said == []


def test_an_address_is_the_last_resort() -> None:
    found, said = one("a.test", LAST, LIBC, "192.168.1.25")
    assert found == InitialAddress(0, "192.168.1.25", 8_000, Cause.INIT_ADDRESS)
    assert said == [
        "WARNING [edge.cfg:5] : 'server be/s0' : could not resolve address 'a.test', "
        "falling back to configured address."
    ]


def test_without_a_last_resort_the_start_fails() -> None:
    _, said = one("a.test", LAST, LIBC)
    assert said == [
        "ALERT [edge.cfg:5] : 'server be/s0' : could not resolve address 'a.test'.",
        "ALERT Failed to initialize server(s) addr.",
    ]


def test_a_start_that_fails_without_having_asked_libc_says_so() -> None:
    _, said = one("a.test", LAST)
    assert said[0] == (
        "ALERT [edge.cfg:5] : 'server be/s0' : no method found to resolve address 'a.test'."
    )


def test_failures_can_be_ignored() -> None:
    found = decide(table(("a.test", (LAST, LIBC))), {}, ignore_failures=True)
    assert found.addresses[0].flags == SlotFlag.RMAINT
    assert [message.severity for message in found.messages] == [Severity.WARNING]


@pytest.mark.parametrize(
    ("methods", "asked"),
    [
        ((LAST, LIBC), True),
        ((LIBC, NONE), True),
        ((NONE,), False),
        ((NONE, LIBC), False),
        (("192.0.2.1", LIBC), False),
        ((), False),
    ],
)
def test_libc_is_asked_only_where_it_may_count(methods: tuple[str, ...], asked: bool) -> None:
    assert names_wanted(table(("a.test", methods)), set()) == ({"a.test"} if asked else set())


def test_service_names_are_nothing_for_libc() -> None:
    wanted = table(("_http._tcp.a.test", (LAST, LIBC, NONE)))
    assert names_wanted(wanted, set()) == set()
    found = decide(wanted, {})
    assert found.addresses[0].flags == SlotFlag.RMAINT
    assert found.messages == ()


def test_servers_known_from_before_a_reload_ask_nobody() -> None:
    wanted = table(("a.test", (LAST, LIBC)), ("b.test", (LAST, LIBC)))
    assert names_wanted(wanted, {0}) == {"b.test"}
    found = decide(wanted, {"b.test": "10.0.0.2"}, {0})
    assert found.messages == ()
    assert [record.slot for record in found.addresses] == [0, 1]
