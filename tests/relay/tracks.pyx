# cython: language_level=3, boundscheck=False
"""A worker of the tests that follows entries of one stick table, by the relay's own functions."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from proxy.relay.state.types cimport Engine
from proxy.relay.tables.tracking cimport entry_tell, track_begin, tracks_admit, tracks_leave
from proxy.rules.types cimport Tracks
from shm.atomics cimport store_relaxed
from shm.tables.cells cimport sessions_at
from shm.tables.keys cimport Key, key_set
from shm.tables.memory cimport StickTable

cdef extern from "<signal.h>" nogil:
    int SIGSTOP
    int stop_myself "raise"(int number)

cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef enum:
    SESSION_IN = 1000  # bytes that each session forwards
    SESSION_OUT = 70


cdef class Follower:
    """One writer."""

    cdef Engine *engine
    cdef StickTable owner

    def __cinit__(self, StickTable owner, uint32_t writer, int64_t now_ms):
        self.owner = owner
        self.engine = <Engine *>calloc(1, sizeof(Engine))
        if self.engine == NULL:
            raise MemoryError
        self.engine.tables = &owner.table
        self.engine.table_writer = writer
        self.engine.now_ms = now_ms

    def __dealloc__(self):
        free(self.engine)

    def begin(self, bytes key):
        """A session follows the entry of this key, and stays; False: there is no room for it."""
        cdef Tracks tracks
        cdef Key wanted
        memset(&tracks, 0, sizeof(tracks))
        key_set(&self.owner.table, key, len(key), &wanted)
        track_begin(self.engine, &tracks, 0, 0, &wanted)
        return tracks.used != 0

    def serve(self, bytes key, uint64_t[::1] said=None):
        """A session that follows the entry of this key from its beginning to its end.

        With `said` its process stops right before; the word then is 1 behind all of it.
        """
        cdef Key wanted
        cdef const char *bytes = key
        cdef size_t length = len(key)
        cdef uint64_t *over = &said[0] if said is not None else NULL
        cdef bint followed
        with nogil:
            if over != NULL:
                stop_myself(SIGSTOP)
            key_set(&self.owner.table, bytes, length, &wanted)
            followed = session(self.engine, &wanted)
            if over != NULL:
                store_relaxed(over, 1)
        return followed

    def hammer(self, uint64_t rounds, uint32_t keys, uint64_t[::1] state):
        """Serve so many sessions of random keys; how many followed none, or one without sessions.

        `state` is this writer's: the random state, then sessions by key.
        """
        cdef uint64_t faults = 0, number
        cdef uint32_t key
        cdef Key wanted
        with nogil:
            for number in range(rounds):
                state[0] = state[0] * 6364136223846793005ULL + 1442695040888963407ULL
                key = <uint32_t>(state[0] >> 33) % keys
                key_set(&self.owner.table, <const char *>&key, sizeof(key), &wanted)
                faults += not session(self.engine, &wanted)
                state[1 + key] += 1
                if (state[0] >> 20) % 16 == 0:
                    sched_yield()
        return faults


cdef bint session(Engine *engine, const Key *key) noexcept nogil:
    """One session; False: it followed nothing, or nobody saw that it did."""
    cdef Tracks tracks
    cdef bint seen
    memset(&tracks, 0, sizeof(tracks))
    track_begin(engine, &tracks, 0, 0, key)
    if not tracks.used:
        return False
    seen = sessions_at(engine.tables, tracks.entries[0].cell) != 0
    tracks_admit(engine, &tracks)
    entry_tell(engine, &tracks.entries[0], SESSION_IN, SESSION_OUT)
    tracks_leave(engine, &tracks)
    return seen
