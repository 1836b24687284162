"""What agents say about servers, what operators order beside them, and the texts of their checks.

`AgentReader` is for any process, `AgentWriter` for the worker that checks the slot (and for the
supervisor before the first fork). Orders are written with the admin record that they belong to
(`AdminTableWriter.publish` in slots.pyx). IndexError for a slot without an agent.
"""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

from shm.addresses cimport address_text
from shm.agents cimport agent_of
from shm.announce cimport announce
from shm.check_texts cimport text_read, text_write
from shm.latch cimport agent_read, agent_write
from shm.records cimport AgentOrder, AgentRecord
from shm.segment cimport Segment

from shm.states import AgentOrders, AgentState


cdef class AgentReader:
    """Reads the records of any agent. Any process, any number of readers.

    Raises BlockingIOError when a record changed on each of many tries.
    """

    cdef Segment segment

    def __init__(self, Segment segment):
        self.segment = segment

    def said(self, uint32_t slot):
        """What the agent of a slot has said, as an `AgentState`."""
        cdef AgentRecord record
        if not agent_read(&agent_of(self.segment, slot).said, &record):
            raise BlockingIOError(f"the record of the agent of slot {slot} does not hold still")
        return AgentState(
            record.weight_ns, record.state_ns, record.maxconn_ns, record.changed_ms,
            record.checked_ms, <int64_t>record.weight_plus_one - 1,
            <int64_t>record.maxconn_plus_one - 1, record.duration_us, record.orders_taken,
            record.word, record.returned != 0, record.comings, record.goings, record.status,
            record.running != 0, record.down != 0, record.code)

    def orders(self, uint32_t slot):
        """What the operator has ordered beside the agent of a slot, as `AgentOrders`."""
        cdef AgentOrder record
        if not agent_read(&agent_of(self.segment, slot).ordered, &record):
            raise BlockingIOError(f"the orders for the agent of slot {slot} do not hold still")
        return AgentOrders(
            record.weight_ns, record.state_ns, record.maxconn_ns,
            address_text(record.family, record.address), record.off != 0, record.port,
            record.orders, record.order)

    def text(self, uint32_t slot, int64_t checked_ms) -> str:
        """The text of the check that ended then; "" without one."""
        return text_read(&agent_of(self.segment, slot).text, checked_ms)


cdef class AgentWriter:
    """Writes what agents say: the worker that checks the slot."""

    cdef Segment segment

    def __init__(self, Segment segment):
        self.segment = segment

    def tell(self, uint32_t slot, str text, int64_t checked_ms) -> None:
        """Publish the text of a check before its record; what is too long of it is cut."""
        text_write(&agent_of(self.segment, slot).text, text, checked_ms)

    def publish(self, uint32_t slot, state, *, bint changed) -> None:
        """Publish an `AgentState`; `changed`: what the server takes may have changed."""
        cdef AgentRecord record
        memset(&record, 0, sizeof(record))
        record.weight_ns = state.weight_ns
        record.state_ns = state.state_ns
        record.maxconn_ns = state.maxconn_ns
        record.changed_ms = state.changed_ms
        record.checked_ms = state.checked_ms
        record.weight_plus_one = state.weight + 1
        record.maxconn_plus_one = state.maxconn + 1
        record.duration_us = state.duration_us
        record.orders_taken = state.orders_taken
        record.word = state.word
        record.returned = state.returned
        record.comings = state.comings
        record.goings = state.goings
        record.status = state.status
        record.running = state.running
        record.down = state.down
        record.code = state.code
        agent_write(&agent_of(self.segment, slot).said, &record)
        if changed:
            announce(self.segment, slot)
