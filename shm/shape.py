"""The counts from which the layout of a segment is computed."""

from __future__ import annotations

from typing import NamedTuple

SLOTS_MAX = 100_000  # servers of one configuration: 260 MB of segment at two workers
WORKERS_MAX = 256  # nbthread; HAProxy's own limit is 256 in 3.x
SOCKETS_MAX = 8_192  # bind addresses x workers: half of a usual descriptor limit
PROXIES_MAX = SLOTS_MAX  # frontends, and backends: more than servers would be empty ones
NAMESERVERS_MAX = 4_096  # each has a socket in resolverd
GAUGED_SESSIONS_MAX = (1 << 21) - 1  # of a worker: its sessions at one server in half a cell
SECTIONS_MAX = 4_096  # as NAMESERVERS_MAX: a section without a nameserver resolves no name
VARIABLES_MAX = 256  # of the program, in the files
VARIABLES_SPARE = 32  # more of them, which orders name while the program runs
RESOLUTIONS_MAX = SLOTS_MAX  # one name for each server at the most


class GaugesFullError(Exception):
    """Living generations together have more workers or servers than gauges; the text says what."""


class Shape(NamedTuple):
    """The number of each kind of object with a record in the segment."""

    slots: int
    backends: int
    frontends: int
    workers: int
    sockets: int
    nameservers: int
    resolutions: int
    binds: int = 0
    sections: int = 0
    agents: int = 0  # servers with an agent
    runners: int = 0  # 1 where checks are programs
    rules: int = 0  # of connections
    variables: int = 0  # of the program, in the files
    added_names: int = 0  # that servers can have which are added at run time

    @property
    def variable_cells(self) -> int:
        """Variables of the program that there can be."""
        return self.variables + VARIABLES_SPARE

    @property
    def resolverd_process(self) -> int:
        """Position of resolverd in the process records."""
        return self.workers

    @property
    def control_process(self) -> int:
        """Position of control in the process records."""
        return self.workers + 1

    @property
    def runner_process(self) -> int:
        """Position of the runner in the process records, where there is one."""
        return self.workers + 2

    @property
    def process_names(self) -> tuple[str, ...]:
        """What operators call each process, by its position."""
        workers = (f"worker {number}" for number in range(self.workers))
        return (*workers, "resolverd", "control", *("runner",) * self.runners)

    def check(self) -> None:
        """Raise ValueError for a count beyond its limit."""
        if self.workers < 1 or self.workers > WORKERS_MAX:
            raise ValueError(f"workers must be 1..{WORKERS_MAX}, not {self.workers}")
        if self.slots > SLOTS_MAX:
            raise ValueError(f"at most {SLOTS_MAX} servers, not {self.slots}")
        if self.sockets > SOCKETS_MAX:
            raise ValueError(f"at most {SOCKETS_MAX} listening sockets, not {self.sockets}")
        if max(self.frontends, self.backends) > PROXIES_MAX:
            raise ValueError(f"at most {PROXIES_MAX} frontends and backends each, not {self}")
        if self.nameservers > NAMESERVERS_MAX:
            raise ValueError(f"at most {NAMESERVERS_MAX} nameservers, not {self.nameservers}")
        if self.resolutions > RESOLUTIONS_MAX:
            raise ValueError(f"at most {RESOLUTIONS_MAX} resolutions, not {self.resolutions}")
        if self.sections > SECTIONS_MAX:
            raise ValueError(f"at most {SECTIONS_MAX} resolvers sections, not {self.sections}")
        if self.variables > VARIABLES_MAX:
            raise ValueError(f"at most {VARIABLES_MAX} proc.* variables, not {self.variables}")
        if self.agents > self.slots:
            raise ValueError(f"{self.agents} agents for {self.slots} servers")
        if self.runners > 1:
            raise ValueError(f"at most one runner, not {self.runners}")
        if min(self) < 0:
            raise ValueError(f"negative count in {self}")
