# `observe layer4`: what sessions' connects say of a server, for the process that checks it.
#
# A success ends every streak of errors, whichever worker had it: the streak is one shared word,
# which a success only reads where there is none. A worker that is killed on the way leaves it one
# short at most.

from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.state.syscalls cimport ring_bell
from proxy.relay.state.types cimport Engine
from shm.atomics cimport count, fetch_add, load_relaxed, store_relaxed
from shm.journal cimport journal_note
from shm.segment cimport server_counters


cdef inline void observe_success(Engine *engine, uint32_t slot) noexcept nogil:
    cdef uint64_t *errors = &engine.view.servers_shared[slot].errors_in_row
    if engine.limits[slot].error_limit != 0 and load_relaxed(errors) != 0:
        store_relaxed(errors, 0)


cdef inline void observe_error(Engine *engine, uint32_t slot) noexcept nogil:
    """A connect failed; from the limit on, the checker hears of each, and of which server."""
    cdef uint64_t streak
    if engine.limits[slot].error_limit == 0:
        return
    streak = fetch_add(&engine.view.servers_shared[slot].errors_in_row, 1) + 1
    count(&server_counters(&engine.view, engine.worker, slot).observed_errors, 1)  # seen after it
    if streak >= engine.limits[slot].error_limit:
        journal_note(&engine.view, slot)
        ring_bell(engine.limits[slot].checker_bell)
