"""Each test process is alone: a network of its own, deaf to the host's nameservers.

As root each test process (the single one, and each worker of pytest-xdist) moves into a network
namespace that has only its own loopback and a default route into the void, so that no two of them
ever want the same port and nothing that the host runs or lacks matters, and into a mount namespace with another /etc/resolv.conf, so
that libc asks an address without a server, and with few certificates of authorities, which HAProxy
reads at each start (all of a host's take it 50 ms). Its children inherit both, and both end with it.
Without the right to do so tests share the host's loopback, and names go where the host sends them.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import tempfile
from pathlib import Path

NOBODY = "nameserver 127.255.255.53\noptions timeout:1 attempts:1\n"
RESOLV_CONF = "/etc/resolv.conf"
CERTIFICATES = Path("/etc/ssl/certs")
CERTIFICATES_KEPT = 2
LOOPBACK = b"lo"
CHILD_TABLE = Path("/proc/sys/net/ipv4/tcp_child_ehash_entries")
TABLE_ENTRIES = 16384
ISOLATED = "MILLRACE_ISOLATED"  # the process whose network this is

# What nearly every host has and some do not: a way to the Internet, which Millrace, HAProxy and libc
# look for. What is sent there arrives at the other end of the pair and is dropped.
VOID = """
link add outside type veth peer name nowhere
link set outside arp off up
link set nowhere arp off up
address add 192.0.2.2/24 dev outside
address add 2001:db8::2/64 dev outside nodad
route add default dev outside
route add ::/0 dev outside
"""

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_BIND = 4096
MS_REC_PRIVATE = 16384 | (1 << 18)
SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
IFF_UP = 1
INTERFACE_FLAGS = struct.Struct("16sh22x")  # struct ifreq


def isolate() -> None:
    """Give this process, and what it starts, namespaces of its own where it may have them."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if enter_a_network(libc):
        os.environ[ISOLATED] = str(os.getpid())
        raise_loopback()
        lead_into_the_void()
    # what is covered must not be covered for the host
    if libc.unshare(CLONE_NEWNS) == 0 and libc.mount(None, b"/", None, MS_REC_PRIVATE, None) == 0:
        cover_resolv_conf(libc)
        cover_certificates(libc)


def enter_a_network(libc: ctypes.CDLL) -> bool:
    """Move into a network namespace; False without the right to.

    Its table of connections is small where the kernel can (Linux 6.1): each reading of /proc/net/tcp
    walks all of a table that is otherwise the host's and large.
    """
    if libc.unshare(CLONE_NEWNET) != 0:
        return False
    with contextlib.suppress(OSError):
        CHILD_TABLE.write_text(f"{TABLE_ENTRIES}\n")
        libc.unshare(CLONE_NEWNET)
    return True


def raise_loopback() -> None:
    """Set `lo` up; the kernel then gives it 127.0.0.1/8 and ::1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        now = fcntl.ioctl(any_socket, SIOCGIFFLAGS, INTERFACE_FLAGS.pack(LOOPBACK, 0))
        flags = INTERFACE_FLAGS.unpack(now)[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, INTERFACE_FLAGS.pack(LOOPBACK, flags | IFF_UP))


def lead_into_the_void() -> None:
    """Give the namespace a default route, where `ip` and the kernel can."""
    program = shutil.which("ip", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is not None:
        subprocess.run(
            [program, "-batch", "-"], input=VOID, text=True, capture_output=True, check=False
        )


def cover_resolv_conf(libc: ctypes.CDLL) -> None:
    """Put a resolv.conf over the host's, seen by this mount namespace only."""
    if not Path(RESOLV_CONF).exists():
        return
    with tempfile.NamedTemporaryFile("w") as file:  # the mount keeps it after its name is gone
        file.write(NOBODY)
        file.flush()
        Path(file.name).chmod(0o644)
        libc.mount(file.name.encode(), RESOLV_CONF.encode(), None, MS_BIND, None)


def cover_certificates(libc: ctypes.CDLL) -> None:
    """Leave only some of the host's authorities, where it has any."""
    kept = {
        path.name: path.read_bytes()
        for path in sorted(CERTIFICATES.glob("*.pem"))[:CERTIFICATES_KEPT]
    }
    if kept and libc.mount(b"tmpfs", bytes(CERTIFICATES), b"tmpfs", 0, b"size=1m") == 0:
        for name, text in kept.items():
            (CERTIFICATES / name).write_bytes(text)
