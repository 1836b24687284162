"""The PROXY header of a check is, byte for byte, what the relay writes of the same connection."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest

from proxy.config.model.settings import ProxyHeader
from proxy.health.proxy_header import check_header

KINDS = {
    ProxyHeader.V1: "v1",
    ProxyHeader.V2: "v2",
    ProxyHeader.V2_CHECKSUM: "v2 crc32c",
    ProxyHeader.V2_TLS: "v2 ssl",
    ProxyHeader.V2_TLS_CHECKSUM: "v2 ssl,crc32c",
}
PAIRS = [
    (("127.0.0.1", 1), ("127.0.0.2", 65_535)),
    (("192.168.100.200", 40_000), ("10.0.0.1", 80)),
    (("::1", 40_000), ("2001:db8::8:800:200c:417a", 443)),
    (("fe80::1", 5), ("::ffff:192.0.2.1", 6)),
]


def packed(address: tuple[str, int]) -> tuple[int, bytes, int]:
    parsed = ipaddress.ip_address(address[0])
    family = socket.AF_INET if parsed.version == 4 else socket.AF_INET6
    return family, parsed.packed, address[1]


@pytest.mark.parametrize(("own", "server"), PAIRS)
def test_version_1_names_the_checks_own_connection(
    parts: Any, own: tuple[str, int], server: tuple[str, int]
) -> None:
    written = parts.header_written(KINDS[ProxyHeader.V1], packed(own), packed(server))
    assert check_header(ProxyHeader.V1, own, server) == written


@pytest.mark.parametrize("kind", KINDS)
def test_without_addresses_every_version_says_so(parts: Any, kind: ProxyHeader) -> None:
    assert check_header(kind, None, None) == parts.header_written(KINDS[kind], None, None)


@pytest.mark.parametrize("kind", list(KINDS)[1:])
def test_version_2_speaks_of_no_client_whatever_the_connection(
    parts: Any, kind: ProxyHeader
) -> None:
    assert check_header(kind, *PAIRS[0]) == parts.header_written(KINDS[kind], None, None)
