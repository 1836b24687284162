# What a change of the table means to the rotas: the servers that the journal names are looked at,
# and no others. So an order costs each relay the same whatever else the table holds.

from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.balance.rota cimport rota_set
from proxy.relay.state.server_types cimport Rota, ServerCache
from proxy.relay.state.server_view cimport server_decode
from proxy.relay.state.types cimport Backend, Engine
from shm.atomics cimport count, load32_acquire
from shm.journal cimport JOURNAL_EVERYTHING, journal_read

cdef enum:
    SLOTS_AT_ONCE = 64  # read from the journal; on the stack


cdef inline void rota_look(
        Engine *engine, Backend *backend, uint32_t slot, uint64_t generation) noexcept nogil:
    """Look at one server: which turns it has from now on."""
    cdef const ServerCache *server = &engine.servers[slot]
    cdef uint32_t weight
    if not server_decode(engine, slot, generation):
        engine.rotas_behind = True
        return
    weight = server.view.weight if server.view.eligible else 0
    if not rota_set(backend.rota, slot - backend.first_slot, weight, server.view.backup):
        engine.rotas_behind = True


cdef inline void rota_look_at_all(
        Engine *engine, Backend *backend, uint64_t generation) noexcept nogil:
    """Look at every server: at the start, and when the journal does not tell which changed."""
    cdef uint32_t slot
    backend.slots = load32_acquire(&backend.shared.slots)
    count(&engine.counters.schedule_builds, 1)
    for slot in range(backend.first_slot, backend.first_slot + backend.slots):
        rota_look(engine, backend, slot, generation)


cdef inline void rotas_follow(Engine *engine, uint64_t generation) noexcept nogil:
    """Bring the rotas in line with the table, which was found at this generation."""
    cdef uint32_t slots[SLOTS_AT_ONCE]
    cdef Backend *backend
    cdef uint32_t index
    cdef int number
    cdef int found = 1
    while found != 0:
        found = journal_read(&engine.view, &engine.journal_seen, slots, SLOTS_AT_ONCE)
        if found == JOURNAL_EVERYTHING:
            engine.rotas_behind = True
        for number in range(found):
            backend = &engine.backends[engine.view.statics[slots[number]].backend]
            if backend.rota != NULL:
                backend.slots = load32_acquire(&backend.shared.slots)
                rota_look(engine, backend, slots[number], generation)
    if not engine.rotas_behind:
        return
    engine.rotas_behind = False
    for index in range(engine.backend_count):
        if engine.backends[index].rota != NULL:
            rota_look_at_all(engine, &engine.backends[index], generation)
