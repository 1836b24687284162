"""Which nameservers are asked without EDNS (RFC 6891), and until when. Pure.

Owns the nameservers that refuse the OPT record. One that refuses a question with it (FORMERR,
NOTIMP, BADVERS) and answers the same question without it is asked without it for PLAIN_MS; then
with it again, as the nameserver may have been upgraded. A refusal of both is about the question:
some nameservers answer NOTIMP to AAAA (RFC 4074 section 4.4). The log has one line for each.
"""

from __future__ import annotations

from collections.abc import Iterable

from resolverd.config import Nameserver

FOREVER_MS = 1 << 62
PLAIN_MS = 300_000  # one refused question in five minutes; an upgrade is noticed within that


class Extensions:
    """The nameservers of one section."""

    def __init__(self) -> None:
        self._plain_until_ms: dict[Nameserver, int] = {}
        self._logged: set[Nameserver] = set()

    def may_be_used(self, nameserver: Nameserver, now_ms: int) -> bool:
        """Whether the nameserver is asked with an OPT record."""
        return now_ms >= self._plain_until_ms.get(nameserver, now_ms)

    def unchanged_until_ms(self, nameservers: Iterable[Nameserver], now_ms: int) -> int:
        """Until when `may_be_used` stays what it is now, unless a question is refused."""
        ends_ms = [self._plain_until_ms.get(each, 0) for each in nameservers]
        return min((each for each in ends_ms if each > now_ms), default=FOREVER_MS)

    def needless(self, nameserver: Nameserver, now_ms: int) -> bool:
        """A refused question was answered without the record; True if that is to be logged."""
        self._plain_until_ms[nameserver] = now_ms + PLAIN_MS
        news = nameserver not in self._logged
        self._logged.add(nameserver)
        return news

    def forget(self, nameserver: Nameserver) -> None:
        """Drop a nameserver that is not asked any more."""
        self._plain_until_ms.pop(nameserver, None)
        self._logged.discard(nameserver)
