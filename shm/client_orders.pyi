"""Types of the compiled module; its documentation is in client_orders.pyx."""

from typing import NamedTuple

from shm.segment import Segment

OPEN: int
PAUSED: int
SHUT: int

class ProcessLimits(NamedTuple):
    maxconn: int | None
    connection_rate: int | None
    session_rate: int | None

class FrontendOrder(NamedTuple):
    maxconn: int | None
    state: int

class ClientOrdersReader:
    def __init__(self, segment: Segment) -> None: ...
    def process(self) -> ProcessLimits: ...
    def frontend(self, frontend: int) -> FrontendOrder: ...

class ClientOrdersWriter(ClientOrdersReader):
    def order_process(self, limits: ProcessLimits, accept_rate: int | None) -> None: ...
    def order_frontend(self, frontend: int, order: FrontendOrder) -> None: ...
    def announce(self) -> None: ...
