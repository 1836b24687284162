# The server that an entry of a stick table names, and the entries that will name a session's.
#
# An entry has one word for its server: the hash of the name and the incarnation that it spoke of. A
# slot that DNS has given to another machine meanwhile has another incarnation, and the entry says
# nothing. The next word is the server's id, for backends that share a table and have other names.
# Where entries name addresses (srvkey addr) the word is that of the server's present one, and an
# entry means whichever server has the address.
#
# As in HAProxy, keys are taken when rules are looked at, and stored when the session is connected:
# its server may be another one by then.

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from proxy.relay.state.server_view cimport has_address, server_cached, standing_of
from proxy.relay.state.table_types cimport STORES_MAX, Sticky, Stores
from proxy.relay.state.types cimport NO_SLOT, STANDING_AWAY, Backend, Engine, Session
from shm.atomics cimport load_acquire, load_relaxed, store_relaxed
from shm.eligibility cimport ServerView
from shm.tables.cells cimport entry_give, entry_take, entry_touch
from shm.tables.keys cimport Key, key_set
from shm.tables.layout cimport (
    BRIEF_HOLD, DATA_SERVER, INCARNATION_MASK, NO_CELL, Table, data_of)


cdef inline bint may_serve(
        Engine *engine, const Backend *backend, uint32_t slot, bint forced) noexcept nogil:
    """Whether a server takes sessions that a rule or an entry sends to it: also one that drains.

    One that is down does with `option persist`, or where rules force it. As long as it has an
    address: HAProxy would connect to where the client came to.
    """
    cdef const ServerView *server = server_cached(
        engine, slot, load_acquire(&engine.view.header.table_generation))
    return standing_of(server) != STANDING_AWAY or (
        (forced or backend.persist) and has_address(engine, slot, server))


cdef inline uint64_t address_word(const ServerView *server) noexcept nogil:
    """What stands for a server's address and port, as address_word in shm/tables/shape.py."""
    cdef uint64_t number = server.port, half
    cdef int at, byte
    if server.family == 4:
        for byte in range(4):
            number = number << 8 | server.address[byte]
        return number | <uint64_t>1 << 63
    for at in range(2):
        half = 0
        for byte in range(8):
            half = half << 8 | server.address[8 * at + byte]
        number = (number ^ half) * <uint64_t>0x9E3779B97F4A7C15
        number ^= number >> 32
    return number & ~(<uint64_t>1 << 63) | 1


cdef inline uint64_t server_word(
        Engine *engine, const Table *table, uint32_t slot) noexcept nogil:
    """What an entry has that names this server as it is now."""
    cdef const ServerView *server = server_cached(
        engine, slot, load_acquire(&engine.view.header.table_generation))
    if table.by_address:
        return address_word(server)
    return engine.sticky[slot].name | server.incarnation & INCARNATION_MASK


cdef inline uint32_t slot_of_entry(
        Engine *engine, const Table *table, const Backend *backend, uint64_t word,
        uint64_t number) noexcept nogil:
    """The server of this backend that an entry names; NO_SLOT: none that is the same still."""
    cdef uint32_t slot
    if table.by_address and word != 0:
        for slot in range(backend.first_slot, backend.first_slot + backend.slots):
            if server_word(engine, table, slot) == word:
                return slot
        return NO_SLOT
    for slot in range(backend.first_slot, backend.first_slot + backend.slots):
        if word != 0 and engine.sticky[slot].name == word & ~<uint64_t>INCARNATION_MASK:
            return slot if server_word(engine, table, slot) == word else NO_SLOT
    for slot in range(backend.first_slot, backend.first_slot + backend.slots):
        if number != 0 and engine.sticky[slot].number == number:
            return slot
    return NO_SLOT


cdef inline uint32_t entry_server(
        Engine *engine, Session *session, uint32_t table, const Key *key,
        bint wanted) noexcept nogil:
    """Look an entry up, which lives on; the server that it names, if one is wanted."""
    cdef const Table *there = &engine.tables[table]
    cdef uint32_t slot = NO_SLOT
    cdef const uint64_t *words
    cdef uint32_t number = entry_take(
        there, engine.table_writer, key, engine.now_ms, BRIEF_HOLD, False)
    if number == NO_CELL:
        return NO_SLOT
    entry_touch(there, number, engine.now_ms)
    if wanted:
        words = data_of(there, number, DATA_SERVER)
        slot = slot_of_entry(
            engine, there, session.backend, load_relaxed(&words[0]), load_relaxed(&words[1]))
        if slot != NO_SLOT and not may_serve(
                engine, session.backend, slot, session.addresses.forced):
            slot = NO_SLOT
    entry_give(there, engine.table_writer, number, BRIEF_HOLD)
    return slot


cdef inline uint32_t stores_planned(const Session *session) noexcept nogil:
    """How many keys wait for the session's server."""
    return 0 if session.addresses.stores == NULL else session.addresses.stores.count


cdef inline bint store_is_planned(
        const Session *session, uint32_t begin, uint32_t table) noexcept nogil:
    """Whether an earlier rule, from this one on, has a key for the table: only the first counts."""
    cdef const Stores *stores = session.addresses.stores
    cdef uint32_t at
    if stores != NULL:
        for at in range(begin, stores.count):
            if stores.tables[at] == table:
                return True
    return False


cdef inline void store_plan(Session *session, uint32_t table, const Key *key) noexcept nogil:
    """Keep a key until the session has its server; without memory, or beyond 8, none is."""
    cdef Stores *stores = session.addresses.stores
    cdef uint32_t count = stores_planned(session)
    cdef uint32_t end = 0 if stores == NULL else stores.ends[count - 1]
    if count == STORES_MAX:
        return
    stores = <Stores *>realloc(stores, sizeof(Stores) + end + key.length)
    if stores == NULL:
        return
    session.addresses.stores = stores
    memcpy(stores.bytes + end, key.bytes, key.length)
    stores.tables[count] = table
    stores.ends[count] = end + <uint32_t>key.length
    stores.count = count + 1


cdef inline void entry_set_server(
        Engine *engine, uint32_t table, const Key *key, uint32_t slot) noexcept nogil:
    cdef const Table *there = &engine.tables[table]
    cdef uint64_t word = server_word(engine, there, slot), number = engine.sticky[slot].number
    cdef uint64_t *words
    cdef uint32_t cell = entry_take(
        there, engine.table_writer, key, engine.now_ms, BRIEF_HOLD, True)
    if cell == NO_CELL:
        return
    words = data_of(there, cell, DATA_SERVER)
    if load_relaxed(&words[0]) != word or load_relaxed(&words[1]) != number:
        store_relaxed(&words[1], number)
        store_relaxed(&words[0], word)
    entry_touch(there, cell, engine.now_ms)
    entry_give(there, engine.table_writer, cell, BRIEF_HOLD)


cdef inline void stores_make(Engine *engine, Session *session) noexcept nogil:
    """The session is connected: the entries of its keys name its server."""
    cdef Stores *stores
    cdef uint32_t at, begin = 0
    cdef Key key
    if session.addresses == NULL or session.addresses.stores == NULL:
        return
    stores = session.addresses.stores
    if not engine.sticky[session.slot].excluded:
        for at in range(stores.count):
            key_set(
                &engine.tables[stores.tables[at]], stores.bytes + begin, stores.ends[at] - begin,
                &key)
            entry_set_server(engine, stores.tables[at], &key, session.slot)
            begin = stores.ends[at]
    stores_drop(session)


cdef inline void stores_drop(Session *session) noexcept nogil:
    if session.addresses != NULL:
        free(session.addresses.stores)
        session.addresses.stores = NULL
