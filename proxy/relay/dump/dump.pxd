# Answers to control's questions about sessions: pages of those that match, and ends of those that
# an operator ends.
#
# All sessions are walked, a part of a slab in each turn, so that others are served meanwhile; a
# page that is full is published, and the walk goes on when the next one is asked for. Sessions that
# began after the question do not match, so an object with its start names one session for ever.
# Without a question this costs one load in each turn.

from libc.stdint cimport uint32_t, uint64_t

from proxy.relay.dump.record cimport record_write
from proxy.relay.session.session cimport session_break
from proxy.relay.state.pool cimport (
    SLAB_BYTES, SLAB_OBJECTS_MAX, WALK_DUMP, Slab, slab_objects)
from proxy.relay.state.types cimport (
    ASSIGNED, CONNECTED, STATE_ENDED, STATE_QUEUED, TERMINATION_KILLED_CONNECT,
    TERMINATION_KILLED_DATA, TERMINATION_KILLED_QUEUE, Engine, Session)
from shm.atomics cimport load_acquire, load_relaxed, store_relaxed, store_release
from shm.dumps cimport (
    DUMP_ANY, DUMP_END, DUMP_NEXT, DUMP_RECORDS, QUESTION_WORDS, DumpQuestion, SessionDump)
from shm.latch cimport copies_read

cdef enum:
    SLICE_ENDS = 64  # in a turn: each costs some ten system calls
    SLICE_TOLD = 16  # likewise: four each


cdef inline bint session_matches(
        const DumpQuestion *question, const Session *session) noexcept nogil:
    if session.state == STATE_ENDED or session.started_ms >= question.before_ms:
        return False
    if question.object != 0 and (
            question.object != <uint64_t>session or question.started_ms != session.started_ms):
        return False
    if question.frontend != DUMP_ANY and session.listener.frontend.index != question.frontend:
        return False
    if question.backend != DUMP_ANY and (
            session.backend == NULL or session.backend.index != question.backend):
        return False
    return question.slot == DUMP_ANY or (
        session.flags & ASSIGNED != 0 and session.slot == question.slot)


cdef inline void dump_publish(Engine *engine, bint last) noexcept nogil:
    """The answer is whole."""
    cdef SessionDump *dump = &engine.view.dumps[engine.worker]
    store_relaxed(&dump.length, engine.dump_length)
    store_relaxed(&dump.last, last)
    store_relaxed(&dump.ended, engine.dump_ended)
    store_release(&dump.answered, engine.dump_question.number)
    engine.dump_open = False


cdef inline void dump_begin(Engine *engine, uint64_t sequence) noexcept nogil:
    """Take a question that was not seen yet; one that was answered before is not answered again."""
    cdef SessionDump *dump = &engine.view.dumps[engine.worker]
    if not copies_read(&dump.sequence, dump.copies, QUESTION_WORDS, &engine.dump_question):
        return  # the next turn reads it
    engine.dump_seen = sequence
    if engine.dump_question.number == load_relaxed(&dump.answered):
        return
    engine.dump_open = True
    engine.dump_length = 0
    engine.dump_ended = 0
    if engine.dump_question.kind != DUMP_NEXT:
        engine.sessions.walks[WALK_DUMP] = engine.sessions.mapped
        engine.dump_after = 0


cdef inline void session_end_killed(Engine *engine, Session *session) noexcept nogil:
    """An operator ends it, whatever it does."""
    cdef int termination = TERMINATION_KILLED_CONNECT
    if session.flags & CONNECTED:
        termination = TERMINATION_KILLED_DATA
    elif session.state == STATE_QUEUED:
        termination = TERMINATION_KILLED_QUEUE
    session_break(engine, session, termination, -1)


cdef inline bint slab_end(Engine *engine, Slab *slab, void **objects) noexcept nogil:
    """End what matches in a slab; whether all of it was looked at."""
    cdef Session *session
    cdef uint32_t index
    cdef int ends = 0
    for index in range(slab_objects(&engine.sessions, slab, objects)):
        session = <Session *>objects[index]
        if session_matches(&engine.dump_question, session):
            if ends == SLICE_ENDS:
                return False
            session_end_killed(engine, session)
            ends += 1
            engine.dump_ended += 1
    return True


cdef inline bint slab_tell(Engine *engine, Slab *slab, void **objects) noexcept nogil:
    """Tell of the next sessions of a slab that match; whether all of it was looked at.

    The page has room for SLICE_TOLD. What comes into the slab meanwhile began after the question.
    """
    cdef SessionDump *dump = &engine.view.dumps[engine.worker]
    cdef Session *session
    cdef uint32_t index
    cdef int told = 0
    if engine.dump_after & ~<uint64_t>(SLAB_BYTES - 1) != <uint64_t>slab:
        engine.dump_after = 0  # it is another one, or the first look at this one
    for index in range(slab_objects(&engine.sessions, slab, objects)):
        session = <Session *>objects[index]
        if <uint64_t>session <= engine.dump_after:
            continue
        if told == SLICE_TOLD:
            return False
        engine.dump_after = <uint64_t>session
        if session_matches(&engine.dump_question, session):
            record_write(engine, session, &dump.records[engine.dump_length])
            engine.dump_length += 1
            told += 1
    return True


cdef inline void dump_slice(Engine *engine) noexcept nogil:
    """Look at the next part of a slab, or end the answer."""
    cdef void *objects[SLAB_OBJECTS_MAX]
    cdef Slab *slab = engine.sessions.walks[WALK_DUMP]
    cdef uint64_t wanted = engine.dump_question.object & ~<uint64_t>(SLAB_BYTES - 1)
    while slab != NULL and wanted != 0 and <uint64_t>slab != wanted:
        slab = slab.next_mapped
    if slab == NULL:
        engine.sessions.walks[WALK_DUMP] = NULL
        dump_publish(engine, True)
        return
    if engine.dump_question.kind == DUMP_END:
        if slab_end(engine, slab, objects):
            engine.sessions.walks[WALK_DUMP] = slab.next_mapped
    elif engine.dump_length + SLICE_TOLD > DUMP_RECORDS:
        dump_publish(engine, False)
    elif slab_tell(engine, slab, objects):
        engine.sessions.walks[WALK_DUMP] = slab.next_mapped


cdef inline void dump_look(Engine *engine) noexcept nogil:
    """A slice of the answer to control's question; nothing without one."""
    cdef uint64_t sequence = load_acquire(&engine.view.dumps[engine.worker].sequence)
    if sequence != engine.dump_seen:
        dump_begin(engine, sequence)
    if engine.dump_open:
        dump_slice(engine)
