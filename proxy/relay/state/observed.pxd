# `observe layer4`: what sessions' connects say of a server, for the process that checks it.
#
# A success ends every streak of errors, whichever worker had it, without a word that two of them
# write: each counts its own successes, and a streak belongs to the sum that it began with. Sums are
# taken when a connect fails, never else.

from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.state.syscalls cimport ring_bell
from proxy.relay.state.types cimport Engine
from shm.atomics cimport count, load_acquire, load_relaxed, store_relaxed, store_release
from shm.journal cimport journal_note
from shm.rows cimport ServerCounters
from shm.segment cimport server_counters


cdef inline void observe_success(Engine *engine, uint32_t slot) noexcept nogil:
    if engine.limits[slot].error_limit != 0:
        count(&server_counters(&engine.view, engine.worker, slot).observed_successes, 1)


cdef inline void observe_error(Engine *engine, uint32_t slot) noexcept nogil:
    """A connect failed; from the limit on, the checker hears of each, and of which server."""
    cdef ServerCounters *own = server_counters(&engine.view, engine.worker, slot)
    cdef ServerCounters *other
    cdef uint64_t successes = 0
    cdef uint64_t streak = 0
    cdef uint32_t worker
    if engine.limits[slot].error_limit == 0:
        return
    for worker in range(engine.workers):
        other = server_counters(&engine.view, worker, slot)
        successes += load_relaxed(&other.observed_successes)
    if load_relaxed(&own.observed_since) != successes:
        store_relaxed(&own.observed_streak, 0)
        store_release(&own.observed_since, successes)  # a reader of the count sees no former streak
    count(&own.observed_streak, 1)
    count(&own.observed_errors, 1)
    for worker in range(engine.workers):
        other = server_counters(&engine.view, worker, slot)
        if load_acquire(&other.observed_since) == successes:
            streak += load_relaxed(&other.observed_streak)
    if streak >= engine.limits[slot].error_limit:
        journal_note(&engine.view, slot)
        ring_bell(engine.limits[slot].checker_bell)
