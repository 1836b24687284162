"""What agents say about servers, what operators order beside them, and the texts of their checks.

`AgentReader` is for any process, `AgentWriter` for the worker that checks the slot (and for the
supervisor before the first fork). Orders are written with the admin record that they belong to
(`AdminTableWriter.publish` in slots.pyx), but for what agents are sent: `AgentSendingWriter` is for
control. IndexError for a slot without an agent.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy, memset

from shm.addresses cimport address_text
from shm.agents cimport agent_of
from shm.announce cimport announce
from shm.check_texts cimport text_read, text_write
from shm.latch cimport agent_read, agent_write, name_read, name_write
from shm.records cimport NAME_BYTES, AgentOrder, AgentRecord, NameRecord
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

    def sending(self, uint32_t slot):
        """What the operator ordered the agent of a slot to be sent; None: no order."""
        cdef NameRecord record
        if not name_read(&agent_of(self.segment, slot).sending, &record):
            raise BlockingIOError(f"what the agent of slot {slot} is sent does not hold still")
        return None if record.stamp_ms == 0 else <bytes>record.text[:record.length]

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


cdef class AgentSendingWriter:
    """Writes what agents are sent by order: control (and the supervisor before the first fork)."""

    cdef Segment segment

    def __init__(self, Segment segment):
        self.segment = segment

    def publish(self, uint32_t slot, bytes sending, int64_t now_ms) -> None:
        """Publish an order, good for the next check; ValueError for more than NAME_BYTES."""
        cdef NameRecord record
        if len(sending) > NAME_BYTES:
            raise ValueError(f"{len(sending)} bytes are more than {NAME_BYTES}")
        memset(&record, 0, sizeof(record))
        record.stamp_ms = now_ms
        record.length = <uint8_t>len(sending)
        memcpy(record.text, <const char *>sending, len(sending))
        name_write(&agent_of(self.segment, slot).sending, &record)
