"""Listening sockets of every kind: how they are opened, inherited, quiesced and closed."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.config.model.settings import (
    Bind,
    Endpoint,
    Global,
    Origin,
    Proxy,
    Settings,
    SocketFamily,
)
from proxy.config.text.addresses import UNIX_PATH_MAX
from proxy.supervisor.binding import (
    SO_ATTACH_FILTER,
    BindError,
    SocketOptions,
    open_listener,
    path_identity,
    queue_length,
    quiesce,
    remove_path,
    shut,
    withdraw,
)
from proxy.supervisor.listening import (
    BindingError,
    Held,
    SocketSet,
    open_sockets,
    vanished,
    wanted_sockets,
)
from resolverd.config import ResolverdSettings
from tests.support.common import PATIENCE_SECONDS, free_port, wait_for

HOST = "127.44.4.1"
OPTIONS = SocketOptions(backlog=100)
SO_DETACH_FILTER = 27  # <asm-generic/socket.h>


def ipv4(port: int, host: str = HOST) -> Endpoint:
    return Endpoint(SocketFamily.IPV4, host, port)


@contextlib.contextmanager
def listening(endpoint: Endpoint, options: SocketOptions = OPTIONS) -> Iterator[socket.socket]:
    listener = open_listener(endpoint, options)
    try:
        yield listener
    finally:
        listener.close()


def test_accepted_connections_inherit_nodelay_and_keepalive() -> None:
    with listening(ipv4(0), SocketOptions(backlog=5, keepalive=True)) as listener:
        listener.settimeout(PATIENCE_SECONDS)
        with socket.create_connection(listener.getsockname()):
            client, _ = listener.accept()
        with client:
            assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert client.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_a_line_that_changes_changes_the_open_socket() -> None:
    """Words that are gone after a reload are taken back."""

    def with_words(**words: Any) -> Settings:
        bind = Bind(0, 0, endpoint, Origin("edge.cfg", 1), **words)
        proxy = Proxy("web", 1, "listen", Origin(), frontend_index=0, binds=(bind,))
        return Settings(Global(), (proxy,), ResolverdSettings())

    endpoint = ipv4(free_port())
    words = {"mss": 1200, "user_timeout_ms": 3_000, "defer_accept": True, "fast_open": True}
    before = opened(with_words(**words), 1)
    listener = before.listeners[0].socket
    names = (socket.TCP_MAXSEG, socket.TCP_USER_TIMEOUT, socket.TCP_DEFER_ACCEPT)
    assert [listener.getsockopt(socket.IPPROTO_TCP, name) for name in names] == [1200, 3000, 1]
    assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN) > 0
    after = opened(with_words(), 1, before.held)
    assert after.listeners[0].socket is listener
    assert [listener.getsockopt(socket.IPPROTO_TCP, name) for name in names[1:]] == [0, 0]
    assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN) == 0
    elsewhere = opened(with_words(interface="lo"), 1, after.held)
    assert elsewhere.listeners[0].socket is not listener
    close(after, elsewhere)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({"mss": 10}, r"cannot set mss to 10 \(Invalid argument\)"),
        ({"interface": "nodev0"}, r"cannot bind listener to device 'nodev0' \(No such device\)"),
    ],
)
def test_what_the_kernel_refuses_is_named(words: dict[str, Any], complaint: str) -> None:
    endpoint = ipv4(0)
    with pytest.raises(BindError, match=rf"{complaint} \[{HOST}:0\]"):
        open_listener(endpoint, SocketOptions(5, **words))


def test_a_group_shares_its_port_and_a_stranger_is_refused() -> None:
    with listening(ipv4(0)) as first:
        port = first.getsockname()[1]
        with listening(ipv4(port)):
            pass
        stranger = socket.socket()
        with stranger, pytest.raises(OSError, match="in use"):
            stranger.bind((HOST, port))


def test_an_address_in_use_is_named() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BindError) as caught:
            open_listener(ipv4(port), OPTIONS)
    assert str(caught.value) == f"cannot bind socket (Address already in use) [{HOST}:{port}]"


def test_an_ipv6_wildcard_takes_ipv4_clients_only_when_told() -> None:
    any6 = Endpoint(SocketFamily.IPV6, "::", 0)
    with listening(any6, SocketOptions(backlog=5, v6only=False)) as listener:
        socket.create_connection(("127.0.0.1", listener.getsockname()[1])).close()
    only6 = listening(any6, SocketOptions(backlog=5, v6only=True))
    with only6 as listener, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", listener.getsockname()[1]))


def test_a_path_gets_its_mode_and_replaces_a_stale_socket(tmp_path: Path) -> None:
    path = tmp_path / "front.sock"
    stale = socket.socket(socket.AF_UNIX)
    with stale:
        stale.bind(str(path))
    endpoint = Endpoint(SocketFamily.UNIX, str(path))
    with listening(endpoint, SocketOptions(backlog=5, mode=0o640, user=os.getuid())):
        assert path.stat().st_mode & 0o777 == 0o640
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    assert [entry.name for entry in tmp_path.iterdir()] == ["front.sock"]


def test_a_path_that_cannot_be_is_named() -> None:
    with pytest.raises(BindError, match=r"No such file or directory\) \[/nowhere/front.sock\]"):
        open_listener(Endpoint(SocketFamily.UNIX, "/nowhere/front.sock"), OPTIONS)


def test_only_the_own_socket_of_a_path_is_removed(tmp_path: Path) -> None:
    endpoint = Endpoint(SocketFamily.UNIX, str(tmp_path / "front.sock"))
    with listening(endpoint):
        identity = path_identity(endpoint)
        with listening(endpoint):  # a successor took the path
            remove_path(endpoint, identity)
            assert path_identity(endpoint) is not None
            remove_path(endpoint, path_identity(endpoint))
            assert path_identity(endpoint) is None


def test_abstract_names_are_as_long_as_haproxys() -> None:
    name = f"millrace-{os.getpid()}"
    endpoint = Endpoint(SocketFamily.ABSTRACT, name)
    with listening(endpoint), socket.socket(socket.AF_UNIX) as client:
        client.connect(b"\0" + name.encode().ljust(107, b"\0"))


def test_a_descriptor_that_is_none_is_named() -> None:
    with pytest.raises(
        BindError, match=r"cannot use descriptor \(Bad file descriptor\) \[fd@999\]"
    ):
        open_listener(Endpoint(SocketFamily.DESCRIPTOR, "999"), OPTIONS)


def test_a_quiesced_socket_keeps_its_queue_and_lets_nobody_in() -> None:
    with listening(ipv4(0)) as listener, contextlib.ExitStack() as clients:
        address = listener.getsockname()
        for _ in range(3):
            clients.enter_context(socket.create_connection(address))
        assert queue_length(listener) == 3
        quiesce(listener, ipv4(address[1]))
        late = clients.enter_context(socket.socket())
        late.settimeout(0.1)
        with pytest.raises(TimeoutError):
            late.connect(address)
        assert queue_length(listener) == 3
        for _ in range(3):
            listener.accept()[0].close()
        assert queue_length(listener) == 0


def test_new_clients_pass_by_a_withdrawn_socket_and_handshakes_under_way_end_there() -> None:
    with contextlib.ExitStack() as stack:
        special = stack.enter_context(listening(ipv4(0)))
        host, port = special.getsockname()
        general = stack.enter_context(listening(Endpoint(SocketFamily.IPV4, "0.0.0.0", port)))
        stack.enter_context(socket.create_connection((host, port)))
        client = stack.enter_context(deaf((host, port)))
        withdraw(special, ipv4(port))
        stack.enter_context(socket.create_connection((host, port)))
        assert (queue_length(special), queue_length(general)) == (1, 1)
        client.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
        wait_for(lambda: queue_length(special) == 2, 15, "the second answer to its SYN")
        general.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, port))
        special.accept()[0].close()


def deaf(target: tuple[str, int]) -> socket.socket:
    """A client that has begun to connect and hears no answer."""
    client = socket.socket()
    nothing = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))
    program = struct.pack("HP", 1, ctypes.addressof(nothing))
    client.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
    client.setblocking(False)
    assert client.connect_ex(target) == errno.EINPROGRESS
    return client


def test_a_shut_socket_refuses_though_others_hold_it() -> None:
    with listening(ipv4(0)) as listener, listener.dup():
        address = listener.getsockname()
        shut(listener, ipv4(address[1]))
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)


def settings(*endpoints: Endpoint) -> Settings:
    binds = tuple(
        Bind(index, 0, endpoint, Origin("edge.cfg", index + 1))
        for index, endpoint in enumerate(endpoints)
    )
    proxy = Proxy("web", 1, "listen", Origin(), frontend_index=0, binds=binds)
    return Settings(Global(), (proxy,), ResolverdSettings())


def opened(wanted: Settings, workers: int, inherited: Held | None = None) -> SocketSet:
    return open_sockets(wanted_sockets(wanted, workers), workers, inherited or {})


def close(*sets: SocketSet) -> None:
    for sockets in sets:
        for held in sockets.held.values():
            for item in held:
                item.socket.close()


def test_the_longest_path_that_a_file_may_name_is_bound_whatever_the_pid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getpid", lambda: 1 << 22)  # above the highest one
    monkeypatch.chdir(tmp_path)
    path = "p" * UNIX_PATH_MAX
    with listening(Endpoint(SocketFamily.UNIX, path)), socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        assert [entry.name for entry in tmp_path.iterdir()] == [path]


def test_more_workers_get_more_sockets_and_fewer_adopt_the_surplus() -> None:
    port = free_port()
    wanted = settings(ipv4(port))
    two = opened(wanted, 2)
    assert [item.worker for item in two.listeners] == [0, 1]
    three = opened(wanted, 3, two.held)
    assert [item.worker for item in three.listeners] == [0, 1, 2]
    assert len(three.fresh) == 1
    one = opened(wanted, 1, three.held)
    assert [item.worker for item in one.listeners] == [0, 0, 0]
    assert [item.index for item in one.listeners] == [0, 1, 2]
    assert one.fresh == ()
    assert vanished(three.held, one.held) == []
    close(one)


def test_a_shared_socket_is_one_for_all_workers(tmp_path: Path) -> None:
    sockets = opened(settings(Endpoint(SocketFamily.UNIX, str(tmp_path / "s"))), 3)
    assert [(item.worker, item.shared) for item in sockets.listeners] == [(0, True)]
    close(sockets)


def test_an_address_written_twice_does_not_grow_with_each_reload() -> None:
    port = free_port()
    wanted = settings(ipv4(port), ipv4(port))
    sockets = opened(wanted, 2)
    for _ in range(3):
        sockets = opened(wanted, 2, sockets.held)
        assert [item.bind.index for item in sockets.listeners] == [0, 0, 1, 1]
        assert sockets.fresh == ()
    close(sockets)


def test_what_vanished_is_told_and_what_stays_is_the_same_socket() -> None:
    stays, goes, comes = (ipv4(free_port()) for _ in range(3))
    before = opened(settings(stays, goes), 1)
    after = opened(settings(comes, stays), 1, before.held)
    assert [item.endpoint for item in vanished(before.held, after.held)] == [goes]
    assert after.listeners[1].socket is before.listeners[0].socket
    close(before, after)


def test_all_failures_are_told_and_nothing_stays_open() -> None:
    free = free_port()
    with socket.create_server((HOST, 0)) as one, socket.create_server((HOST, 0)) as two:
        taken = [one.getsockname()[1], two.getsockname()[1]]
        with pytest.raises(BindingError) as caught:
            opened(settings(ipv4(taken[0]), ipv4(free), ipv4(taken[1])), 2)
    assert [
        f"[{HOST}:{port}]" in line for port, line in zip(taken, caught.value.lines, strict=True)
    ]
    assert caught.value.lines[0].startswith("Binding [edge.cfg:1] for proxy web: cannot bind")
    with socket.create_server((HOST, free)):
        pass
