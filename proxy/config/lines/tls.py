"""The words about TLS to servers that `server` lines and the global section share.

Owns versions and their words (manual 5.2: ssl-min-ver, force-tlsv12, no-tlsv10), and what may be
sent as a name or a protocol. A handler changes the part `tls` of its draft.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from proxy.config.lines.table import Statement
from proxy.config.model.tls import TlsWords
from proxy.config.text.addresses import parse_number_of_host
from proxy.config.text.messages import ConfigError

SNI_MAX = 255  # bytes, of OpenSSL
ALPN_NAME_MAX = 255  # bytes, of RFC 7301
# as words end, and as ssl names them; this OpenSSL has no SSLv3
VERSIONS = {
    "sslv3": "SSLv3",
    "tlsv10": "TLSv1",
    "tlsv11": "TLSv1_1",
    "tlsv12": "TLSv1_2",
    "tlsv13": "TLSv1_3",
}
_WRITTEN = {
    "SSLv3": "SSLv3",
    "TLSv1.0": "TLSv1",
    "TLSv1.1": "TLSv1_1",
    "TLSv1.2": "TLSv1_2",
    "TLSv1.3": "TLSv1_3",
}
FLAGS = (
    *(f"no-{version}" for version in VERSIONS),
    *(f"force-{version}" for version in VERSIONS),
    *("no-tls-tickets", "tls-tickets"),
)
LIMITS: Mapping[str, str] = {"ssl-min-ver": "lowest", "ssl-max-ver": "highest"}


class HasTls(Protocol):
    """A draft with TLS words."""

    tls: TlsWords


def change(draft: HasTls, **words: object) -> None:
    """Set words."""
    draft.tls = msgspec.structs.replace(draft.tls, **words)


def version_flag(statement: Statement, draft: HasTls) -> None:
    """`no-tlsv10`, `force-tlsv12`, `no-tls-tickets` and their like."""
    statement.at_most(0)
    set_flag(statement.keyword, draft)


def set_flag(word: str, draft: HasTls) -> None:
    """One of FLAGS."""
    if word.endswith("tls-tickets"):
        change(draft, tickets=word == "tls-tickets")
        return
    verb, _, version = word.partition("-")
    if verb == "no":
        change(draft, excluded=draft.tls.excluded | {VERSIONS[version]})
    else:
        change(draft, lowest=VERSIONS[version], highest=VERSIONS[version])


def version_limit(statement: Statement, draft: HasTls) -> None:
    """`ssl-min-ver` and `ssl-max-ver`."""
    set_limit(statement.keyword, statement.one("an SSL/TLS version"), draft)


def set_limit(word: str, text: str, draft: HasTls) -> None:
    """One of LIMITS; ConfigError for a version that there is not."""
    if text not in _WRITTEN:
        known = ", ".join(_WRITTEN)
        raise ConfigError(f"'{text}' : unknown ssl/tls version for '{word}': it knows {known}")
    change(draft, **{LIMITS[word]: _WRITTEN[text]})


def server_name(text: str, word: str) -> str:
    """A name for SNI (RFC 6066, section 3); ConfigError for one that TLS cannot send."""
    try:
        text.encode("ascii")
        text.encode("idna")
    except UnicodeError as error:
        raise ConfigError(f"'{word}' expects a host name in ASCII, not '{text}'") from error
    if len(text) > SNI_MAX or "\0" in text:
        raise ConfigError(f"'{word}' expects a host name of at most {SNI_MAX} characters")
    if parse_number_of_host(text) is not None:
        raise ConfigError(
            f"'{word}' expects a host name, not the address '{text}': RFC 6066 has no addresses; "
            "a name in the certificate is wanted by 'verifyhost'"
        )
    return text


def protocols(text: str, word: str) -> str:
    """A list for ALPN; ConfigError for a name that cannot be in it."""
    for name in text.split(","):
        if not 0 < len(name.encode()) <= ALPN_NAME_MAX or not name.isascii():
            raise ConfigError(f"'{word}' expects protocols and commas, not '{text}'")
    return text
