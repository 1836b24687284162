"""`-x`: the listening sockets of another program are taken over, or there is no start."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from proxy.config.model.settings import Endpoint, SocketFamily
from proxy.kernel.socket_messages import COMMAND, COUNT, describe_sockets, read_namespaces
from proxy.supervisor import takeover
from proxy.supervisor.binding import SocketOptions
from proxy.supervisor.listening import Want
from proxy.supervisor.takeover import TakeoverError, take_over
from tests.support.common import PATIENCE_SECONDS, free_port, require_program, wait_for
from tests.support.forking.process import start
from tests.support.program.program import NamedBackend, Program

INTERNET = {socket.AF_INET: SocketFamily.IPV4, socket.AF_INET6: SocketFamily.IPV6}
HAPROXY = """
global
    {options}
    stats socket {{socket}} level admin expose-fd listeners
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen web
    bind {address}
    server a 127.0.0.1:{server}
"""
Answer = Callable[[socket.socket], None]


@contextlib.contextmanager
def old_program(path: Path, answer: Answer) -> Iterator[list[bytes]]:
    """Something that answers to one client, and what it was asked."""
    asked: list[bytes] = []

    def serve() -> None:
        with listener.accept()[0] as client, contextlib.suppress(OSError):
            client.settimeout(PATIENCE_SECONDS)
            asked.append(client.recv(100))
            answer(client)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield asked
        finally:
            thread.join()


def listening(family: int = socket.AF_INET, host: str = "127.0.0.1") -> socket.socket:
    made = socket.socket(family)
    made.bind((host, 0))
    made.listen()
    return made


def want(listener: socket.socket, **options: object) -> Want:
    host, port = listener.getsockname()[:2]
    endpoint = Endpoint(INTERNET[listener.family], host, port)
    made = SocketOptions(backlog=10, **options)
    return Want(endpoint, made, place="here", copies=1, service_frontend=0)


def give(client: socket.socket, sockets: list[socket.socket], described: bytes = b"") -> None:
    """One message; its count has gone before it."""
    interfaces = [""] * len(sockets)
    content = described or describe_sockets(interfaces)
    socket.send_fds(client, [content], [each.fileno() for each in sockets])


@contextlib.contextmanager
def taken_over(path: Path, *wants: Want) -> Iterator[list[socket.socket]]:
    """What is taken, in the order of the wants; closed at the end."""
    held = take_over(str(path), wants)
    found = [item.socket for each in wants for item in held.get(each.key, ())]
    assert len(found) == sum(len(items) for items in held.values())
    try:
        yield found
    finally:
        for each in found:
            each.close()


def open_sockets() -> set[str]:
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(f"{entry.name} {entry.readlink()}")
    return {each for each in found if "socket:" in each}


def test_what_is_wanted_is_taken_in_batches_and_the_rest_is_closed(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        three = [stack.enter_context(listening()) for _ in range(3)]
        other = stack.enter_context(listening(socket.AF_INET6, "::1"))
        missing = stack.enter_context(listening())

        def answer(client: socket.socket) -> None:
            client.sendall(COUNT.pack(4))
            give(client, three[:2])
            assert COUNT.unpack(client.recv(4)) == (2,)
            give(client, [three[2], other])

        path = tmp_path / "old"
        wants = [want(three[2]), want(missing), want(three[0])]
        with old_program(path, answer) as asked:
            taken = stack.enter_context(taken_over(path, *wants))
        assert asked == [f"{COMMAND}\n".encode()]
        names = [each.getsockname() for each in taken]
        assert names == [three[2].getsockname(), three[0].getsockname()]
        assert not any(os.get_inheritable(each.fileno()) for each in taken)
        inodes = [os.fstat(each.fileno()).st_ino for each in (*three, other)]
        links = [each.partition(" ")[2] for each in open_sockets()]
        assert [links.count(f"socket:[{inode}]") for inode in inodes] == [2, 1, 2, 1]


@pytest.mark.parametrize(
    ("host", "same", "other"),
    [
        ("::", {"v6only": True}, {"v6only": False}),
        ("127.0.0.1", {}, {"interface": "lo"}),
        ("127.0.0.1", {}, {"transparent": True}),
    ],
)
def test_a_socket_that_is_set_up_otherwise_is_another_one(
    tmp_path: Path, host: str, same: dict[str, object], other: dict[str, object]
) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        if ":" in host:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, 0))
        listener.listen()

        def answer(client: socket.socket) -> None:
            client.sendall(COUNT.pack(1))
            give(client, [listener])

        for number, options in enumerate((other, same)):
            path = tmp_path / str(number)
            with old_program(path, answer), taken_over(path, want(listener, **options)) as taken:
                assert len(taken) == number


def silent(client: socket.socket) -> None:
    client.recv(1)


def says(content: bytes) -> Answer:
    return lambda client: client.sendall(content)


def says_and_gives(count: int, given: int, described: bytes) -> Answer:
    def answer(client: socket.socket) -> None:
        client.sendall(COUNT.pack(count))
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(listening()) for _ in range(given)]
            give(client, sockets, described)
        client.recv(4)

    return answer


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (says(b""), "needs 'expose-fd listeners'"),
        (says(b"\1\0"), "does not say how many"),
        (says(b"Unknown command. Please enter one"), "does not say how many"),
        (says(COUNT.pack(-3)), "does not say how many"),
        (says(COUNT.pack(2)), "fewer came"),
        (silent, "has said nothing for"),
        (says_and_gives(1, 2, b""), "it said 1, and more came"),
        (says_and_gives(1, 1, b"\0\0\0\0\0\0\0"), "more is described"),
        (says_and_gives(1, 1, b"\x40abc"), "has said nothing for"),
        (says_and_gives(3, 1, b""), "fewer came"),
    ],
)
def test_what_makes_no_sense_is_an_error_and_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Answer, told: str
) -> None:
    monkeypatch.setattr(takeover, "TAKEOVER_WAIT_MS", 300)
    path, before = tmp_path / "old", open_sockets()
    with old_program(path, answer), pytest.raises(TakeoverError, match=told):
        take_over(str(path), [])
    assert open_sockets() == before


def test_what_is_no_socket_is_left_out(tmp_path: Path) -> None:
    with listening() as listener, Path("/dev/null").open() as nothing:

        def answer(client: socket.socket) -> None:
            client.sendall(COUNT.pack(2))
            content = describe_sockets(["", ""])
            socket.send_fds(client, [content], [nothing.fileno(), listener.fileno()])

        path = tmp_path / "old"
        with old_program(path, answer), taken_over(path, want(listener)) as taken:
            assert len(taken) == 1


def test_a_message_may_come_in_pieces(tmp_path: Path) -> None:
    with listening() as listener:

        def answer(client: socket.socket) -> None:
            client.sendall(COUNT.pack(1))
            content = b"\0\2lo" + struct.pack("=i", 0)
            give(client, [listener], content[:3])
            client.sendall(content[3:])

        path = tmp_path / "old"
        with old_program(path, answer), taken_over(path, want(listener)) as taken:
            assert len(taken) == 1


def test_another_namespace_is_another_place(tmp_path: Path) -> None:
    described = b"\4blue\0" + struct.pack("=i", 0)
    assert read_namespaces(described, 1) == ["blue"]
    with listening() as listener:

        def answer(client: socket.socket) -> None:
            client.sendall(COUNT.pack(1))
            give(client, [listener], described)

        with old_program(tmp_path / "old", answer):
            assert take_over(str(tmp_path / "old"), [want(listener)]) == {}


def test_where_there_is_no_program_there_is_no_start(tmp_path: Path) -> None:
    with pytest.raises(TakeoverError, match=r"cannot connect to .*No such file"):
        take_over(str(tmp_path / "none"), [])
    with pytest.raises(TakeoverError, match=r"cannot connect to .*too long"):
        take_over("/x" * 100, [])
    assert take_over("/dev/null", []) == {}


def address_of(kind: str, folder: Path) -> tuple[str, int, object]:
    """What a `bind` line says, and what a client connects to: family and address."""
    port = free_port()
    if kind == "tcp6":
        return f"::1:{port}", socket.AF_INET6, ("::1", port)
    if kind == "unix":
        return f"{folder}/u", socket.AF_UNIX, f"{folder}/u"
    if kind == "abstract":
        name = b"\0" + f"t{port}".encode()
        return f"abns@t{port}", socket.AF_UNIX, name.ljust(108, b"\0")
    return f"127.0.0.1:{port}", socket.AF_INET, ("127.0.0.1", port)


def answers(stats: Path) -> bool:
    """Whether HAProxy runs: the file is there before those of the other sockets."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(stats))
        client.sendall(b"show info\n")
        return client.recv(1) != b""
    return False


@contextlib.contextmanager
def haproxy(folder: Path, configuration: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A HAProxy that listens, and its stats socket."""
    file, stats = folder / "haproxy.cfg", folder / "haproxy.sock"
    file.write_text(configuration.replace("{socket}", str(stats)))
    process = start([require_program("haproxy"), "-db", "-f", str(file)])
    try:
        wait_for(lambda: answers(stats), PATIENCE_SECONDS, "the start of HAProxy")
        yield process, stats
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tcp", "tcp, not shared", "tcp6", "unix", "abstract"])
def test_clients_in_the_queue_of_haproxy_are_served_by_millrace(tmp_path: Path, kind: str) -> None:
    """At its `maxconn` HAProxy accepts none of them, and they outlive it."""
    address, family, target = address_of(kind, tmp_path)
    server = NamedBackend("127.0.0.1", 0)
    text = HAPROXY.format(address=address, server=server.port, options="nbthread 2")
    old = text.replace("bind", "maxconn 1\n    backlog 100\n    bind")
    if kind == "tcp, not shared":
        old = old.replace("nbthread 2", "noreuseport")
    with contextlib.ExitStack() as stack:
        stack.callback(server.close)
        process, stats = stack.enter_context(haproxy(tmp_path, old))
        clients = []
        for _ in range(9):
            client = stack.enter_context(socket.socket(family))
            client.settimeout(PATIENCE_SECONDS)
            client.connect(target)
            clients.append(client)
        assert clients[0].recv(100) == b"127.0.0.1\n"
        flags = ("-db", "-x", str(stats), "-sf", str(process.pid))
        stack.enter_context(Program(tmp_path, text, *flags))
        for client in clients[1:]:
            assert client.recv(100) == b"127.0.0.1\n"
        clients[0].sendall(b"still here")
        assert clients[0].recv(100) == b"still here"
        clients[0].close()
        process.wait(PATIENCE_SECONDS)


def run_to_the_end(tmp_path: Path, *flags: str) -> tuple[int, str]:
    program = Program(
        tmp_path,
        HAPROXY.format(address=f"127.0.0.1:{free_port()}", server=1, options=""),
        *flags,
        wait=False,
    )
    try:
        status = program.process.wait(30)
    except subprocess.TimeoutExpired:
        status = -1
    program.stop()
    return status, program.output.read_text()


def test_a_start_without_the_sockets_fails_as_in_haproxy(tmp_path: Path) -> None:
    status, output = run_to_the_end(tmp_path, "-db", "-x", str(tmp_path / "none"))
    assert status == 1
    assert "[ALERT]" in output
    assert "Failed to get the sockets from the old process: cannot connect" in output


def test_under_a_master_it_is_a_warning_as_in_haproxy(tmp_path: Path) -> None:
    text = HAPROXY.format(address=f"127.0.0.1:{free_port()}", server=1, options="")
    with Program(tmp_path, text, "-W", "-db", "-x", str(tmp_path / "none")) as program:
        assert "Failed to get the sockets from the old process" in program.output.read_text()
