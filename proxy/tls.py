"""TLS contexts for connections to servers, from settings.

Owns the ssl module, which most configurations have no use for: it is loaded with the first context.
Knows no connection.

Handshakes are as HAProxy's: OpenSSL's own list of ciphers, and its lowest version unless a word
says otherwise. Certificates reach OpenSSL as a file in memory, because it takes no others: that
needs /proc, so contexts are made before a process changes its root.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from proxy.config.model.tls import TlsContext

if TYPE_CHECKING:
    import ssl


UNREADABLE = "it cannot be read; a key with a password is not supported"


class TlsError(ValueError):
    """A context that OpenSSL refuses; the text says what of it, and `part` is the field."""

    def __init__(self, part: str, text: str) -> None:
        super().__init__(text)
        self.part = part


def make_context(settings: TlsContext) -> ssl.SSLContext:
    """One context; raises TlsError, and ImportError where Python was built without OpenSSL.

    Names are compared by the check (proxy/health), which knows HAProxy's rules.
    """
    import ssl  # noqa: PLC0415 (most configurations have no use for it)

    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_REQUIRED if settings.verify else ssl.CERT_NONE
    with _refused("ciphers"):
        made.set_ciphers(settings.ciphers)
    lowest, highest = settings.versions
    with warnings.catch_warnings(), _refused("versions"):
        warnings.simplefilter("ignore")  # TLS 1.0 and 1.1 are old, and that was asked for
        made.minimum_version = ssl.TLSVersion[lowest]
        made.maximum_version = ssl.TLSVersion[highest]
    if not settings.tickets:
        made.options |= ssl.OP_NO_TICKET
    if settings.alpn:
        made.set_alpn_protocols(settings.alpn)
    for part, content in ("authorities", settings.authorities), ("revoked", settings.revoked):
        if content:
            with _refused(part), _in_memory(content) as path:
                made.load_verify_locations(cafile=path)
    if settings.revoked:
        made.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    if settings.certificate:
        with _refused("certificate"), _in_memory(settings.certificate) as path:
            made.load_cert_chain(path, password=_no_password)
    return made


def _no_password() -> bytes:
    """A key with a password is refused: there is no terminal to ask at."""
    return b""


@contextmanager
def _refused(part: str) -> Iterator[None]:
    """Name the part that OpenSSL refuses."""
    try:
        yield
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = getattr(error, "reason", None)  # of ssl.SSLError, where OpenSSL has one
        text = str(reason).lower().replace("_", " ") if reason else UNREADABLE
        raise TlsError(part, text) from error


@contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """A path to these bytes, which are in no file system."""
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
