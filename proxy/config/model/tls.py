"""How checks speak TLS to servers, as settings (manual sections 3.1 and 5.2).

Owns what a TLS context is made of, with the bytes of all files: no process needs these again.
Equal contexts are one row of `Settings.tls_contexts`, whatever the number of servers.
"""

from __future__ import annotations

import msgspec


class TlsContext(msgspec.Struct, frozen=True):
    """What one TLS context is made of; `versions` are the lowest and highest, as ssl names them.

    Without `authorities` nothing is trusted. The certificate is what a server may ask for: PEM,
    with its chain and its private key. `ciphers` are those up to TLS 1.2, as OpenSSL has them.
    """

    verify: bool
    authorities: bytes = b""  # PEM
    revoked: bytes = b""  # PEM: lists of revoked certificates; b"": none is looked at
    certificate: bytes = b""
    versions: tuple[str, str] = ("MINIMUM_SUPPORTED", "MAXIMUM_SUPPORTED")
    ciphers: str = "DEFAULT"
    tickets: bool = True
    alpn: tuple[str, ...] = ()


class CheckTls(msgspec.Struct, frozen=True):
    """The TLS of one server's checks; a context is a row of `Settings.tls_contexts`.

    `by_line`: also of connections that no rule says otherwise for (`check-ssl`). `contexts` is for
    connections of rules that offer other protocols than the line: ALPN as written, and the row; ""
    for rules that say nothing of it, and nothing of `default`.
    """

    context: int
    by_line: bool = True
    sni: str | None = None
    verify_host: str | None = None  # where no name is sent
    contexts: tuple[tuple[str, int], ...] = ()


class PemFile(msgspec.Struct, frozen=True):
    """A file as it was when the configuration was read."""

    path: str
    content: bytes


class TlsWords(msgspec.Struct, frozen=True):
    """What the words of a server's line say of TLS, or those of the global section; None: nothing.

    Versions are as ssl names them. `excluded` are those of `no-tlsv10` and its like.
    """

    verify: bool | None = None
    authorities: PemFile | None = None
    revoked: PemFile | None = None
    certificate: str | None = None  # a full path: it is read where a check may need it
    verify_host: str | None = None
    sni: str | None = None
    alpn: str | None = None
    check_alpn: str | None = None
    ciphers: str | None = None
    suites: str | None = None  # of TLS 1.3
    lowest: str | None = None
    highest: str | None = None
    excluded: frozenset[str] = frozenset()
    tickets: bool | None = None


PLAIN_TLS = TlsWords()
