"""What an operator has ordered of how clients get in: limits, and frontends that are closed.

Control writes; relays read when a table generation is new, control and the metrics to show. An
order is for this generation of the program: the next one begins as its files say.
"""

from typing import NamedTuple

from libc.stdint cimport uint64_t

from shm.atomics cimport fetch_add, load_acquire, store_release
from shm.layout cimport ClientOrders
from shm.segment cimport Segment

OPEN, PAUSED, SHUT = range(3)  # FrontendState


class ProcessLimits(NamedTuple):
    """Limits of the process that were ordered; None: as configured."""

    maxconn: int | None
    connection_rate: int | None
    session_rate: int | None


class FrontendOrder(NamedTuple):
    """What was ordered for a frontend; None: as configured."""

    maxconn: int | None
    state: int


cdef object ordered(const uint64_t *word):
    cdef uint64_t order = load_acquire(word)
    return order - 1 if order else None


cdef uint64_t as_order(object limit) except? 0:
    return 0 if limit is None else limit + 1


cdef class ClientOrdersReader:
    """Shows what was ordered."""

    cdef Segment segment

    def __init__(self, Segment segment):
        self.segment = segment

    def process(self) -> ProcessLimits:
        """The limits of the process."""
        cdef ClientOrders *record = self.segment.view.client_orders
        return ProcessLimits(
            ordered(&record.maxconn), ordered(&record.connection_rate),
            ordered(&record.session_rate))

    def frontend(self, frontend: int) -> FrontendOrder:
        """What was ordered for a frontend, by its index."""
        if not 0 <= frontend < self.segment.view.header.frontends:
            raise IndexError(f"frontend {frontend} of {self.segment.view.header.frontends}")
        cdef ClientOrders *record = self.segment.view.client_orders + 1 + <uint64_t>frontend
        return FrontendOrder(ordered(&record.maxconn), load_acquire(&record.state))


cdef class ClientOrdersWriter(ClientOrdersReader):
    """Writes orders: control; the supervisor may `announce` before that of a generation begins.

    Ring the relays afterwards.
    """

    def order_process(self, limits: ProcessLimits, accept_rate: int | None) -> None:
        """Replace the limits of the process; `accept_rate` is what they add up to."""
        cdef ClientOrders *record = self.segment.view.client_orders
        store_release(&record.maxconn, as_order(limits.maxconn))
        store_release(&record.connection_rate, as_order(limits.connection_rate))
        store_release(&record.session_rate, as_order(limits.session_rate))
        store_release(&record.accept_rate, as_order(accept_rate))
        self.announce()

    def order_frontend(self, frontend: int, order: FrontendOrder) -> None:
        """Replace what is ordered for a frontend."""
        self.frontend(frontend)  # raises IndexError
        cdef ClientOrders *record = self.segment.view.client_orders + 1 + <uint64_t>frontend
        store_release(&record.maxconn, as_order(order.maxconn))
        store_release(&record.state, <uint64_t>order.state)
        self.announce()

    def announce(self) -> None:
        """Let relays look at all orders, and again at sockets that were not listening."""
        fetch_add(&self.segment.view.client_orders.generation, 1)
        fetch_add(&self.segment.view.header.table_generation, 1)
