"""Orders by form: who may give them, with which token, from where; what they do."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from proxy.config.model.http import HttpSection, StatsPage
from proxy.config.model.settings import Origin, Proxy
from tests.support.common import PATIENCE_SECONDS
from tests.support.control.http import Answer, get
from tests.support.control.sections import on_paths
from tests.support.control.site import World, a_server, control_world

FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    servers = tuple(a_server(f"s{number}", "127.78.7.1", 80) for number in range(3))
    admin = on_paths("/page", "/page?backend=be")
    pages = {
        "stats": StatsPage("/page", admin=admin),
        "narrow": StatsPage("/page", admin=admin, scope=frozenset({"other"})),
        "others": StatsPage("/page", admin=on_paths("/nowhere")),
    }
    with control_world(
        [
            Proxy("be", 2, "backend", Origin(), servers=servers),
            *(
                Proxy(name, 3 + number, "frontend", Origin(), http=HttpSection(page=page))
                for number, (name, page) in enumerate(pages.items())
            ),
        ]
    ) as made:
        yield made


def send(
    world: World,
    frontend: str,
    fields: list[tuple[str, str]],
    *,
    origin: str | None = "own",
    kind: str = FORM,
) -> Answer:
    """One form, sent as a browser does."""
    host, port = world.services[frontend].getsockname()
    headers = {"Content-Type": kind}
    if origin is not None:
        headers["Origin"] = f"http://{host}:{port}" if origin == "own" else origin
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("POST", "/page?backend=be", urlencode(fields), headers)
        response = connection.getresponse()
        named = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, named, response.read())
    finally:
        connection.close()


def form(world: World, frontend: str = "stats") -> tuple[str, str]:
    """The token and the backend that a page's form has."""
    text = get(world, frontend, "/page?backend=be").text
    token = re.search(r'name="token" value="([^"]+)"', text)
    backend = re.search(r'name="b" value="([^"]+)"', text)
    assert token is not None
    assert backend is not None
    return token[1], backend[1]


def state(world: World, server: str) -> str:
    return world.ask(f"show why be/{server}").splitlines()[0]


def test_a_form_changes_servers_and_leads_back(world: World) -> None:
    token, backend = form(world)
    chosen = [("s", "s0"), ("s", "s2"), ("b", backend), ("token", token)]
    answer = send(world, "stats", [*chosen, ("action", "maint")])
    assert (answer.status, answer.headers["location"]) == (303, "/page?backend=be&told=done")
    assert "the operator has put it into maintenance" in state(world, "s0")
    assert "takes new sessions" in state(world, "s1")
    assert "the operator has put it into maintenance" in state(world, "s2")
    assert "The order is in force." in get(world, "stats", answer.headers["location"]).text
    assert send(world, "stats", [*chosen, ("action", "ready")]).status == 303
    assert "takes new sessions" in state(world, "s0")


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://127.0.0.1"])
def test_a_form_of_another_site_is_refused(world: World, origin: str | None) -> None:
    token, backend = form(world)
    fields = [("s", "s1"), ("b", backend), ("token", token), ("action", "maint")]
    assert send(world, "stats", fields, origin=origin).status == 403
    assert "takes new sessions" in state(world, "s1")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"token": "1.00"}, "stale"),
        ({"token": ""}, "stale"),
        ({"token": "99999999999." + "0" * 64}, "stale"),
        ({"action": "explode"}, "unknown"),
        ({"s": "nobody"}, "unknown"),
        ({"b": "#99"}, "unknown"),
        ({"b": "#" + "9" * 30}, "unknown"),
    ],
)
def test_a_form_that_makes_no_sense_changes_nothing(
    world: World, change: dict[str, str], told: str
) -> None:
    token, backend = form(world)
    fields = {"s": "s1", "b": backend, "token": token, "action": "maint"} | change
    answer = send(world, "stats", list(fields.items()))
    assert (answer.status, answer.headers["location"]) == (303, f"/page?backend=be&told={told}")
    assert "takes new sessions" in state(world, "s1")


def test_without_the_condition_there_is_no_form_and_no_order(world: World) -> None:
    assert "<form" not in get(world, "others", "/page?backend=be").text
    token, backend = form(world)
    fields = [("s", "s1"), ("b", backend), ("token", token), ("action", "maint")]
    assert send(world, "others", fields).status == 403
    assert send(world, "stats", fields, kind="text/plain").headers["location"].endswith("stale")
    assert send(world, "narrow", fields).headers["location"].endswith("told=unknown")
    assert "takes new sessions" in state(world, "s1")


def test_an_order_is_an_event_that_names_its_client(world: World) -> None:
    token, backend = form(world)
    fields = [("s", "s1"), ("s", "s1"), ("b", backend), ("token", token)]
    former = len(world.ask("show events state").splitlines())
    for action in ("drain", "ready"):
        send(world, "stats", [*fields, ("action", action)])
    told = [
        re.sub(r".* order of 127\.[0-9.]+:[0-9]+ by HTTP: ", "", line)
        for line in world.ask("show events state").splitlines()[former - 1 :]
        if "order of" in line
    ]
    assert told == ["drain be/s1 [state ready -> drain]", "ready be/s1 [state drain -> ready]"]
