"""What the kernel's files say of sockets: those of this process, of each kind."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from proxy.control.commands.process.census import LivingProcess
from proxy.control.commands.process.show_fd import OpenDescriptors
from proxy.kernel.sockets import KernelSocket, open_sockets


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def told(*sockets: socket.socket) -> list[KernelSocket]:
    """What is told of these, in their order."""
    inodes = [os.fstat(each.fileno()).st_ino for each in sockets]
    found = {each.inode: each for each in open_sockets(frozenset(inodes)) if each is not None}
    return [found[inode] for inode in inodes]


def listens(stack: ExitStack, family: int, host: str) -> socket.socket:
    made = stack.enter_context(socket.socket(family))
    made.bind((host, 0))
    made.listen()
    return made


@pytest.mark.parametrize(
    ("family", "host", "title"),
    [(socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET6, "::1", "[::1]")],
)
def test_both_ends_of_a_connection(stack: ExitStack, family: int, host: str, title: str) -> None:
    listening = listens(stack, family, host)
    port = listening.getsockname()[1]
    client = stack.enter_context(socket.create_connection((host, port)))
    own = client.getsockname()[1]
    (waiting,) = told(listening)
    assert waiting[1:] == ("tcp", "LISTEN", f"{title}:{port}", "", 1, 0)
    server = stack.enter_context(listening.accept()[0])
    client.sendall(b"12345")
    ours, theirs = told(client, server)
    ends = (f"{title}:{own}", f"{title}:{port}")
    assert ours[1:5] == ("tcp", "ESTABLISHED", *ends)
    assert theirs[1:6] == ("tcp", "ESTABLISHED", *reversed(ends), 5)
    client.close()
    assert told(server)[0].state == "CLOSE-WAIT"


def test_an_ipv4_client_of_a_socket_of_both_families(stack: ExitStack) -> None:
    listening = stack.enter_context(
        socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    )
    port = listening.getsockname()[1]
    client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
    server = stack.enter_context(listening.accept()[0])
    assert told(listening)[0].local == f"[::]:{port}"
    found = told(server)[0]
    assert (found.local, found.remote) == (
        f"127.0.0.1:{port}",
        f"127.0.0.1:{client.getsockname()[1]}",
    )


def test_datagrams_and_unix_sockets(stack: ExitStack) -> None:
    plain, connected = (
        stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2)
    )
    plain.bind(("127.0.0.1", 0))
    connected.connect(plain.getsockname())
    local = f"127.0.0.1:{plain.getsockname()[1]}"
    first, second = told(plain, connected)
    assert (first.kind, first.local, first.remote) == ("udp", local, "")
    assert (second.kind, second.remote) == ("udp", local)
    listening = stack.enter_context(socket.socket(socket.AF_UNIX))
    listening.bind(f"\0millrace-kernel-{os.getpid()}")
    listening.listen()
    one, _ = pair = socket.socketpair()
    for each in pair:
        stack.enter_context(each)
    named, nameless = told(listening, one)
    assert named[1:4] == ("unix", "LISTEN", f"@millrace-kernel-{os.getpid()}")
    assert nameless[1:4] == ("unix", "ESTABLISHED", "")


def test_sockets_beyond_the_share_are_counted(stack: ExitStack) -> None:
    for _ in range(5):
        stack.enter_context(socket.socket())
    process = LivingProcess("this", os.getpid(), runtime=None)
    all_, some = OpenDescriptors(process, 1_000_000), OpenDescriptors(process, 2)
    for each in (all_, some):
        assert list(each.read())
    assert (len(some.sockets), len(some.sockets) + some.unnamed) == (2, len(all_.sockets))
    assert f" unnamed={some.unnamed}\n" in some.head()
    assert "unnamed" not in all_.head()
