"""Files with certificates: where they are, and what is in them as text.

Owns the rules of paths (`ca-base`, `crt-base`, `default-path`) and the first look at a content.
What OpenSSL makes of it is not known here.
"""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from proxy.config.model.lists import Place
from proxy.config.model.settings import Origin
from proxy.config.model.tls import PemFile
from proxy.config.text.context import Context
from proxy.config.text.messages import ConfigError
from shm.files import read_whole

PEM_BYTES_MAX = 16 << 20
SYSTEM = "@system-ca"
SYSTEM_FOLDERS = ("/etc/ssl/certs", "/etc/pki/tls/certs", "/usr/lib/ssl/certs")
SUFFIXES = (".pem", ".crt", ".cer", ".crl")
_TRUSTED = re.compile(
    rb"-----BEGIN ((?:TRUSTED |X509 )?CERTIFICATE|X509 CRL)-----.*?-----END \1-----\n?", re.DOTALL
)
_KEY = re.compile(rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----")


def has_key(content: bytes) -> bool:
    """Whether a private key is among it, other than one with a password."""
    return _KEY.search(content) is not None


def full_path(written: str, base: str, context: Context, origin: Origin) -> str:
    """The path of a file; `base` is the word whose folder a relative one starts from."""
    root = Path()
    if context.default_path in ("config", "parent"):
        root = Path(origin.file).parent
    if context.default_path == "parent":
        root /= ".."
    elif context.default_path.startswith("origin "):
        root = Path(context.default_path.removeprefix("origin "))
    return str(root / context.bases.get(base, "") / written)


def place_of(context: Context, origin: Origin) -> Place:
    """Where a line stands."""
    return Place(full_path("", "", context, origin), origin)


def read_bytes(path: str) -> bytes:
    """The content of a file; raises OSError, and ConfigError for one that is too large."""
    if "\0" in path:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    with open(path, "rb", buffering=0) as file:
        content = read_whole(file.fileno(), PEM_BYTES_MAX)
    if len(content) > PEM_BYTES_MAX:
        raise ConfigError(f"'{path}' is too large: more than {PEM_BYTES_MAX} bytes")
    return content


def read_authorities(path: str, context: Context, origin: Origin) -> PemFile:
    """Certificates and lists of revoked ones: of a file, of a folder's files, or the host's.

    Each path is read once in a load. Raises ConfigError.
    """
    known = context.authorities.get(path)
    if known is None:
        known = context.authorities[path] = PemFile(path, _read(path, context, origin))
    return known


def _read(path: str, context: Context, origin: Origin) -> bytes:
    if path == SYSTEM:
        return _of_the_host()
    try:
        if Path(path).is_dir():
            return _folder(path, context, origin)
        found = _blocks(read_bytes(path))
    except OSError as error:
        raise ConfigError(f"Couldn't open the ca-file '{path}' ({error.strerror})") from error
    if not found:
        text = f"Couldn't open the ca-file '{path}' (no certificate or crl found)"
        raise ConfigError(text)
    return b"".join(found)


def _of_the_host() -> bytes:
    for folder in SYSTEM_FOLDERS:
        found: dict[bytes, None] = {}
        for path in _files(folder) if Path(folder).is_dir() else ():
            if os.access(path, os.R_OK):
                found |= dict.fromkeys(_blocks(read_bytes(path)))
        if found:
            return b"".join(found)
    raise ConfigError(f"'{SYSTEM}' : no certificates in {', '.join(SYSTEM_FOLDERS)}")


def _folder(folder: str, context: Context, origin: Origin) -> bytes:
    found: dict[bytes, None] = {}
    for path in _files(folder):
        reason = "no start line"
        try:
            blocks = _blocks(read_bytes(path))
        except OSError as error:
            blocks, reason = [], str(error.strerror)
        if not blocks:
            text = f"ca-file: '{folder}' couldn't load '{path}' ({reason})"
            context.messages.warning(text, origin)
        found |= dict.fromkeys(blocks)
    if not found:
        context.messages.warning(f"ca-file: 0 CA were loaded from '{folder}'", origin)
    return b"".join(found)


def _files(folder: str) -> list[str]:
    """The files of a folder whose names say that certificates are in them."""
    paths = sorted(Path(folder).iterdir())
    return [str(path) for path in paths if path.suffix in SUFFIXES and path.is_file()]


def _blocks(content: bytes) -> list[bytes]:
    """Each certificate and each list, ended by a newline."""
    return [match[0].rstrip(b"\n") + b"\n" for match in _TRUSTED.finditer(content)]
