"""What a helper has prepared comes over in frames, whole or not at all."""

from __future__ import annotations

import operator
from operator import attrgetter
from pathlib import Path

from proxy.arguments import Arguments, parse
from proxy.server_table import ServerTable
from proxy.supervisor.passage import ALIKE, FAILED_RESULT, decode, encode
from proxy.supervisor.prepare import Prepared, prepare
from proxy.supervisor.slices import PORTION, at_once

MANY = 2 * PORTION + 3


def prepared(folder: Path, more: str = "") -> Prepared:
    path = folder / "edge.cfg"
    servers = "".join(
        f"    server s{number} h{number}.test:80 resolvers r init-addr none\n"
        for number in range(MANY)
    )
    path.write_text(
        f"resolvers r\n    nameserver n 127.0.0.1:53\ndefaults\n    mode tcp\n    timeout client 1s\n"
        f"    timeout server 1s\n    timeout connect 1s\nfrontend f\n    bind 127.0.0.1:1\n"
        f"    default_backend many\nbackend none\nbackend many\n{servers}"
        f"backend one\n    server a 127.0.0.1:1 resolvers r\n{more}"
    )
    arguments = parse(["-f", str(path)])
    assert isinstance(arguments, Arguments)
    return prepare(arguments, {})


def test_settings_come_over_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("10.0.0.0/8\n" * 3)
    page = (
        "listen page\n    mode http\n    bind 127.0.0.1:2\n"
        f"    http-request deny if {{ src -f {tmp_path}/list }} or {{ path /a }} || {{ path /a }}\n"
    )
    sent = prepared(tmp_path, page)
    assert sent.settings is not None
    assert len(sent.settings.lists) == 3, "a file, and what two lines have beside it"
    assert len(ServerTable(sent.settings)) == MANY + 1
    assert at_once(decode(encode(sent))) == sent


def test_equal_options_of_servers_take_memory_once(tmp_path: Path) -> None:
    checked = "".join(f"    server c{number} 127.0.0.1:1 check inter 7s\n" for number in range(9))
    taken = at_once(decode(encode(prepared(tmp_path, f"backend checked\n{checked}"))))
    assert taken.settings is not None
    for servers in (proxy.servers for proxy in taken.settings.backends if proxy.servers):
        for option in (*ALIKE, "origin.file"):
            values = {id(attrgetter(option)(server)) for server in servers}
            assert len(values) == 1, option


def test_no_step_reads_more_than_a_portion(tmp_path: Path) -> None:
    sent = prepared(tmp_path)
    steps = sum(1 for _ in decode(encode(sent)))
    assert steps >= 3 * MANY // PORTION  # servers, resolutions, first addresses


def test_errors_come_over_without_settings(tmp_path: Path) -> None:
    sent = prepared(tmp_path, "    blance roundrobin\n")
    assert sent.settings is None
    assert at_once(decode(encode(sent))) == sent


def test_what_a_killed_helper_sent_is_never_taken_for_settings(tmp_path: Path) -> None:
    content = encode(prepared(tmp_path))
    for length in (0, 1, 7, 8, 9, 100, *range(1_000, len(content), 9_999), len(content) - 1):
        received = at_once(decode(content[:length]))
        assert received.settings is None
        assert [message.text for message in received.messages] == [FAILED_RESULT]


def test_what_equals_the_settings_in_force_is_the_same_object(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("10.0.0.0/8\n" * 3)
    page = (
        "listen page\n    mode http\n    bind 127.0.0.1:2\n"
        f"    http-request deny if {{ src -f {tmp_path}/list }}\n"
    )
    former, sent = prepared(tmp_path, page).settings, prepared(tmp_path, page)
    assert former is not None
    assert sent.settings is not None
    assert sent.settings.proxies[-1] is not former.proxies[-1], "each is read by itself"
    taken = at_once(decode(encode(sent), former))
    assert taken == sent
    assert taken.settings is not None
    assert all(map(operator.is_, taken.settings.proxies, former.proxies))
    for of_kind in (
        attrgetter("lists"),
        attrgetter("references"),
        attrgetter("resolverd.resolutions"),
    ):
        assert all(map(operator.is_, of_kind(taken.settings), of_kind(former)))
        assert of_kind(former)


def test_what_does_not_equal_them_is_new_and_nothing_else_is(tmp_path: Path) -> None:
    former, sent = prepared(tmp_path).settings, prepared(tmp_path, "    server b 127.0.0.1:2\n")
    assert former is not None
    taken = at_once(decode(encode(sent), former))
    assert taken == sent
    assert taken.settings is not None
    same = [new is old for new, old in zip(taken.settings.proxies, former.proxies, strict=True)]
    assert same == [True, True, True, False]
    (first, second), (only,) = taken.settings.proxies[-1].servers, former.proxies[-1].servers
    assert first is only
    assert second.name == "b"
