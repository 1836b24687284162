"""`default-server name <template>`: options of the servers whose line says `from <template>`."""

from __future__ import annotations

import pytest

from proxy.config.model.settings import Server
from tests.support.config.loading import load_text, only_alert, said, settings_of

HEAD = (
    "defaults\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\n"
    "    default-server name common maxconn 7 weight 2\n"
)
LISTEN = "listen app\n    bind 127.0.0.1:1\n"


def servers_of(lines: str) -> list[Server]:
    settings = settings_of(f"{HEAD}{LISTEN}" + "".join(f"    {x}\n" for x in lines.split("; ")))
    return [server for proxy in settings.backends for server in proxy.servers]


def said_of(server: Server) -> tuple[int, int, bool]:
    return server.queueing.maxconn, server.balancing.weight, server.balancing.backup


def test_a_template_is_for_servers_that_name_it_alone() -> None:
    found = servers_of(
        "default-server weight 9; server a 127.0.0.1:1; server b 127.0.0.1:1 from common; "
        "server c 127.0.0.1:1 from common weight 5 backup; "
        "server-template t 1-2 127.0.0.1:1 from common maxconn 3"
    )
    assert [said_of(server) for server in found] == [
        (0, 9, False),  # of the line without a name
        (7, 2, False),  # nothing of that line
        (7, 5, True),
        (3, 2, False),
        (3, 2, False),
    ]


def test_a_section_adds_to_a_template_of_its_defaults_for_itself() -> None:
    added = "default-server name common backup weight 4; server a 127.0.0.1:1 from common"
    other = "listen other\n    bind 127.0.0.1:2\n    server a 127.0.0.1:1 from common\n"
    lines = "".join(f"    {x}\n" for x in added.split("; "))
    app, beside = settings_of(f"{HEAD}{LISTEN}{lines}{other}").backends
    assert said_of(app.servers[0]) == (7, 4, True)
    assert said_of(beside.servers[0]) == (7, 2, False)
    assert app.server_templates == (
        ("common", ("maxconn", "7", "weight", "2", "backup", "weight", "4")),
    )
    assert beside.server_templates == (("common", ("maxconn", "7", "weight", "2")),)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "server s 127.0.0.1:1 from comon",
            "'server app/s' : unable to find 'default-server name comon' before this line; did "
            "you mean 'common' maybe ?",
        ),
        ("server s 127.0.0.1:1 from", "'from' expects the name of a 'default-server' line"),
        ("server s 127.0.0.1:1 check from common", "write it right behind the address"),
        ("server s 127.0.0.1:1 from common from common", "write it right behind the address"),
        ("default-server from common", "write it right behind the address"),
        ("default-server name", "'default-server name' expects a name and the options"),
        ("default-server name a/b check", "character '/' is not permitted"),
        ("default-server name x foo", "'default-server x' : unknown keyword 'foo'"),
        ("default-server name x id 3", "'id' fits one server only"),
        ("default-server name x no-sslv3", "not accepted in 'default-server'"),
    ],
)
def test_what_is_wrong_is_said(line: str, said: str) -> None:
    outcome = load_text(f"{HEAD}{LISTEN}    {line}\n")
    assert outcome.settings is None
    assert said in outcome.messages[0].text


def test_a_template_counts_from_its_line_on() -> None:
    lines = "    server s 127.0.0.1:1 from late\n    default-server name late check\n"
    assert load_text(f"{HEAD}{LISTEN}{lines}").settings is None


def test_an_error_of_a_server_template_is_told_once() -> None:
    template = f"{HEAD}{LISTEN}    server-template w 3 a.test:80 resolvers nosuch\n"
    line, text = only_alert(template)
    assert (line, "server 'w1': unable to find required" in text) == (8, True)
    both = said(load_text(f"{template}    server s a.test:80 resolvers nosuch\n"))
    assert [line for line, _ in both] == [8, 9]
