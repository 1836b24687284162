"""What control counts of the statistics sections that it serves itself; nothing else does."""

from __future__ import annotations

from collections import Counter

from proxy.config.model.http import Denied, RequestRule


class ServiceCounters:
    """Counters of one statistics frontend, with the names of the workers' frontend counters."""

    def __init__(self) -> None:
        self.sessions = 0
        self.sessions_max = 0
        self.sessions_total = 0
        self.denied = dict.fromkeys(Denied, 0)
        self.bytes_in = 0
        self.bytes_out = 0
        self.requests = 0
        self.responses = [0, 0, 0, 0, 0, 0]  # 1xx .. 5xx, others
        self._hits: Counter[int] = Counter()  # by the identity of a rule, which settings keep

    def opened(self) -> None:
        """A client connected."""
        self.sessions += 1
        self.sessions_total += 1
        self.sessions_max = max(self.sessions_max, self.sessions)

    def refused(self, how: Denied) -> None:
        """A client connected, and rules of connections kept it out."""
        self.denied[how] += 1
        if how is Denied.REQUEST:
            self.opened()
            self.closed()

    def closed(self) -> None:
        """Its connection ended."""
        self.sessions -= 1

    def answered(self, status: int) -> None:
        """A request was answered."""
        self.requests += 1
        self.responses[min(status // 100, 6) - 1] += 1

    def acted(self, rule: RequestRule) -> None:
        """A rule for requests decided."""
        self._hits[id(rule)] += 1

    def hits(self, rule: RequestRule) -> int:
        """How often a rule has decided."""
        return self._hits[id(rule)]

    def clear(self, *, totals: bool) -> None:
        """Begin maxima anew, and with `totals` all that is counted."""
        self.sessions_max = self.sessions
        if totals:
            self.sessions_total = self.bytes_in = self.bytes_out = self.requests = 0
            self.responses = [0] * len(self.responses)
            self.denied = dict.fromkeys(Denied, 0)
            self._hits.clear()

    def fields(self) -> dict[str, int]:
        """As a worker's counter row has them."""
        return {
            "sessions_total": self.sessions_total,
            "sessions": self.sessions,
            "sessions_max": self.sessions_max,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "connections_total": self.sessions_total
            + self.denied[Denied.CONNECTION]
            + self.denied[Denied.SESSION],
            **{how.value: count for how, count in self.denied.items()},
            "denied_responses": 0,
            "failed_requests": 0,
            "internal_errors": 0,
            "requests": self.requests,
            **{
                f"responses_{name}": count
                for name, count in zip(
                    ("1xx", "2xx", "3xx", "4xx", "5xx", "other"), self.responses, strict=True
                )
            },
        }
