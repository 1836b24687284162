"""Health checks of servers that expect the PROXY protocol: HAProxy's bytes and ours."""

from __future__ import annotations

import re
import select
import socket
import subprocess
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from proxy.config.model.settings import ProxyHeader
from proxy.health.check import Connects, Plan
from proxy.health.judgement import Outcome
from proxy.health.proxy_header import check_header
from proxy.health.target import CheckTarget, Limits
from shm.check_status import CheckStatus
from tests.support.common import PATIENCE_SECONDS, free_port, require_program, wait_for
from tests.support.config.loading import load_text
from tests.support.relay.worker import checking, site
from tests.support.servers import Recorder, silent_port

OPTIONS = {
    ProxyHeader.NONE: "check",
    ProxyHeader.V1: "check send-proxy",
    ProxyHeader.V2: "check send-proxy-v2",
    ProxyHeader.V2_CHECKSUM: "check send-proxy-v2 proxy-v2-options crc32c",
    ProxyHeader.V2_TLS: "check send-proxy-v2 proxy-v2-options ssl",
    ProxyHeader.V2_TLS_CHECKSUM: "check send-proxy-v2-ssl-cn proxy-v2-options crc32c",
}
LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0"
NO_ADDRESSES = {
    ProxyHeader.V1: b"PROXY UNKNOWN\r\n",
    ProxyHeader.V2: LOCAL + b"\0\0",
    ProxyHeader.V2_CHECKSUM: LOCAL + b"\0\x07\x03\0\x04\xa9\xb8\x7e\x8f",
    ProxyHeader.V2_TLS: LOCAL + b"\0\x08\x20\0\x05" + bytes(5),
    ProxyHeader.V2_TLS_CHECKSUM: (LOCAL + b"\0\x0f\x03\0\x04\x88\x9d\xa1\xdf\x20\0\x05" + bytes(5)),
}
CONFIGURATION = """
{globals}
defaults
  mode tcp
  timeout connect 2s
  timeout client 600s
  timeout server 600s
listen be
  bind 127.0.0.1:{port}
  server s {host}:{server_port} {options} inter 100ms
"""


def plan(host: str | bytes, port: int, header: ProxyHeader) -> Plan:
    return Plan(CheckTarget(host, port), Limits(5_000), header=header)


def from_haproxy(
    kind: ProxyHeader, server: Recorder, folder: Path, *, never_local: bool = False
) -> bytes:
    file = folder / "haproxy.cfg"
    host = f"[{server.host}]" if ":" in server.host else server.host
    file.write_text(
        CONFIGURATION.format(
            globals="global\n  pp2-never-send-local" if never_local else "",
            port=free_port(),
            host=host,
            server_port=server.port,
            options=OPTIONS[kind],
        )
    )
    command = [require_program("haproxy"), "-db", "-f", str(file)]
    with ExitStack() as stack:
        haproxy = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        stack.callback(haproxy.wait)
        stack.callback(haproxy.kill)
        wait_for(lambda: server.received, 10, "a check")
    return server.received[0]


def from_check(kind: ProxyHeader, server: Recorder, *, never_local: bool = False) -> bytes:
    connects = Connects(never_local=never_local)
    try:
        begun = connects.begin(0, plan(server.host, server.port, kind))
        assert not isinstance(begun, Outcome)
        own, _ = begun.socket.ends()
        assert own is not None
        assert select.select([connects], [], [], PATIENCE_SECONDS)[0]
        [(_, outcome)] = connects.ended(9)
        assert outcome.status is CheckStatus.L4OK
        wait_for(lambda: server.received, 10, "the check")
    finally:
        connects.close()
    assert kind is not ProxyHeader.V1 or f" {own[1]} ".encode() in server.received[0]
    return server.received[0]


@pytest.mark.slow
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("kind", [*ProxyHeader][1:])
def test_a_check_announces_itself_as_haproxy_s_does(
    kind: ProxyHeader, host: str, tmp_path: Path
) -> None:
    with Recorder(host) as server:
        theirs = from_haproxy(kind, server, tmp_path)
    with Recorder(host) as server:
        ours = from_check(kind, server)
    ports = re.compile(rb" \d+ \d+\r\n") if kind is ProxyHeader.V1 else re.compile(rb"(?!)")
    assert ours
    assert ports.sub(b" P P", ours) == ports.sub(b" P P", theirs)


PORTS_AT = {"127.0.0.1": 24, "::1": 48}  # in a header of version 2: the source's, two bytes


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("kind", [*ProxyHeader][1:])
def test_checks_never_say_local_where_that_is_configured(
    kind: ProxyHeader, host: str, tmp_path: Path
) -> None:
    with Recorder(host) as server:
        theirs = from_haproxy(kind, server, tmp_path, never_local=True)
        if kind is ProxyHeader.V1:
            port = int(theirs.split()[4])
        else:
            at = PORTS_AT[host]
            port = int.from_bytes(theirs[at : at + 2], "big")
        wanted = check_header(kind, (host, port), server.address, never_local=True)
        assert wanted == theirs  # the checksum, too
    with Recorder(host) as server:
        ours = from_check(kind, server, never_local=True)
    assert len(ours) == len(theirs) or kind is ProxyHeader.V1
    assert ours[:16] == theirs[:16]


@pytest.mark.parametrize("never_local", [False, True])
def test_the_option_is_that_of_the_configuration(*, never_local: bool) -> None:
    line = "pp2-never-send-local" if never_local else ""
    with Recorder() as server:
        listen = f"listen a\n  bind 127.0.0.1:{free_port()}\n  server s 127.0.0.1:{server.port}"
        text = f"global\n  {line}\n{listen} {OPTIONS[ProxyHeader.V2]} inter 100ms\n"
        made = load_text(text).settings
        assert made is not None
        with site(made) as running:
            checking(running)
            wait_for(lambda: server.received, PATIENCE_SECONDS, "a check")
    assert server.received[0][12] == (0x21 if never_local else 0x20)


def test_a_check_of_another_server_sends_nothing() -> None:
    connects = Connects()
    with silent_port() as port:
        begun = connects.begin(0, plan("127.0.0.1", port, ProxyHeader.V1))
        if not isinstance(begun, Outcome):
            assert select.select([connects], [], [], PATIENCE_SECONDS)[0]
            [(_, begun)] = connects.ended(9)
    assert begun.status is CheckStatus.L4CON
    connects.close()


@pytest.mark.parametrize("kind", [*ProxyHeader][1:])
def test_a_check_of_a_unix_socket_names_no_addresses(kind: ProxyHeader, tmp_path: Path) -> None:
    path = str(tmp_path / "server")
    with socket.socket(socket.AF_UNIX) as server, closing(Connects()) as connects:
        server.bind(path)
        server.listen()
        begun = connects.begin(0, plan(path.encode(), 0, kind))
        assert not isinstance(begun, Outcome)
        assert select.select([connects], [], [], PATIENCE_SECONDS)[0]
        [(_, outcome)] = connects.ended(9)
        assert outcome.status is CheckStatus.L4OK
        accepted, _ = server.accept()
        with accepted:
            received = accepted.recv(200)
    assert received == NO_ADDRESSES[kind]  # as HAProxy 2.6 was seen to send
    assert received == check_header(kind, None, None, never_local=True)  # likewise
