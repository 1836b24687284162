"""What control counts of the statistics sections that it serves itself; nothing else does."""

from __future__ import annotations


class ServiceCounters:
    """Counters of one statistics frontend, with the names of the workers' frontend counters."""

    def __init__(self) -> None:
        self.sessions = 0
        self.sessions_max = 0
        self.sessions_total = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.requests = 0
        self.responses = [0, 0, 0, 0, 0, 0]  # 1xx .. 5xx, others

    def opened(self) -> None:
        """A client connected."""
        self.sessions += 1
        self.sessions_total += 1
        self.sessions_max = max(self.sessions_max, self.sessions)

    def closed(self) -> None:
        """Its connection ended."""
        self.sessions -= 1

    def answered(self, status: int) -> None:
        """A request was answered."""
        self.requests += 1
        self.responses[min(status // 100, 6) - 1] += 1

    def clear(self, *, totals: bool) -> None:
        """Begin maxima anew, and with `totals` all that is counted."""
        self.sessions_max = self.sessions
        if totals:
            self.sessions_total = self.bytes_in = self.bytes_out = self.requests = 0
            self.responses = [0] * len(self.responses)

    def fields(self) -> dict[str, int]:
        """As a worker's counter row has them."""
        return {
            "sessions_total": self.sessions_total,
            "sessions": self.sessions,
            "sessions_max": self.sessions_max,
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "connections_total": self.sessions_total,
            "denied_connections": 0,
            "denied_sessions": 0,
            "denied_requests": 0,
            "denied_responses": 0,
            "internal_errors": 0,
            "requests": self.requests,
            **{
                f"responses_{name}": count
                for name, count in zip(
                    ("1xx", "2xx", "3xx", "4xx", "5xx", "other"), self.responses, strict=True
                )
            },
        }
