"""The nameservers and the search list in a resolv.conf (resolv.conf(5)). Pure.

Owns the words `nameserver`, `search`, `domain` and `options ndots:<n>`. Like libc it skips unknown
lines, and of several search lists the last one counts. Opens no file.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

import msgspec

BYTES_MAX = 1 << 20  # of the file: far more than NAMESERVERS and SEARCH_MAX need
NDOTS_DEFAULT = 1
NDOTS_MAX = 15  # libc's RES_MAXNDOTS: larger numbers count as this one
SEARCH_MAX = 32  # domains: the limit of Kubernetes; libc has none
DOMAIN_MAX = 253  # characters: the longest name (RFC 1035 section 2.3.4)

ADDRESS_MAX = 61  # characters: an IPv6 address with an IPv4 part, "%" and an interface's 15

_LABEL = re.compile(r"[a-z0-9_-]{1,63}")


class ResolvConf(msgspec.Struct, frozen=True):
    """The contents of one file; domains are lower case, without a dot at their end ("": root)."""

    nameservers: tuple[str, ...] = ()  # addresses in the order of the file, each once
    search: tuple[str, ...] = ()
    ndots: int = NDOTS_DEFAULT


def normal_domain(text: str) -> str | None:
    """A domain of a search list in lower case, without its last dot; None if it is no name."""
    domain = text.lower().removesuffix(".")
    if domain and not all(_LABEL.fullmatch(label) for label in domain.split(".")):
        return None
    return domain if len(domain) <= DOMAIN_MAX and text else None


def skipped_lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines of which something is left out, by number from 1, and what, in HAProxy's words."""
    for number, line in enumerate(text.splitlines(), start=1):
        word, *arguments = line.split() or [""]
        if word == "nameserver" and not arguments:
            yield number, "nameserver line is missing address."
        elif word == "nameserver" and _address(arguments[0]) is None:
            told = f"address '{arguments[0][:ADDRESS_MAX]}' could not be recognized"
            yield number, f"{told}, nameserver will be excluded."
        elif word in ("search", "domain"):
            for each in arguments[: 1 if word == "domain" else None]:
                if normal_domain(each) is None:
                    yield number, f"'{each[:DOMAIN_MAX]}' is no domain, it will be excluded."


def _address(text: str) -> str | None:
    """An address in its normal form; None for a text that is none, which libc skips, too."""
    if not text.isascii() or len(text) > ADDRESS_MAX:
        return None
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def parse_resolv_conf(text: str) -> ResolvConf:
    """The contents of a file."""
    nameservers: dict[str, None] = {}
    search: tuple[str, ...] = ()
    ndots = NDOTS_DEFAULT
    for line in text.splitlines():
        word, *arguments = line.split() or [""]
        if word == "nameserver" and arguments:
            address = _address(arguments[0])
            if address is not None:
                nameservers[address] = None
        elif word in ("search", "domain") and arguments:
            found = [normal_domain(each) for each in arguments[: 1 if word == "domain" else None]]
            search = tuple(dict.fromkeys(each for each in found if each is not None))[:SEARCH_MAX]
        elif word == "options":
            for option in arguments:
                if match := re.fullmatch(r"ndots:([0-9]{1,9})", option, re.ASCII):
                    ndots = min(int(match[1]), NDOTS_MAX)
    return ResolvConf(tuple(nameservers), search, ndots)
