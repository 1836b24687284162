"""crypt(3) of passwords: the library is loaded with this module, before any chroot.

Owns which settings are too dear: one check of a password may take half a second of CPU at most.
"""

from __future__ import annotations

import ctypes
import re

LIBRARY = "libcrypt.so.1"
ROUNDS_MAX = 1_000_000  # of SHA-256 and SHA-512: some half a second
_ROOM_BYTES = 1 << 15  # struct crypt_data of libxcrypt
_ROUNDS = re.compile(rb"\$[56]\$rounds=([0-9]+)\$")


def _load() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        return None
    library.crypt_r.restype = ctypes.c_char_p
    return library


_LIBRARY = _load()


def is_available() -> bool:
    """Whether this host has the library."""
    return _LIBRARY is not None


def is_too_dear(setting: bytes) -> bool:
    """Whether a password made so would keep others waiting each time that it is checked."""
    rounds = _ROUNDS.match(setting)
    return rounds is not None and int(rounds[1]) > ROUNDS_MAX


def crypted(password: bytes, setting: bytes) -> bytes:
    """crypt(3) of a password; b"" where the library does not know the method, or is missing."""
    if _LIBRARY is None or b"\0" in password or not setting:
        return b""
    room = ctypes.create_string_buffer(_ROOM_BYTES)
    made = _LIBRARY.crypt_r(password, setting, room)
    return b"" if made is None or made.startswith(b"*") else bytes(made)
