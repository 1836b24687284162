"""What the master inherits by fork; made once by the supervisor, for all incarnations of it."""

from __future__ import annotations

import socket

import msgspec

from proxy.config.model.settings import StatsSocket
from proxy.runtime import Log
from shm.events import EventRing
from shm.master_orders import MasterRecords


class MasterInheritance(msgspec.Struct, frozen=True):
    """All of it belongs to the program: no generation, and no reload, changes anything here."""

    sockets: tuple[tuple[socket.socket, StatsSocket], ...]
    records: MasterRecords
    orders_bell: int  # that something was ordered: the supervisor looks
    outcome_bell: int  # that something came of it: the master looks
    calls: socket.socket  # to control


class MasterMoment(msgspec.Struct, frozen=True):
    """What is of the generation that runs when a master is forked."""

    log: Log
    timeout_ms: int  # `stats timeout`
    events: EventRing
