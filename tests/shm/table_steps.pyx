# cython: language_level=3, boundscheck=False
"""The product's own functions of stick tables, one at a time, and at full speed."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from shm.atomics cimport fetch_add, load_acquire, load_relaxed, store_relaxed
from shm.tables.cells cimport (
    entry_give, entry_peek, entry_take, entry_touch, entry_was_there, sessions_at)
from shm.tables.keys cimport Key, key_set, sip_hash
from shm.tables.layout cimport (
    CELL_FILLING, CELL_GOING, NO_CELL, SESSION_HOLD, Table, data_of, meta_at,
    meta_state)
from shm.tables.memory cimport StickTable
from shm.tables.rates cimport rate_add, rate_read

cdef extern from "<signal.h>" nogil:
    int SIGSTOP
    int stop_myself "raise"(int number)

cdef extern from "<sched.h>" nogil:
    int sched_yield()


def take(StickTable owner, uint32_t writer, bytes key, int64_t now_ms, bint make=True):
    """The cell that a session of the writer holds now; None: it is not there, or no room."""
    cdef Key wanted
    key_set(&owner.table, key, len(key), &wanted)
    cdef uint32_t number = entry_take(
        &owner.table, writer, &wanted, now_ms, SESSION_HOLD, make)
    return None if number == NO_CELL else number


def take_stopped(
        StickTable owner, uint32_t writer, bytes key, int64_t now_ms, uint64_t[::1] said):
    """`take` that stops its process right before it begins; `said` gets the cell + 1, 0: none."""
    cdef Key wanted
    cdef const char *bytes = key
    cdef size_t length = len(key)
    cdef uint64_t *result = &said[0]
    cdef uint32_t number
    with nogil:
        stop_myself(SIGSTOP)
        key_set(&owner.table, bytes, length, &wanted)
        number = entry_take(&owner.table, writer, &wanted, now_ms, SESSION_HOLD, True)
        store_relaxed(result, 0 if number == NO_CELL else <uint64_t>number + 1)


def give(StickTable owner, uint32_t writer, uint32_t number, int64_t now_ms):
    """A session has ended."""
    entry_touch(&owner.table, number, now_ms)
    entry_give(&owner.table, writer, number, SESSION_HOLD)


def add(StickTable owner, uint32_t number, int data, uint64_t amount):
    fetch_add(data_of(&owner.table, number, data), amount)


def word(StickTable owner, uint32_t number, int data):
    return load_relaxed(data_of(&owner.table, number, data))


def add_rate(uint64_t[::1] words, uint32_t period_ms, int64_t now_ms, uint32_t events):
    rate_add(&words[0], period_ms, now_ms, events)


def read_rate(uint64_t[::1] words, uint32_t period_ms, int64_t now_ms):
    return rate_read(&words[0], period_ms, now_ms)


def sip(uint64_t one, uint64_t other, bytes text):
    cdef uint64_t seed[2]
    seed[0] = one
    seed[1] = other
    return sip_hash(seed, text, len(text))


def buckets(StickTable owner, bytes key):
    """The two buckets of a key."""
    cdef Key wanted
    key_set(&owner.table, key, len(key), &wanted)
    return wanted.first, wanted.second


def unfinished(StickTable owner):
    """Cells that are neither free nor an entry."""
    cdef uint32_t number
    return [
        number for number in range(owner.cells)
        if meta_state(load_acquire(meta_at(&owner.table, number))) in (
            CELL_FILLING, CELL_GOING)]


def hammer(
        StickTable owner, uint32_t writer, uint64_t rounds, uint64_t[::1] state, uint32_t keys,
        int tag_data, int count_data):
    """Serve sessions of random keys: take, mark, count, look, give; faults that were seen.

    `state` is this writer's: the random state; rounds done; sessions counted, by key.
    """
    cdef const Table *table = &owner.table
    cdef uint64_t faults = 0, number, value, meta, mark
    cdef uint32_t cell, key, peeked
    cdef Key wanted
    with nogil:
        for number in range(rounds):
            state[0] = state[0] * 6364136223846793005ULL + 1442695040888963407ULL
            key = <uint32_t>(state[0] >> 33) % keys
            mark = <uint64_t>key * 0x9E3779B1ULL + 1
            key_set(table, <const char *>&key, sizeof(key), &wanted)
            peeked = entry_peek(table, &wanted, 1, &meta)
            if peeked != NO_CELL:
                value = load_relaxed(data_of(table, peeked, tag_data))
                if value != 0 and value != mark and entry_was_there(table, peeked, meta):
                    faults += 1
            cell = entry_take(table, writer, &wanted, 1, SESSION_HOLD, True)
            if cell != NO_CELL:
                value = load_relaxed(data_of(table, cell, tag_data))
                faults += value != 0 and value != mark
                store_relaxed(data_of(table, cell, tag_data), mark)
                state[2 + key] += 1
                fetch_add(data_of(table, cell, count_data), 1)
                if (state[0] >> 20) % 16 == 0:
                    sched_yield()
                faults += load_relaxed(data_of(table, cell, tag_data)) != mark
                faults += sessions_at(table, cell) == 0
                entry_give(table, writer, cell, SESSION_HOLD)
            state[1] += 1
    return faults
