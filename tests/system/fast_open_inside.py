"""Run in a network namespace of its own: sessions toward servers with `tfo`, and what became of them.

`python fast_open_inside.py COMMAND...` starts the program with a file of ours and prints a line for
each session: what its log line says, what the server got, what the client got.
"""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.servers import reset

HEAD = """\
global
    nbthread 1
defaults
    mode tcp
    timeout connect 300ms
    timeout client 60s
    timeout server 60s
    retries 2
    log 127.0.0.1:5140 local0
    log-format "session %b %ts %rc %Tc %s %U %B"
"""
SECTION = """\
listen {name}
    bind 127.0.0.1:{port}
    {more}
    server a 127.0.0.1:{server_port} tfo {words}
"""
FIRST_PORT = 7000  # the server of port N listens on N + 1000
SPARE = ("127.0.0.1", 9999)
CHECKED = ("127.0.0.1", 9998)
SECTIONS = {
    "plain": ("", ""),
    "header": ("", "send-proxy"),
    "patient": ("timeout connect 50s", ""),
    "patient-header": ("timeout connect 50s", "send-proxy"),
    "spare": (
        f"balance first\n    option redispatch 1\n    server b {SPARE[0]}:{SPARE[1]} tfo",
        "",
    ),
    "observed": ("", "check port 9998 inter 1h observe layer4 error-limit 3 on-error mark-down"),
}


def configuration() -> str:
    sections = (
        SECTION.format(name=name, port=port, server_port=port + 1000, more=more, words=words)
        for port, (name, (more, words)) in enumerate(SECTIONS.items(), FIRST_PORT)
    )
    return HEAD + "".join(sections)


def kernel_counter(name: str) -> int:
    lines = [line.split() for line in Path("/proc/net/netstat").read_text().splitlines()]
    names, values = (line for line in lines if line[0] == "TcpExt:")
    return int(values[names.index(name)])


class Server:
    """Accepts only when it is told to; room for one connection that it has not accepted."""

    def __init__(self, port: int) -> None:
        self.address = ("127.0.0.1", port)
        self.listen()

    def listen(self) -> None:
        self.listening = socket.socket()
        self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
        self.listening.bind(self.address)
        self.listening.listen(0)

    def serve(self, client: socket.socket) -> str:
        """One connection, whose client says no more: what it brought and what the client got."""
        accepted, _ = self.listening.accept()
        accepted.sendall(b"hi")
        heard = client.recv(10)
        client.close()
        received = b""
        while data := accepted.recv(65_536):
            received += data
        accepted.close()
        return f"{re.sub(rb' [0-9]+ 70', b' N 70', received)!r} {heard!r}"

    @contextmanager
    def refusing(self) -> Iterator[None]:
        self.listening.close()
        yield
        self.listen()

    @contextmanager
    def full(self) -> Iterator[socket.socket]:
        with socket.create_connection(self.address) as filler:
            yield filler


class Play:
    def __init__(self, messages: Path) -> None:
        self.messages = messages  # what the program says
        self.log = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.log.bind(("127.0.0.1", 5140))
        self.checked = socket.create_server(CHECKED)
        self.servers = {name: Server(port + 1000) for port, name in enumerate(SECTIONS, FIRST_PORT)}

    def line(self, wanted: str) -> str:
        while wanted not in (line := self.log.recv(4096).decode()):
            pass
        return line.partition(wanted)[2].strip()

    def client(self, name: str, words: bytes) -> socket.socket:
        port = FIRST_PORT + list(SECTIONS).index(name)
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(words)
        return client

    def open(self) -> bool:
        with contextlib.suppress(OSError):
            self.servers["plain"].serve(self.client("plain", b"first"))
            self.line("session ")
            return True
        return False

    def warm(self, name: str) -> None:
        """Clients that speak first, so many that the next one's first bytes are waited for."""
        for _ in range(20):
            self.servers[name].serve(self.client(name, b"warm"))
            self.line("session ")

    def tell(self, what: str, result: str) -> None:
        section, ended, retries, connected, *rest = self.line("session ").split()
        reached = "reached" if int(connected) >= 0 else "not reached"
        print(what, section, ended, retries, reached, *rest, result, flush=True)

    def session(self, name: str, words: bytes, peer: str) -> None:
        server = self.servers[name]
        self.warm(name)
        if peer == "accepts":
            result = server.serve(self.client(name, words))
        elif peer == "resets":
            client = self.client(name, words)
            accepted, _ = server.listening.accept()
            received = accepted.recv(200)
            while not received.endswith(words):  # they may come behind the header
                received += accepted.recv(200)
            reset(accepted)
            result = f"{received[-7:]!r} {client.recv(10)!r}"
            client.close()
        elif peer == "refuses":
            with server.refusing(), self.client(name, words) as client:
                result = repr(client.recv(10))
        elif peer == "silent":
            with server.full(), self.client(name, words) as client:
                result = repr(client.recv(10))
            server.listening.accept()[0].close()
        else:
            dropped = kernel_counter("ListenOverflows")
            with server.full(), self.client(name, words) as client:
                wait_for(lambda: kernel_counter("ListenOverflows") > dropped, 20, "a SYN is lost")
                server.listening.accept()[0].close()
                result = server.serve(client)
        self.tell(f"{peer} {words!r}", result)

    def spare(self) -> None:
        self.warm("spare")
        with socket.create_server(SPARE) as listening, self.servers["spare"].full():
            client = self.client("spare", b"request")
            accepted, _ = listening.accept()
            received = accepted.recv(10)
            client.close()
            accepted.close()
        self.tell("elsewhere", repr(received))

    def observed(self) -> None:
        self.warm("observed")
        with self.servers["observed"].full(), self.client("observed", b"request") as client:
            client.recv(10)
        told = "Server observed/a is DOWN"
        wait_for(lambda: told in self.messages.read_text(), 20, "it is marked down")
        self.line("session ")
        print("observed", told, flush=True)


def play(scenes: Play) -> None:
    wait_for(scenes.open, 20, "it listens")
    for name in ("plain", "header"):
        for words in (b"request", b""):
            for peer in ("accepts", "refuses", "silent"):
                scenes.session(name, words, peer)
            if words:
                scenes.session(name, words, "resets")
            scenes.session("patient-header" if name == "header" else "patient", words, "late")
    scenes.spare()
    scenes.observed()
    print("went in a SYN" if kernel_counter("TCPFastOpenActive") else "nothing went in a SYN")


def main() -> None:
    socket.setdefaulttimeout(PATIENCE_SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "proxy.cfg")
        file.write_text(configuration())
        messages = Path(folder, "messages")
        with messages.open("wb") as output:
            child = subprocess.Popen(
                [*sys.argv[1:], "-f", str(file), "-db"], stdout=output, stderr=output
            )
        try:
            play(Play(messages))
        finally:
            child.terminate()
            child.wait()


if __name__ == "__main__":
    main()
