# The entries of stick tables that a session follows (manual section 4.2, `track-sc0` and the like).
#
# Each is held until the session ends, so that it stays where it is, and the holds of all workers
# are `conn_cur`. A session that follows an entry twice counts there twice. Connections count when
# the entry is found, sessions when the client becomes one, where it was found before; bytes as
# they go by.

from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.state.types cimport CLIENT, SERVER, Engine, Session
from proxy.rules.types cimport TRACKED_MAX, Tracked, Tracks
from shm.tables.cells cimport entry_give, entry_take, entry_touch
from shm.tables.keys cimport Key
from shm.tables.layout cimport (
    DATA_BYTES_IN_CNT, DATA_BYTES_IN_RATE, DATA_BYTES_OUT_CNT, DATA_BYTES_OUT_RATE,
    DATA_CONN_CNT, DATA_CONN_RATE, DATA_SESS_CNT, DATA_SESS_RATE, NO_CELL, SESSION_HOLD, Table)
from shm.tables.values cimport data_add

cdef enum:
    EVENTS_MAX = 0x7FFFFFFF  # that a rate is told at once


cdef inline void track_begin(
        Engine *engine, Tracks *tracks, uint32_t place, uint32_t number,
        const Key *key) noexcept nogil:
    """Follow the entry of a key, which is made if need be; not if there is no room for it."""
    cdef const Table *table = &engine.tables[number]
    cdef uint32_t cell = entry_take(
        table, engine.table_writer, key, engine.now_ms, SESSION_HOLD, True)
    if cell == NO_CELL:
        return
    tracks.entries[place].table = number + 1
    tracks.entries[place].cell = cell
    tracks.used = True
    entry_touch(table, cell, engine.now_ms)
    data_add(table, cell, DATA_CONN_CNT, 0, 1, engine.now_ms)
    data_add(table, cell, DATA_CONN_RATE, 0, 1, engine.now_ms)


cdef inline void tracks_admit(Engine *engine, Tracks *tracks) noexcept nogil:
    """The client is a session."""
    cdef const Tracked *tracked
    cdef const Table *table
    cdef uint32_t place
    for place in range(TRACKED_MAX):
        tracked = &tracks.entries[place]
        if tracked.table != 0:
            table = &engine.tables[tracked.table - 1]
            data_add(table, tracked.cell, DATA_SESS_CNT, 0, 1, engine.now_ms)
            data_add(table, tracked.cell, DATA_SESS_RATE, 0, 1, engine.now_ms)


cdef inline void entry_tell(
        Engine *engine, const Tracked *tracked, uint64_t from_client,
        uint64_t from_server) noexcept nogil:
    cdef const Table *table = &engine.tables[tracked.table - 1]
    if from_client != 0:
        data_add(table, tracked.cell, DATA_BYTES_IN_CNT, 0, from_client, engine.now_ms)
        data_add(
            table, tracked.cell, DATA_BYTES_IN_RATE, 0, min(from_client, <uint64_t>EVENTS_MAX),
            engine.now_ms)
    if from_server != 0:
        data_add(table, tracked.cell, DATA_BYTES_OUT_CNT, 0, from_server, engine.now_ms)
        data_add(
            table, tracked.cell, DATA_BYTES_OUT_RATE, 0, min(from_server, <uint64_t>EVENTS_MAX),
            engine.now_ms)


cdef inline bint follows(const Session *session) noexcept nogil:
    return session.addresses != NULL and session.addresses.tracks.used


cdef inline void tracks_tell(Engine *engine, Session *session) noexcept nogil:
    """Entries that it follows learn of the bytes that have come from both sides meanwhile."""
    cdef Tracks *tracks
    cdef uint64_t from_client, from_server
    cdef uint32_t place
    if not follows(session):
        return
    tracks = &session.addresses.tracks
    from_client = session.sides[CLIENT].bytes - tracks.told[CLIENT]
    from_server = session.sides[SERVER].bytes - tracks.told[SERVER]
    tracks.told[CLIENT] += from_client
    tracks.told[SERVER] += from_server
    for place in range(TRACKED_MAX):
        if tracks.entries[place].table != 0:
            entry_tell(engine, &tracks.entries[place], from_client, from_server)


cdef inline void tracks_leave(Engine *engine, Tracks *tracks) noexcept nogil:
    """The session, or the client that was refused, follows its entries no more."""
    cdef const Tracked *tracked
    cdef const Table *table
    cdef uint32_t place
    for place in range(TRACKED_MAX):
        tracked = &tracks.entries[place]
        if tracked.table != 0:
            table = &engine.tables[tracked.table - 1]
            entry_touch(table, tracked.cell, engine.now_ms)
            entry_give(table, engine.table_writer, tracked.cell, SESSION_HOLD)
    tracks.used = False


cdef inline void tracks_end(Engine *engine, Session *session) noexcept nogil:
    """The session is over."""
    if follows(session):
        tracks_tell(engine, session)
        tracks_leave(engine, &session.addresses.tracks)
