"""Which nameservers are asked without EDNS (RFC 6891), and until when. Pure.

Owns what each nameserver made of the OPT record. One that refuses a question with it (FORMERR,
NOTIMP, BADVERS) and answers the same without is asked without for PLAIN_MS; then once more with it,
as it may be another program by then. Who refuses both has another trouble: there are nameservers
that answer NOTIMP to AAAA (RFC 4074 section 4.4). The log tells once of each.
"""

from __future__ import annotations

from resolverd.config import Nameserver

PLAIN_MS = 300_000  # long beside the question that it costs, short beside the life of a nameserver


class Extensions:
    """The nameservers of one section."""

    def __init__(self) -> None:
        """All are asked with EDNS."""
        self._plain_until_ms: dict[Nameserver, int] = {}
        self._told: set[Nameserver] = set()

    def may_be_used(self, nameserver: Nameserver, now_ms: int) -> bool:
        """Whether the nameserver is asked with an OPT record."""
        return now_ms >= self._plain_until_ms.get(nameserver, now_ms)

    def needless(self, nameserver: Nameserver, now_ms: int) -> bool:
        """A refused question was answered without the record; whether that is to be told."""
        self._plain_until_ms[nameserver] = now_ms + PLAIN_MS
        news = nameserver not in self._told
        self._told.add(nameserver)
        return news

    def forget(self, nameserver: Nameserver) -> None:
        """The nameserver is asked no longer."""
        self._plain_until_ms.pop(nameserver, None)
        self._told.discard(nameserver)
