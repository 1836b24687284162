"""Enumerations of the numbers in records, and the records as named tuples.

The .pxd files declare those that compiled code reads too; a test compares the two.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from msgspec import Struct


class Operational(enum.IntEnum):
    """HAProxy's srv_op_state."""

    STOPPED = 0
    STARTING = 1
    RUNNING = 2
    STOPPING = 3


class AdminFlag(enum.IntFlag):
    """Administrative bits of a server, HAProxy's srv_admin_state."""

    FMAINT = 0x01
    CMAINT = 0x04
    FDRAIN = 0x08
    CHECK_OFF = 0x100  # health checks suspended; no bit of HAProxy's


class HealthOrder(enum.IntEnum):
    """`set server ... health` of the operator."""

    NONE = 0
    UP = 1
    STOPPING = 2
    DOWN = 3


class AgentWord(enum.IntEnum):
    """What an agent said last of the administrative state (manual section 5.2, agent-check)."""

    NONE = 0
    READY = 1
    DRAIN = 2
    MAINT = 3


class AgentCommand(enum.IntEnum):
    """`set server ... agent` of the operator."""

    NONE = 0
    UP = 1
    DOWN = 2


class SlotFlag(enum.IntFlag):
    """Bits of a slot record, HAProxy's srv_admin_state."""

    RMAINT = 0x20
    FQDN_CHANGED = 0x40
    BACKUP = 0x80  # by the priority of its SRV record; no bit of HAProxy's


class StaticFlag(enum.IntFlag):
    """Flags of a server in the configuration (records.pxd)."""

    CHECKED = 1
    BACKUP = 2
    INIT_DOWN = 4
    RESOLVED = 8
    PORT_RELATIVE = 16
    SHUTDOWN_DOWN = 32
    SHUTDOWN_REMOVED = 64
    SHUTDOWN_BACKUPS = 128


class ProcessState(enum.IntEnum):
    """The state of a child process, written by itself."""

    EMPTY = 0
    STARTING = 1
    READY = 2
    STOPPING = 3
    WAITING = 4  # resolverd or control: loaded, at the gate
    RETIRED = 5  # control: writes no record any more, sends the answers that it owes


class ProcessCommand(enum.IntEnum):
    """The supervisor's command to a child."""

    RUN = 0
    SOFT_STOP = 1
    STOP = 2
    WAIT = 3  # at the gate, until it is RUN
    RETIRE = 4  # control: let a successor write, and end with the last answer


class Cause(enum.IntEnum):
    """Why a slot has its address, or none."""

    NOTHING = 0  # it never had one
    CONFIGURED = 1  # numeric in the configuration
    LIBC = 2  # init-addr libc, or a name without resolvers
    INIT_ADDRESS = 3  # init-addr <ip>
    DNS = 4  # a valid answer
    CARRIED = 5  # kept over a reload
    NO_RECORD = 6  # "No IP for server"
    NX = 7
    TIMEOUT = 8
    REFUSED = 9
    OTHER = 10
    STATE_FILE = 11  # init-addr last
    REMOVED = 12  # "entry removed from SRV record"


class SlotState(NamedTuple):
    """One slot record. `address` is None or the numeric text; `weight` -1: the configured one."""

    generation: int
    incarnation: int
    family: int
    address: str | None
    port: int
    weight: int
    flags: int
    cause: int
    changed_ms: int


class NameState(NamedTuple):
    """One name record; `name` is lower case, empty for none; records.pxd has the stamp."""

    name: str
    stamp_ms: int


class AdminState(NamedTuple):
    """One admin record; see records.pxd for the fields."""

    flags: int
    weight: int
    address: str | None
    port: int
    override_generation: int
    changed_ms: int
    health_order: int = 0
    health_orders: int = 0
    health_incarnation: int = 0
    maxconn: int = -1  # -1: the configured one
    returned: bool = False  # at `changed_ms` it came back


class HealthState(Struct, frozen=True, gc=False):
    """One health record; see records.pxd for the fields.

    Each check makes two from one, and a tuple's _replace costs ten times as much.
    """

    incarnation: int
    generation: int
    operational: int
    status: int
    result: int
    check_state: int
    health: int
    code: int
    changed_ms: int
    duration_us: int
    failures: int
    downs: int
    downtime_ms: int
    checked_ms: int
    orders_taken: int = 0
    returned: bool = False  # from STOPPED or STOPPING


HEALTH_NONE = HealthState(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


class AgentState(NamedTuple):
    """One record of an agent; see records.pxd for the fields. `weight` and `maxconn`: -1 for none.

    `down`: the agent, or the operator for it, has said so.
    """

    weight_ns: int = 0
    state_ns: int = 0
    maxconn_ns: int = 0
    changed_ms: int = 0
    checked_ms: int = 0
    weight: int = -1
    maxconn: int = -1
    duration_us: int = 0
    orders_taken: int = 0
    word: int = AgentWord.NONE
    returned: bool = False
    comings: int = 0
    goings: int = 0
    status: int = 0
    running: bool = False
    down: bool = False
    code: int = 0

    @property
    def health(self) -> int:
        """HAProxy's counter: rise and fall of an agent are 1."""
        return 0 if self.down else 1


class AgentOrders(NamedTuple):
    """What the operator has ordered beside an agent; see records.pxd for the fields."""

    weight_ns: int = 0
    state_ns: int = 0
    maxconn_ns: int = 0
    address: str | None = None
    off: bool = False
    port: int = 0
    orders: int = 0
    order: int = AgentCommand.NONE


class StaticState(NamedTuple):
    """The settings of a server in the segment; the fields are those of SlotStatic (records.pxd)."""

    backend: int
    flags: int
    weight: int
    maxconn: int
    rise: int
    fall: int
    id: int
    removed_drain_ms: int = 0
    slowstart_ms: int = 0
    tracked: int = -1  # the slot that it tracks; -1: none
    agent: int = -1  # the agent that is asked about it; -1: none
    added: int = 0  # the change that added it; 0: as in the file


class ServerState(NamedTuple):
    """The state composed of the records of a slot (ServerView in eligibility.pxd)."""

    generation: int
    incarnation: int
    weight: int
    address: str | None
    port: int
    operational: int
    eligible: bool
    backup: bool
    maint: bool
    drain: bool
    check_off: bool = False
    health_order: int = 0
    health_orders: int = 0
    maxconn: int = 0
    warm_from_ms: int = 0
    goings: int = 0
