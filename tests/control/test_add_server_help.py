"""`add server help` (management manual 3.1, 9.3): the words that it lists, and no others, work."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from proxy.config.lines.server.options import SERVER_OPTIONS, argument_count
from proxy.config.model.settings import Origin, Proxy
from tests.support.control.site import World, a_server, control_world

VALUES = {
    "addr": "127.0.0.2",
    "id": "7",
    "init-state": "up",
    "observe": "layer4",
    "on-error": "fastinter",
    "on-marked-down": "shutdown-sessions",
    "on-marked-up": "shutdown-backup-sessions",
    "proxy-v2-options": "crc32c",
    "resolve-net": "10.0.0.0/8",
    "resolve-opts": "allow-dup-ip",
    "resolve-prefer": "ipv4",
    "source": "127.0.0.1",
    "ws": "auto",
}
REFUSAL = re.compile("is not (accepted|supported)|unknown keyword")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    servers = (a_server("s1", "127.78.21.1", 80),)
    backend = Proxy("be", 2, "backend", Origin(), servers=servers)
    with control_world([backend]) as made:
        yield made


def answer(world: World, word: str) -> str:
    arguments = [VALUES.get(word, "1")] * argument_count((word,))
    return world.ask(f"add server be/n 127.0.0.1:9 {' '.join((word, *arguments))}")


def test_what_is_listed_is_taken_and_nothing_else(world: World) -> None:
    listed = world.ask("add server help").split()
    assert listed == sorted(listed)
    assert {"check", "weight", "maxconn", "slowstart"} <= set(listed)
    full = "No slot is free for another server of backend be: it has 0 spare ones; "
    for word in SERVER_OPTIONS:
        said = answer(world, word)
        if word == "from":
            assert "unable to find 'default-server name 1' in backend be." in said
        elif word == "resolvers":
            assert "unable to find required resolvers '1'" in said
        elif word in listed:
            assert said.startswith(full), (word, said)
        else:
            assert REFUSAL.search(said), (word, said)


def test_it_is_for_administrators_and_changes_nothing(world: World) -> None:
    assert world.ask("add server help", "operator") == "Permission denied\n\n"
    world.ask("add server help")
    assert "add server help" not in world.ask("show events state")
