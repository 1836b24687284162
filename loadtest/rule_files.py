"""What rules of loads refer to: lists of networks, a map of names, and the lines that use them.

Owns these files' contents. Knows no program: HAProxy and Millrace read the same.
"""

from __future__ import annotations

import functools
import random
from ipaddress import IPv4Address
from pathlib import Path

from loadtest.site import Site

NETWORKS = 100_000  # lines of a list, unless a load asks for others
PREFIXES = (16, 20, 22, 24, 24, 24, 28, 32)
LOOPBACK = 127
MAP = "names.map"


def list_lines(lists: int, folder: Path, networks: int = NETWORKS) -> list[str]:
    """Rules that look the client's address up in `lists` lists; writes them into `folder`."""
    lines = []
    for number in range(lists):
        path = folder / f"networks{number}.lst"
        path.write_text(_networks(number, networks), encoding="ascii")
        lines.append(f"tcp-request connection reject if {{ src -f {path} }}")
    return lines


@functools.cache
def _networks(seed: int, count: int) -> str:
    """Networks, none of which has a loopback address; the same for each program and round."""
    chance = random.Random(seed)
    found: set[str] = set()
    while len(found) < count:
        address, prefix = chance.randrange(1 << 24, 224 << 24), chance.choice(PREFIXES)
        if address >> 24 != LOOPBACK:
            found.add(f"{IPv4Address(address >> 32 - prefix << 32 - prefix)}/{prefix}\n")
    return "".join(sorted(found))


def mapped_name(number: int) -> str:
    """A name of the map."""
    return f"app{number}.load.test"


def map_lines(names: int, folder: Path, site: Site) -> list[str]:
    """Rules that choose a backend by the name in a ClientHello; writes the map into `folder`."""
    path = folder / MAP
    path.write_text(
        "".join(
            f"{mapped_name(number)} by{number % len(site.web.servers)}\n" for number in range(names)
        ),
        encoding="ascii",
    )
    return [
        "tcp-request inspect-delay 5s",
        "tcp-request content accept if { req.ssl_hello_type 1 }",
        f"use_backend %[req.ssl_sni,lower,map({path})]",
    ]


def map_sections(site: Site) -> list[str]:
    """The backends of the map."""
    lines = []
    for number, server in enumerate(site.web.servers):
        lines += [f"backend by{number}", f"    server web{number} {server}"]
    return lines
