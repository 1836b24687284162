# The agents of servers in compiled code: where one is, and how an order becomes its record.

from libc.stdint cimport uint32_t
from libc.string cimport memset

from shm.addresses cimport address_bytes
from shm.records cimport Agent, AgentOrder
from shm.segment cimport Segment


cdef inline Agent *agent_of(Segment segment, uint32_t slot) except NULL:
    """The agent of a slot; IndexError for one that has none."""
    if slot >= segment.view.header.slots or segment.view.statics[slot].agent_plus_one == 0:
        raise IndexError(f"slot {slot} has no agent")
    return &segment.view.agents[segment.view.statics[slot].agent_plus_one - 1]


cdef inline int order_fill(AgentOrder *record, orders) except -1:
    """Make a record of an `AgentOrders`."""
    memset(record, 0, sizeof(record[0]))
    record.weight_ns = orders.weight_ns
    record.state_ns = orders.state_ns
    record.maxconn_ns = orders.maxconn_ns
    record.family = address_bytes(orders.address, record.address)
    record.off = orders.off
    record.port = orders.port
    record.orders = orders.orders
    record.order = orders.order
    return 0
