# What a change of the table means to turns that are laid out: another schedule is used. Small ones
# are built here, at the first pick after a change; large ones the main thread builds and delivers.

from libc.stdint cimport uint64_t

from proxy.relay.balance.rota_news cimport rotas_follow
from proxy.relay.balance.schedule cimport schedule_build, schedule_free
from proxy.relay.state.server_types cimport Schedule
from proxy.relay.state.types cimport Backend, Engine
from shm.atomics cimport count, exchange_pointer, load_acquire, load_pointer


cdef inline void schedule_use(Backend *backend, Schedule *schedule) noexcept nogil:
    schedule_free(backend.schedule)
    backend.schedule = schedule
    backend.slots = schedule.span


cdef inline void schedule_take(
        Engine *engine, Backend *backend, uint64_t table) noexcept nogil:
    """Look for a newer schedule: delivered by the main thread, or built here when that is cheap."""
    cdef Schedule *found = NULL
    cdef uint64_t generation
    if load_pointer(&backend.delivered) != NULL:
        found = <Schedule *>exchange_pointer(&backend.delivered, NULL)
    if found != NULL:
        if backend.schedule == NULL or found.generation >= backend.schedule.generation:
            count(&engine.counters.schedule_builds, 1)
            schedule_use(backend, found)
        else:
            schedule_free(found)
    if backend.rota != NULL:
        rotas_follow(engine, table)
        return
    generation = load_acquire(&backend.shared.generation)
    if backend.schedule != NULL and (
            backend.schedule.generation == generation or backend.aside):
        return
    found = schedule_build(
        &engine.view, backend.index, backend.kind, backend.allbackups)
    if found == NULL:
        return
    count(&engine.counters.schedule_builds, 1)
    schedule_use(backend, found)
