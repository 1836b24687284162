"""The table of servers: what is asked of it, and what it answers where there is nothing."""

from __future__ import annotations

import pytest

from proxy.config.model.settings import Check, Global, Origin, Proxy, Server, Settings
from proxy.server_table import ServerNames, ServerTable
from resolverd.config import ResolverdSettings
from tests.support.control.site import a_server, index_proxies


def servers(*names: str, **more: object) -> tuple[Server, ...]:
    return tuple(a_server(name, "127.0.0.1", 80, **more) for name in names)


def proxy(name: str, kind: str, *held: Server, disabled: bool = False) -> Proxy:
    return Proxy(name, 1, kind, Origin(), servers=held, disabled=disabled)


def settings(*proxies: Proxy) -> Settings:
    return Settings(Global(), index_proxies(list(proxies)), ResolverdSettings())


MIXED = settings(
    proxy("first", "backend"),  # empty backends at both ends and in the middle
    proxy("web", "backend", *servers("a", "b", "c")),
    proxy("front", "frontend"),
    proxy("middle", "backend"),
    proxy("api", "listen", *servers("a", "d", check=Check())),
    proxy("off", "backend", *servers("e", check=Check()), disabled=True),
    proxy("last", "backend"),
)
TABLE = ServerTable(MIXED)
BY_NAME = {proxy.name: proxy for proxy in MIXED.proxies}


def names(found: tuple[Server, ...]) -> str:
    return "".join(server.name for server in found)


def test_each_slot_has_its_server_and_the_order_is_that_of_the_file() -> None:
    assert [TABLE[slot].name for slot in range(6)] == ["a", "b", "c", "a", "d", "e"]
    assert [TABLE[slot].slot for slot in range(6)] == list(range(6))
    assert list(TABLE) == [TABLE[slot] for slot in range(6)]
    assert len(TABLE) == 6
    assert [proxy.name for proxy in TABLE.backends] == [
        "first",
        "web",
        "middle",
        "api",
        "off",
        "last",
    ]
    assert TABLE.backends[TABLE[3].backend_index].name == "api"


@pytest.mark.parametrize("slot", [-1, 6, 7, 2**32 - 1])
def test_a_slot_without_a_server_is_a_key_error(slot: int) -> None:
    with pytest.raises(KeyError):
        TABLE[slot]
    with pytest.raises(KeyError):
        ServerTable(settings(proxy("empty", "backend")))[0]


def test_a_backend_gives_its_own_servers_and_what_is_empty_or_none_gives_nothing() -> None:
    found = {name: names(TABLE.of(each)) for name, each in BY_NAME.items()}
    assert found == {
        "first": "",
        "web": "abc",
        "front": "",
        "middle": "",
        "api": "ad",
        "off": "e",
        "last": "",
    }
    nothing = ServerTable(settings())
    assert (len(nothing), list(nothing), nothing.capacity) == (0, [], 0)


def test_a_table_holds_the_servers_of_the_settings_themselves() -> None:
    assert TABLE.of(BY_NAME["web"]) is BY_NAME["web"].servers


def test_servers_of_disabled_sections_are_not_checked() -> None:
    assert [(proxy.name, server.name) for proxy, server, _ in TABLE.checked()] == [
        ("api", "a"),
        ("api", "d"),
    ]


def test_names_and_ids_are_those_of_one_backend() -> None:
    found = ServerNames(TABLE)
    web, api = BY_NAME["web"], BY_NAME["api"]
    assert found.named(web, "a") is TABLE[0]
    assert found.named(api, "a") is TABLE[3]
    assert found.numbered(api, 2) is TABLE[4]
    assert found.numbered(web, 3) is TABLE[2]
    assert found.named(api, "b") is None
    assert found.numbered(api, 3) is None
    assert found.named(BY_NAME["middle"], "a") is None
    assert found.numbered(BY_NAME["middle"], 1) is None
