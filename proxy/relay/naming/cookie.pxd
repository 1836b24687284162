# The server that the cookie of an RDP client names (MS-RDPBCGR, 2.2.1.1): `persist rdp-cookie`.
#
# It has an address of IPv4 and a port, each the decimal number of its bytes as they lie in memory
# of the terminal server, whose order is little endian.

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.naming.look cimport FirstBytes, look_set
from proxy.relay.state.rule_types cimport Ruleset
from proxy.relay.state.server_view cimport server_cached
from proxy.relay.state.types cimport NO_SLOT, Backend, Engine, Session
from proxy.relay.tables.persistence cimport may_serve
from proxy.rules.evaluate cimport value_of
from proxy.rules.sample cimport as_text
from proxy.rules.types cimport ContentView, Context, Sample
from shm.atomics cimport count, load_acquire
from shm.eligibility cimport ServerView


cdef inline bint number_before_dot(
        const Sample *sample, size_t *at, uint64_t *number) noexcept nogil:
    """Read a decimal number and the dot behind it; False: there is none."""
    cdef size_t begin = at[0]
    number[0] = 0
    while at[0] < sample.length and c"0" <= sample.text[at[0]] <= c"9":
        number[0] = number[0] * 10 + <uint64_t>(sample.text[at[0]] - c"0")
        at[0] += 1
    if at[0] == begin or at[0] == sample.length or sample.text[at[0]] != c".":
        return False
    at[0] += 1
    return True


cdef inline bint is_server_at(
        const ServerView *server, uint64_t address, uint64_t port) noexcept nogil:
    cdef int at
    for at in range(4):
        if server.address[at] != (address >> (8 * at) & 0xFF):
            return False
    return server.family == 4 and server.port == ((port & 0xFF) << 8 | (port >> 8 & 0xFF))


cdef inline uint32_t server_at(
        Engine *engine, const Backend *backend, uint64_t address, uint64_t port) noexcept nogil:
    """The first server there that may serve; NO_SLOT: none."""
    cdef uint64_t generation = load_acquire(&engine.view.header.table_generation)
    cdef uint32_t slot
    for slot in range(backend.first_slot, backend.first_slot + backend.slots):
        if is_server_at(server_cached(engine, slot, generation), address, port) and (
                may_serve(engine, backend, slot, False)):
            return slot
    return NO_SLOT


cdef inline uint32_t cookie_server(
        Engine *engine, Session *session, const FirstBytes *first,
        uint32_t chosen) noexcept nogil:
    """The slot that the client's cookie names, where none is chosen yet."""
    cdef const Ruleset *ruleset
    cdef uint64_t address, port
    cdef size_t at = 0
    cdef uint32_t slot
    cdef Context context
    cdef ContentView view
    cdef Sample sample
    if chosen != NO_SLOT or session.backend.rules == NULL or (
            session.backend.rules.cookies.count == 0):
        return chosen
    ruleset = &session.backend.rules.cookies
    look_set(engine, session, ruleset, first, &context, &view)
    if not value_of(&context, ruleset.rules[0].key, &sample) or not as_text(
            &sample, context.scratch):
        return NO_SLOT
    if not number_before_dot(&sample, &at, &address) or not number_before_dot(
            &sample, &at, &port):
        return NO_SLOT
    slot = server_at(engine, session.backend, address, port)
    if slot != NO_SLOT:
        count(ruleset.rules[0].hits, 1)
    return slot
