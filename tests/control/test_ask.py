"""`millrace show ...`: where the stats socket is found, what is sent, and the status."""

from __future__ import annotations

import io
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from proxy.arguments import Arguments, parse
from proxy.client.ask import run
from proxy.client.connection import connect
from proxy.client.lines import read_places
from proxy.config.model.settings import Origin, Proxy
from proxy.flags.table import SOCKET_WORDS
from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.control.site import World, a_server, control_world

SIGNAL_SECONDS = 0.1  # between two, which each end a system call
OF_CONNECTIONS = {"expert-mode", "experimental-mode", "operator", "prompt", "quit", "user"}
STATE = "set server be/s1 state"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    servers = (a_server("s1", "127.78.19.1", 80),)
    with control_world([Proxy("be", 2, "backend", Origin(), servers=servers)]) as made:
        yield made


class Asked:
    """Runs a command against the world's sockets; status, standard output, standard error."""

    def __init__(self, world: World, capfd: pytest.CaptureFixture[str]) -> None:
        self.world = world
        self.capfd = capfd

    def __call__(self, words: str, level: str = "admin") -> tuple[int, str, str]:
        return self.of("-S", str(self.world.folder / level), *words.split(" "))

    def of(self, *words: str, **environ: str) -> tuple[int, str, str]:
        arguments = parse(words)
        assert isinstance(arguments, Arguments), arguments
        status = run(arguments, environ)
        out, err = self.capfd.readouterr()
        return status, out, err


@pytest.fixture
def asked(world: World, capfd: pytest.CaptureFixture[str]) -> Asked:
    return Asked(world, capfd)


def test_an_answer_comes_without_the_empty_line_behind_it(asked: Asked, world: World) -> None:
    assert asked("show backend") == (0, world.ask("show backend").removesuffix("\n"), "")
    assert asked("show cli level", "user") == (0, "user\n", "")


def test_an_order_that_is_done_says_nothing(asked: Asked) -> None:
    assert asked(f"{STATE} maint") == (0, "", "")
    assert " 1 1 1" in asked("show servers state")[1]
    assert asked(f"{STATE} ready") == (0, "", "")


@pytest.mark.parametrize(
    ("words", "level", "told"),
    [
        ("set server be/s9 state maint", "admin", "No such server.\n"),
        (f"{STATE} maint", "user", "Permission denied\n"),
        (f"{STATE} nonsense", "admin", "'set server <srv> state' expects"),
        ("show nonsense", "user", "Unknown command, but maybe"),
    ],
)
def test_what_is_refused_is_an_error(asked: Asked, words: str, level: str, told: str) -> None:
    status, out, err = asked(words, level)
    assert (status, out) == (1, "")
    assert err.startswith(told)


def test_each_word_of_the_shell_is_one_word(asked: Asked, world: World) -> None:
    socket_path = str(world.folder / "admin")
    words = r"a;b c\d"
    assert asked.of("-S", socket_path, "echo", words) == (0, f"{words}\n", "")
    assert asked.of("-S", socket_path, "show", "cli level") == (1, *asked("show cli\\ level")[1:])
    assert "one line" in asked.of("-S", socket_path, "echo", "a\nb")[2]


def test_the_standard_input_follows_two_angles(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"192.0.2.1\n192.0.2.2\n")))
    assert asked("add map #9 <<")[2] == "Unknown map identifier. Please use #<id> or <file>.\n"


def test_the_files_say_where_the_socket_is(asked: Asked, world: World, tmp_path: Path) -> None:
    """Those that may do most first, then what answers; the files may be wrong elsewhere."""
    edge = tmp_path / "edge.cfg"
    edge.write_text(
        "global\n    this is wrong\n    setenv WHERE $SITE\n"
        '    setenv WHERE "$SITE"\n    stats socket "$WHERE/user" level user\n'
        '    stats socket "$WHERE/operator"\n    stats socket /nowhere/s level admin\n'
        "    stats socket fd@7 level admin\n    pidfile /run/x.pid\nlisten web\n    bind\n"
    )
    assert (
        asked.of("-f", str(edge), "show", "cli", "level", SITE=str(world.folder))[1] == "operator\n"
    )
    places = read_places([str(edge)], {"SITE": "/s"})
    assert places.stats_sockets == ["/nowhere/s", "fd@7", "/s/operator", "/s/user"]
    assert places.pidfile == "/run/x.pid"


def test_no_socket_is_told_with_what_was_tried(asked: Asked, tmp_path: Path) -> None:
    empty = tmp_path / "empty.cfg"
    empty.write_text("global\n")
    told = asked.of("-f", str(empty), "show", "info")
    assert told[0] == 1
    assert (
        told[2] == f"millrace: no 'stats socket' in {empty}: "
        "name the configuration with -f, or a stats socket with -S\n"
    )
    told = asked.of("-f", f"{tmp_path}/none.cfg", "show", "info")
    assert told[2].startswith(f"millrace: cannot read {tmp_path}/none.cfg: name ")
    told = asked.of("-S", f"{tmp_path}/none", "show", "info")
    assert (
        told[2]
        == f"millrace: no stats socket answers ({tmp_path}/none: No such file or directory)\n"
    )
    told = asked.of("-S", "run/x.sock", "show", "info")
    assert told[2] == "millrace: no stats socket answers (run/x.sock: No such file or directory)\n"
    for name in ("127.0.0.1", "none.sock"):
        said = f"{name}: no socket of that name here, and missing port for a host"
        assert said in asked.of("-S", name, "show", "info")[2]


@contextmanager
def full_queue(path: str) -> Iterator[socket.socket]:
    """What listens there; connections fill its queue."""
    with socket.socket(socket.AF_UNIX) as listening, ExitStack() as clients:
        listening.bind(path)
        listening.listen(0)
        refused = 0
        while not refused:
            client = clients.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            refused = client.connect_ex(path)
        yield listening


@contextmanager
def signals_again_and_again() -> Iterator[list[int]]:
    """Each ends a system call; the numbers of those that came."""
    came: list[int] = []
    former = signal.signal(signal.SIGALRM, lambda number, _: came.append(number))
    signal.setitimer(signal.ITIMER_REAL, SIGNAL_SECONDS, SIGNAL_SECONDS)
    try:
        yield came
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def test_a_full_queue_is_waited_for(asked: Asked, tmp_path: Path) -> None:
    path = str(tmp_path / "full")
    with full_queue(path):
        status, out, err = asked.of("-S", path, "--timeout", "1", "show", "info")
    assert (status, out) == (1, "")
    assert f"{path}: too many clients wait there, for 1 s: nothing was sent" in err


def test_a_full_queue_is_waited_for_through_signals(asked: Asked, tmp_path: Path) -> None:
    path = str(tmp_path / "full")
    with full_queue(path), signals_again_and_again() as came:
        status, out, err = asked.of("-S", path, "--timeout", "1", "show", "info")
    assert len(came) > 1
    assert (status, out) == (1, "")
    assert f"{path}: too many clients wait there, for 1 s: nothing was sent" in err


def test_a_place_that_becomes_free_behind_a_signal_is_taken(tmp_path: Path) -> None:
    path = str(tmp_path / "full")
    with full_queue(path) as listening, signals_again_and_again() as came:

        def make_room() -> None:
            wait_for(lambda: len(came) > 1, PATIENCE_SECONDS, "signals")
            listening.accept()[0].close()

        serving = threading.Thread(target=make_room)
        serving.start()
        with connect(path, {}, PATIENCE_SECONDS) as connection:
            assert connection.getpeername() == path
        serving.join(PATIENCE_SECONDS)


ENDED = "the connection ended before the answer did"
OTHER = b"220 mail.test ESMTP\n"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"", ENDED),
        (b"\n", ENDED),
        (b"\nname: x\n", ENDED),
        (b"\n[3]: cut", ENDED),
        (
            OTHER,
            f"this is no stats socket, it says '{OTHER.decode().strip()}': name another with -S",
        ),
    ],
)
def test_half_an_answer_or_a_strange_one_is_an_error(
    asked: Asked, answer: bytes, told: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as client:
                client.recv(1_000)
                client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        status, _, err = asked.of("-S", f"*:{server.getsockname()[1]}", "show", "info")
        thread.join()
    assert status == 1
    assert err.endswith(f"millrace: {told}\n")


def test_a_path_may_be_relative(
    asked: Asked, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world.folder)
    assert asked.of("-S", "user", "show", "cli", "level") == (0, "user\n", "")


@contextmanager
def answering(folder: Path, begin: bytes, rest: bytes, pause_seconds: float = 0) -> Iterator[Path]:
    """The path of a socket that answers one client so."""

    def serve() -> None:
        with listening.accept()[0] as client, suppress(OSError):
            client.recv(1_000)
            client.sendall(begin)
            time.sleep(pause_seconds)
            client.sendall(rest)

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "s"))
        listening.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield folder / "s"
        finally:
            thread.join()
            (folder / "s").unlink()


def test_what_is_no_stats_socket_is_named(asked: Asked, tmp_path: Path) -> None:
    with answering(tmp_path, b"HTTP/1.1 400 Bad Request\r\n", b"\r\n") as path:
        status, out, told = asked.of("-S", str(path), "show", "info")
    assert (status, out) == (1, "")
    assert "this is no stats socket, it says 'HTTP/1.1 400 Bad Request'" in told


@pytest.mark.parametrize(("words", "said"), [("show events state -w", "x\n"), ("show info", "")])
def test_silence_is_an_answer_while_events_are_followed(
    asked: Asked, tmp_path: Path, words: str, said: str
) -> None:
    with answering(tmp_path, b"\n", b"x\n\n", pause_seconds=1.5) as path:
        told = asked.of("-S", str(path), "--timeout", "1", *words.split())
    assert told[:2] == (0 if said else 1, said)


def test_the_table_has_the_words_with_which_commands_begin(world: World) -> None:
    words = set(re.findall(r"^  ([a-z-]+)", world.ask("help"), re.MULTILINE))
    assert words - OF_CONNECTIONS == set(SOCKET_WORDS)
