# Looking up, holding, making and taking away the entries of a stick table, without a lock.
#
# An entry is written under a hold only: the writer has raised its own count at the cell, and has
# seen the entry still there behind a full fence. A writer that wants the cell for another entry
# says so first (GOING), and looks at all counts behind a fence of its own: one of the two sees the
# other. Where an entry is only read, meta is compared before and after.
#
# Two writers may want to make the same entry. Each says which tag it fills into its cell, and then
# looks at all cells of the two buckets: one of them at least sees the other. The one with the
# higher cell steps back, the other waits until it has. Neither waits for ever: where a process was
# stopped in between, an entry is made twice; look-ups find the lower one, and the other expires.
#
# A process that dies leaves a cell FILLING or GOING, which no other waits for, and its holds: the
# supervisor puts both right (writer_settle).

from libc.stdint cimport int64_t, uint32_t, uint64_t

from shm.atomics cimport (
    fence_acquire, fence_full, fetch_add, load32_relaxed, load_acquire, load_relaxed,
    store32_release, store_relaxed, store_release, swap_word)
from shm.tables.keys cimport Key, key_equals, key_store
from shm.tables.layout cimport (
    BUCKET_CELLS, CANDIDATES, CELL_FILLING, CELL_FREE, CELL_GOING, CELL_READY, NO_CELL,
    SESSIONS_MASK, Cell, Table, cell_at, hold_of, meta_at, meta_of, meta_state, meta_tag,
    meta_version, meta_writer, writer_of)

cdef enum:
    ATTEMPTS_MAX = 1_000  # while others change the same buckets: about 100 us
    AGAIN = 0xFFFFFFFE  # in place of a cell: another process was faster


cdef inline uint32_t candidate(const Key *key, uint32_t number) noexcept nogil:
    """The cell that is this one of those where the key may lie, in rising order."""
    if number < BUCKET_CELLS:
        return key.first * BUCKET_CELLS + number
    return key.second * BUCKET_CELLS + number - BUCKET_CELLS


cdef inline uint32_t candidates(const Key *key) noexcept nogil:
    return BUCKET_CELLS if key.first == key.second else CANDIDATES


cdef inline bint has_entry(uint64_t meta) noexcept nogil:
    return meta_state(meta) >= CELL_READY


cdef inline uint64_t as_ready(uint64_t meta) noexcept nogil:
    return meta_of(CELL_READY, 0, meta_tag(meta), meta_version(meta))


cdef inline bint same_entry(uint64_t one, uint64_t other) noexcept nogil:
    return has_entry(one) and has_entry(other) and as_ready(one) == as_ready(other)


cdef inline uint64_t holds_at(const Table *table, uint32_t number) noexcept nogil:
    """All holds at a cell; 0: none."""
    cdef uint64_t total = 0
    cdef uint32_t writer
    for writer in range(<uint32_t>load_acquire(&table.header.writers)):
        total += load32_relaxed(hold_of(table, writer, number))
    return total


cdef inline uint64_t sessions_at(const Table *table, uint32_t number) noexcept nogil:
    """How many sessions are at the entry."""
    cdef uint64_t total = 0
    cdef uint32_t writer
    for writer in range(<uint32_t>load_acquire(&table.header.writers)):
        total += load32_relaxed(hold_of(table, writer, number)) & SESSIONS_MASK
    return total


cdef inline bint outlived(const Table *table, Cell *cell, int64_t now_ms) noexcept nogil:
    return table.expire_ms != 0 and <int64_t>load_relaxed(&cell.expires_ms) <= now_ms


cdef inline uint32_t entry_peek(
        const Table *table, const Key *key, int64_t now_ms, uint64_t *meta) noexcept nogil:
    """The cell of an entry, to be read only; `meta` says later whether it is still there."""
    cdef uint32_t at, number
    cdef Cell *cell
    for at in range(candidates(key)):
        number = candidate(key, at)
        cell = cell_at(table, number)
        meta[0] = load_acquire(meta_at(table, number))
        if not has_entry(meta[0]) or meta_tag(meta[0]) != key.tag or (
                not key_equals(table, cell, key)):
            continue
        if outlived(table, cell, now_ms) and holds_at(table, number) == 0:
            continue
        fence_acquire()
        if same_entry(meta[0], load_relaxed(meta_at(table, number))):
            return number
    return NO_CELL


cdef inline bint entry_was_there(
        const Table *table, uint32_t number, uint64_t meta) noexcept nogil:
    """Whether all that was read of the cell is of the entry that was found there."""
    fence_acquire()
    return same_entry(meta, load_relaxed(meta_at(table, number)))


cdef inline void entry_give(
        const Table *table, uint32_t writer, uint32_t number, uint32_t amount) noexcept nogil:
    """End a hold."""
    cdef uint32_t *hold = hold_of(table, writer, number)
    store32_release(hold, load32_relaxed(hold) - amount)


cdef inline bint entry_hold(
        const Table *table, uint32_t writer, uint32_t number, uint64_t meta,
        uint32_t amount) noexcept nogil:
    """Hold the entry that this meta was read of; False: it is gone."""
    cdef uint64_t *place = meta_at(table, number)
    cdef uint32_t *hold = hold_of(table, writer, number)
    cdef uint64_t found
    store32_release(hold, load32_relaxed(hold) + amount)
    fence_full()
    while True:
        found = load_acquire(place)
        if not same_entry(found, meta):
            break
        if meta_state(found) == CELL_READY or swap_word(place, found, as_ready(found)):
            return True
    entry_give(table, writer, number, amount)
    return False


cdef inline bint cell_claim(
        const Table *table, uint32_t writer, uint32_t number, uint64_t found,
        uint64_t wanted) noexcept nogil:
    """Change the meta that was found, after saying so for the case of death."""
    store_release(&writer_of(table, writer).claimed, <uint64_t>number + 1)
    return swap_word(meta_at(table, number), found, wanted)


cdef inline bint cell_take(
        const Table *table, uint32_t writer, uint32_t number, uint64_t meta, uint64_t state,
        uint64_t tag) noexcept nogil:
    """Take the cell of a READY entry that is not held: it is FREE, or FILLING with this tag."""
    cdef uint64_t *place = meta_at(table, number)
    cdef uint64_t going = meta_of(CELL_GOING, writer, meta_tag(meta), meta_version(meta))
    if not cell_claim(table, writer, number, meta, going):
        return False
    fence_full()
    if holds_at(table, number) != 0:
        swap_word(place, going, meta)
        return False
    return swap_word(
        place, going,
        meta_of(state, writer if state == CELL_FILLING else 0, tag, meta_version(meta) + 1))


cdef inline uint32_t free_candidate(const Table *table, const Key *key) noexcept nogil:
    """A free cell of the bucket that has more of them; NO_CELL: there is none."""
    cdef uint32_t free[2]
    cdef uint32_t first[2]
    cdef uint32_t at, number, bucket
    free[0] = free[1] = 0
    first[0] = first[1] = NO_CELL
    for at in range(candidates(key)):
        number = candidate(key, at)
        bucket = at // BUCKET_CELLS
        if meta_state(load_relaxed(meta_at(table, number))) == CELL_FREE:
            if free[bucket] == 0:
                first[bucket] = number
            free[bucket] += 1
    return first[0] if free[0] >= free[1] else first[1]


cdef inline uint32_t victim_candidate(
        const Table *table, const Key *key, int64_t now_ms, uint64_t *meta) noexcept nogil:
    """The entry that expires first and is not held; NO_CELL: there is none."""
    cdef uint32_t at, number, best = NO_CELL
    cdef uint64_t found
    cdef int64_t expires, earliest = 0
    cdef Cell *cell
    for at in range(candidates(key)):
        number = candidate(key, at)
        cell = cell_at(table, number)
        found = load_acquire(meta_at(table, number))
        if meta_state(found) != CELL_READY or holds_at(table, number) != 0 or (
                table.nopurge and not outlived(table, cell, now_ms)):
            continue
        expires = <int64_t>load_relaxed(&cell.expires_ms)
        if best == NO_CELL or expires < earliest:
            best, earliest, meta[0] = number, expires, found
    return best


cdef inline uint32_t cell_begin(
        const Table *table, uint32_t writer, const Key *key, int64_t now_ms) noexcept nogil:
    """A cell that this writer fills now; AGAIN, or NO_CELL: there is no room."""
    cdef uint32_t number = free_candidate(table, key)
    cdef uint64_t meta
    cdef bint early
    if number != NO_CELL:
        meta = load_relaxed(meta_at(table, number))
        if meta_state(meta) == CELL_FREE and cell_claim(
                table, writer, number, meta,
                meta_of(CELL_FILLING, writer, key.tag, meta_version(meta) + 1)):
            return number
        return AGAIN
    number = victim_candidate(table, key, now_ms, &meta)
    if number == NO_CELL:
        fetch_add(&table.header.refused, 1)
        return NO_CELL
    early = not outlived(table, cell_at(table, number), now_ms)
    if not cell_take(table, writer, number, meta, CELL_FILLING, key.tag):
        return AGAIN
    if early:
        fetch_add(&table.header.evicted, 1)
    return number


cdef inline bint entry_is_new(
        const Table *table, const Key *key, uint32_t own) noexcept nogil:
    """Whether no other writer has made, or makes, this entry; waits for one with a higher cell."""
    cdef uint32_t at, number, looks
    cdef uint64_t meta
    cdef bint waits
    fence_full()
    for looks in range(<uint32_t>ATTEMPTS_MAX):
        waits = False
        for at in range(candidates(key)):
            number = candidate(key, at)
            meta = load_acquire(meta_at(table, number))
            if number == own or meta_state(meta) == CELL_FREE or meta_tag(meta) != key.tag:
                continue
            if meta_state(meta) == CELL_FILLING:
                if number < own:
                    return False
                waits = True
            elif key_equals(table, cell_at(table, number), key) and (
                    entry_was_there(table, number, meta)):
                return False
        if not waits:
            break
    return True


cdef inline void entry_fill(
        const Table *table, uint32_t writer, uint32_t number, const Key *key, int64_t now_ms,
        uint32_t amount) noexcept nogil:
    """Make the entry, held, of the cell that this writer fills."""
    cdef Cell *cell = cell_at(table, number)
    cdef uint32_t *hold = hold_of(table, writer, number)
    cdef uint32_t word
    store32_release(hold, load32_relaxed(hold) + amount)
    store_relaxed(&cell.expires_ms, <uint64_t>(now_ms + table.expire_ms))
    key_store(table, cell, key)
    for word in range(table.key_words, (table.cell_bytes - sizeof(Cell)) // sizeof(uint64_t)):
        store_relaxed(&cell.words[word], 0)
    store_release(meta_at(table, number), as_ready(load_relaxed(meta_at(table, number))))


cdef inline void cell_abandon(const Table *table, uint32_t number) noexcept nogil:
    """Free the cell that this writer was about to fill."""
    cdef uint64_t *place = meta_at(table, number)
    store_release(
        place, meta_of(CELL_FREE, 0, 0, meta_version(load_relaxed(place))))


cdef inline uint32_t entry_find(
        const Table *table, uint32_t writer, const Key *key, int64_t now_ms,
        uint32_t amount) noexcept nogil:
    """The cell of an entry, held; NO_CELL, or AGAIN: it has just changed, or was past its time."""
    cdef uint32_t at, number
    cdef uint64_t meta
    cdef Cell *cell
    for at in range(candidates(key)):
        number = candidate(key, at)
        cell = cell_at(table, number)
        meta = load_acquire(meta_at(table, number))
        if not has_entry(meta) or meta_tag(meta) != key.tag:
            continue
        if outlived(table, cell, now_ms) and holds_at(table, number) == 0 and (
                meta_state(meta) == CELL_READY):
            cell_take(table, writer, number, meta, CELL_FREE, 0)
            return AGAIN
        if not entry_hold(table, writer, number, meta, amount):
            return AGAIN
        if key_equals(table, cell, key):
            return number
        entry_give(table, writer, number, amount)
    return NO_CELL


cdef inline uint32_t entry_take(
        const Table *table, uint32_t writer, const Key *key, int64_t now_ms, uint32_t amount,
        bint make) noexcept nogil:
    """The cell of the entry of a key, held by this writer; made where it is not there.

    NO_CELL: it is not there, or there is no room for it.
    """
    cdef uint32_t attempt, number
    for attempt in range(<uint32_t>ATTEMPTS_MAX):
        number = entry_find(table, writer, key, now_ms, amount)
        if number == AGAIN:
            continue
        if number != NO_CELL or not make:
            return number
        number = cell_begin(table, writer, key, now_ms)
        if number == AGAIN:
            continue
        if number == NO_CELL:
            return NO_CELL
        if attempt < ATTEMPTS_MAX - 1 and not entry_is_new(table, key, number):
            cell_abandon(table, number)
            continue
        entry_fill(table, writer, number, key, now_ms, amount)
        return number
    return NO_CELL


cdef inline void entry_touch(const Table *table, uint32_t number, int64_t now_ms) noexcept nogil:
    """The life of an entry that is held begins anew."""
    store_relaxed(&cell_at(table, number).expires_ms, <uint64_t>(now_ms + table.expire_ms))


cdef inline void writer_settle(const Table *table, uint32_t writer) noexcept nogil:
    """Put right the cell that a dead writer was about to change; its holds are the caller's."""
    cdef uint64_t claimed = load_acquire(&writer_of(table, writer).claimed)
    cdef uint64_t meta
    cdef uint64_t *place
    if claimed == 0:
        return
    place = meta_at(table, <uint32_t>(claimed - 1))
    meta = load_acquire(place)
    if meta_writer(meta) != writer:
        return
    if meta_state(meta) == CELL_FILLING:
        swap_word(place, meta, meta_of(CELL_FREE, 0, 0, meta_version(meta)))
    elif meta_state(meta) == CELL_GOING:
        swap_word(place, meta, as_ready(meta))
