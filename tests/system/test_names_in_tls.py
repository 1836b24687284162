"""TLS that is passed through: real clients reach the server of the name that they ask for.

Each server has a certificate of its own, which the client verifies: who answers is who was meant.
The same clients are shown to HAProxy with the same file.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import pytest

from tests.support.certificates import Authority
from tests.support.common import PATIENCE_SECONDS, free_port, require_program
from tests.support.differential.one_program import PROGRAMS, one_program

CONFIGURATION = """\
global
  stats socket {{folder}}/s level admin
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:{port}
  tcp-request inspect-delay 30s
  tcp-request content accept if {{{{ req.ssl_hello_type 1 }}}}
  tcp-request content reject if {{{{ req.len gt 0 }}}} !{{{{ req.payload(0,1) -m bin 16 }}}}
  use_backend old if {{{{ req.ssl_sni -i two.test }}}} !{{{{ req.ssl_alpn -m found }}}}
  use_backend one if {{{{ req.ssl_sni -i one.test }}}}
  use_backend two if {{{{ req.ssl_sni -m end .two.test }}}} or {{{{ req.ssl_sni two.test }}}}
  use_backend spoken if {{{{ req.ssl_alpn -m sub spoken }}}}
  default_backend nameless
"""
NAMES = {  # server -> what its certificate is for
    "one": ("DNS:one.test",),
    "two": ("DNS:two.test", "DNS:*.two.test"),
    "old": ("DNS:two.test",),
    "spoken": ("DNS:spoken.test",),
    "nameless": ("DNS:any.test", "IP:127.0.0.1"),
}
REQUEST = b"GET / HTTP/1.0\r\n\r\n"
SAID = re.compile(r"server=\w+ \S+ alpn=\S+ (?:new|resumed)")


class Stage(NamedTuple):
    """A program before the servers."""

    port: int
    authority: str
    folder: Path


@contextmanager
def servers(authority: Authority) -> Iterator[str]:
    """Sections of servers that say who they are and what was negotiated."""
    with ExitStack() as stack:
        lines = []
        for name, names in NAMES.items():
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(authority.issue(name, name, *names))
            context.set_alpn_protocols(["spoken", "http/1.1"])
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            stack.callback(listening.shutdown, socket.SHUT_RDWR)
            Thread(target=serve, args=(listening, context, name), daemon=True).start()
            lines.append(f"backend {name}\n  server s 127.0.0.1:{listening.getsockname()[1]}\n")
        yield "".join(lines)


def serve(listening: socket.socket, context: ssl.SSLContext, name: str) -> None:
    while True:
        try:
            client, _ = listening.accept()
        except OSError:  # the test has ended
            return
        Thread(target=answer, args=(client, context, name), daemon=True).start()


def answer(client: socket.socket, context: ssl.SSLContext, name: str) -> None:
    client.settimeout(PATIENCE_SECONDS)
    with client, suppress(OSError), context.wrap_socket(client, server_side=True) as stream:
        stream.recv(65_536)
        how = "resumed" if stream.session_reused else "new"
        said = f"server={name} {stream.version()} alpn={stream.selected_alpn_protocol()} {how}\n"
        stream.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n" + said.encode())
        with suppress(OSError):
            stream.unwrap()


def trusting(stage: Stage) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=stage.authority)


def asked(
    stage: Stage, context: ssl.SSLContext, name: str | None, session: ssl.SSLSession | None = None
) -> tuple[str, ssl.SSLSession | None]:
    """What the server says to a client of Python, and the session that may be resumed."""
    with (
        socket.create_connection(("127.0.0.1", stage.port), PATIENCE_SECONDS) as client,
        context.wrap_socket(client, server_hostname=name, session=session) as stream,
    ):
        stream.sendall(REQUEST)
        said = b"".join(iter(lambda: stream.recv(65_536), b""))
        return spoken(said.decode()), stream.session


def python(stage: Stage, name: str, *protocols: str, version: ssl.TLSVersion | None = None) -> str:
    context = trusting(stage)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return asked(stage, context, name)[0]


def resumed(stage: Stage, version: ssl.TLSVersion) -> str:
    """The second connection of a client, with the session of the first."""
    context = trusting(stage)
    context.minimum_version = context.maximum_version = version
    first, session = asked(stage, context, "one.test")
    assert first.endswith("new")
    return asked(stage, context, "one.test", session)[0]


def byte_by_byte(stage: Stage, name: str) -> str:
    """All that the client sends goes in segments of a byte."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trusting(stage).wrap_bio(incoming, outgoing, server_hostname=name)
    with socket.create_connection(("127.0.0.1", stage.port), PATIENCE_SECONDS) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def until_done(step: Callable[[], bytes | int | None]) -> bytes | int | None:
            while True:
                try:
                    result = step()
                except ssl.SSLWantReadError:
                    result = None
                    waits = True
                else:
                    waits = False
                for byte in outgoing.read():
                    client.sendall(bytes([byte]))
                if not waits:
                    return result
                received = client.recv(65_536)
                incoming.write(received) if received else incoming.write_eof()

        until_done(tls.do_handshake)
        until_done(lambda: tls.write(REQUEST))
        said = b""
        with suppress(ssl.SSLZeroReturnError):
            while data := until_done(tls.read):
                assert isinstance(data, bytes)
                said += data
        return spoken(said.decode())


def openssl(stage: Stage, *options: str) -> str:
    """What `openssl s_client` gets, which ends with the server's end."""
    program = require_program("openssl")
    command = (program, "s_client", "-connect", f"127.0.0.1:{stage.port}", "-quiet", "-ign_eof")
    trust = ("-CAfile", stage.authority, "-verify_return_error")
    done = subprocess.run(
        (*command, *trust, *options), input=REQUEST, capture_output=True, check=False,
        timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    return spoken(done.stdout.decode()) or done.stderr.decode()


def openssl_again(stage: Stage, version: str) -> str:
    kept = str(stage.folder / f"session{version}")
    name = ("-servername", "one.test", version)
    assert openssl(stage, *name, "-sess_out", kept).endswith("new")
    return openssl(stage, *name, "-sess_in", kept)


def curl(stage: Stage, name: str, *options: str) -> str:
    command = (require_program("curl"), "--silent", "--show-error", "--cacert", stage.authority)
    aim = () if name[0].isdigit() else ("--resolve", f"{name}:{stage.port}:127.0.0.1")
    done = subprocess.run(
        (*command, *aim, *options, f"https://{name}:{stage.port}/"), capture_output=True,
        check=False, timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    return spoken(done.stdout.decode()) or done.stderr.decode()


def chromium(stage: Stage, name: str) -> str:
    """A browser: GREASE, an ECH extension of it, and a post-quantum share of a key.

    The path of its socket must fit into 108 bytes, so it has a folder of its own.
    """
    with tempfile.TemporaryDirectory(prefix="millrace-", ignore_cleanup_errors=True) as folder:
        command = (
            require_program("chromium"),
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--no-first-run", "--disable-background-networking", "--ignore-certificate-errors"),
            *(f"--user-data-dir={folder}/profile", "--dump-dom"),
            f"--host-resolver-rules=MAP {name} 127.0.0.1",
            f"https://{name}:{stage.port}/",
        )
        done = subprocess.run(
            command, capture_output=True, check=False, timeout=2 * PATIENCE_SECONDS,
            env={**os.environ, "HOME": folder, "TMPDIR": folder},
        )  # fmt: skip
    return spoken(done.stdout.decode()) or done.stderr.decode()[-2_000:]


def spoken(text: str) -> str:
    found = SAID.search(text)
    return found[0] if found else ""


TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
CLIENTS: dict[str, tuple[Callable[[Stage], str], str]] = {
    "python": (lambda at: python(at, "one.test"), "server=one TLSv1.3 alpn=None new"),
    "python, TLS 1.2": (
        lambda at: python(at, "one.test", version=TLS12),
        "server=one TLSv1.2 alpn=None new",
    ),
    "python, below a name": (
        lambda at: python(at, "a.two.test", "http/1.1"),
        "server=two TLSv1.3 alpn=http/1.1 new",
    ),
    "python, without ALPN": (lambda at: python(at, "two.test"), "server=old TLSv1.3 alpn=None new"),
    "python, by ALPN": (
        lambda at: python(at, "spoken.test", "h9", "spoken"),
        "server=spoken TLSv1.3 alpn=spoken new",
    ),
    "python, an address": (
        lambda at: python(at, "127.0.0.1"),
        "server=nameless TLSv1.3 alpn=None new",
    ),
    "python, resumed": (lambda at: resumed(at, TLS13), "server=one TLSv1.3 alpn=None resumed"),
    "python, resumed, TLS 1.2": (
        lambda at: resumed(at, TLS12),
        "server=one TLSv1.2 alpn=None resumed",
    ),
    "byte by byte": (lambda at: byte_by_byte(at, "one.test"), "server=one TLSv1.3 alpn=None new"),
    "openssl": (
        lambda at: openssl(at, "-servername", "ONE.test"),
        "server=one TLSv1.3 alpn=None new",
    ),
    "openssl, TLS 1.2": (
        lambda at: openssl(at, "-servername", "one.test", "-tls1_2"),
        "server=one TLSv1.2 alpn=None new",
    ),
    "openssl, no name": (
        lambda at: openssl(at, "-noservername"),
        "server=nameless TLSv1.3 alpn=None new",
    ),
    "openssl, an address as name": (
        lambda at: openssl(at, "-servername", "127.0.0.1"),
        "server=nameless TLSv1.3 alpn=None new",
    ),
    "openssl, ALPN": (
        lambda at: openssl(at, "-servername", "x.two.test", "-alpn", "h2,http/1.1"),
        "server=two TLSv1.3 alpn=http/1.1 new",
    ),
    "openssl, resumed": (
        lambda at: openssl_again(at, "-tls1_3"),
        "server=one TLSv1.3 alpn=None resumed",
    ),
    "openssl, resumed, TLS 1.2": (
        lambda at: openssl_again(at, "-tls1_2"),
        "server=one TLSv1.2 alpn=None resumed",
    ),
    "curl": (lambda at: curl(at, "one.test"), "server=one TLSv1.3 alpn=http/1.1 new"),
    "curl, TLS 1.2": (
        lambda at: curl(at, "b.two.test", "--tls-max", "1.2"),
        "server=two TLSv1.2 alpn=http/1.1 new",
    ),
    "curl, no name": (
        lambda at: curl(at, "127.0.0.1"),
        "server=nameless TLSv1.3 alpn=http/1.1 new",
    ),
    "chromium": (lambda at: chromium(at, "one.test"), "server=one TLSv1.3 alpn=http/1.1 new"),
}


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_each_client_reaches_the_server_that_it_means(tmp_path: Path, program: str) -> None:
    authority = Authority(tmp_path / "pem")
    stage = Stage(free_port(), authority.path("ca"), tmp_path)
    with servers(authority) as sections:
        text = CONFIGURATION.format(port=stage.port) + sections
        with one_program(PROGRAMS[program](), tmp_path / program, text, {}):
            found = {name: client(stage) for name, (client, _) in CLIENTS.items()}
    assert found == {name: wanted for name, (_, wanted) in CLIENTS.items()}
