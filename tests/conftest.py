"""Every test run is deaf to the host's nameservers: libc asks an address where nobody answers.

Each test process gets a mount namespace of its own with another /etc/resolv.conf, which its
children inherit and which ends with it. Without the right to do so (not root) names go where the
host sends them, and tests that hand libc an unknown name are only slower.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
from pathlib import Path

NOBODY = "nameserver 127.255.255.53\noptions timeout:1 attempts:1\n"
CLONE_NEWNS = 0x00020000
MS_BIND = 4096
MS_REC_PRIVATE = 16384 | (1 << 18)
RESOLV_CONF = "/etc/resolv.conf"


def deafen() -> None:
    """Put a resolv.conf over the host's, for this process and what it starts."""
    if os.geteuid() != 0 or not Path(RESOLV_CONF).exists():
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        return
    if libc.mount(None, b"/", None, MS_REC_PRIVATE, None) != 0:
        return
    with tempfile.NamedTemporaryFile("w") as file:  # the mount keeps it after its name is gone
        file.write(NOBODY)
        file.flush()
        Path(file.name).chmod(0o644)
        libc.mount(file.name.encode(), RESOLV_CONF.encode(), None, MS_BIND, None)


deafen()
