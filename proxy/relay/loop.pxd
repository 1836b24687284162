# The relay thread's loop: one epoll set, one clock reading per batch.
#
# A turn: wait, look at the shared words (command, table generation), handle the events, give the
# sessions of the run list their share, let the wheel's due timers act, and only then free what
# ended, because an event of the same batch may still point to it. What may concern all sessions at
# once (timers, a server that goes down, a queue) is done in slices, one in a turn.
#
# The bell is registered edge-triggered and never read: a write to it always makes a new edge.

from libc.errno cimport EINTR, errno
from libc.stdint cimport INT64_MAX, int64_t, uint32_t, uint64_t

from proxy.relay.accept cimport (
    LISTENER_TAG, accept_resume, limits_settle, listener_event, listener_leave, listeners_refresh)
from proxy.relay.admission.stopped cimport ahead_look, limits_look
from proxy.relay.balance.rota_news cimport rotas_follow
from proxy.relay.changes.changes cimport changes_end, changes_walk
from proxy.relay.changes.renamed cimport names_take
from proxy.relay.dump.dump cimport dump_look
from proxy.relay.log.sinks cimport log_end, log_flush, log_next_ms
from proxy.relay.session.dequeue cimport queues_review
from proxy.relay.session.events cimport session_event, session_timer, waiters_hurry
from proxy.relay.session.session cimport session_relay
from proxy.relay.state.pool cimport WALK_CHANGES, pool_give
from proxy.relay.state.syscalls cimport (
    EPOLLET, EPOLLIN, EPOLL_CTL_ADD, clock_ms, epoll_ctl, epoll_event, epoll_wait, ring_bell)
from proxy.relay.state.types cimport (
    ACCEPT_BATCH, EPOLL_WAIT_MAX_MS, EVENTS_MAX, OVERLOAD_PAUSE_MS, QUEUED,
    QUEUE_SWEEP_MS, RATE_PAUSE_MS, SHARE_BYTES, STATE_ENDED, TURN_BYTES, Engine, Listener, Session)
from proxy.relay.state.wheel cimport Timer, wheel_advance, wheel_next_ms, wheel_start, wheel_take
from shm.atomics cimport count, load_acquire, load_relaxed, store_relaxed, store_release
from shm.layout cimport COMMAND_SOFT_STOP, COMMAND_STOP

cdef enum:
    SIDE_MASK = 1
    TAG_MASK = 3
    TIMERS_MAX = 256  # in a turn: each may end a session, which costs some ten system calls


cdef inline bint bell_register(Engine *engine) noexcept nogil:
    cdef epoll_event event
    event.events = EPOLLIN | EPOLLET
    event.data.u64 = 0
    return epoll_ctl(engine.epoll, EPOLL_CTL_ADD, engine.own_bell, &event) == 0


cdef inline int wait_ms(Engine *engine) noexcept nogil:
    """How long the next wait may last."""
    cdef int64_t longest = EPOLL_WAIT_MAX_MS
    cdef int64_t due
    if engine.run_first != NULL or engine.dead != NULL or engine.review or engine.freed != NULL:
        return 0
    if engine.walk_again or engine.dump_open or engine.sessions.walks[WALK_CHANGES] != NULL:
        return 0
    if engine.waiting != 0:
        longest = QUEUE_SWEEP_MS
    if engine.resume_ms != 0 or engine.stopping != NULL:
        longest = RATE_PAUSE_MS if engine.rates_stopping != 0 else OVERLOAD_PAUSE_MS
    if engine.log.waiting:
        due = log_next_ms(engine.log)
        if due - engine.now_ms < longest:
            longest = max(due - engine.now_ms, <int64_t>0)
    due = wheel_next_ms(&engine.wheel)
    if due != INT64_MAX and due - engine.now_ms < longest:
        longest = max(due - engine.now_ms, <int64_t>0)
    return <int>longest


cdef inline void read_clock(Engine *engine) noexcept nogil:
    """The time of a batch, which is the heartbeat: before a ticket of the batch is published."""
    engine.now_ms = clock_ms()
    store_release(&engine.process.relay_beat_ms, <uint64_t>engine.now_ms)


cdef inline void pass_lists(Engine *engine) noexcept nogil:
    """Say that between two turns nothing of a list's former parts is looked at."""
    cdef uint64_t epoch
    if engine.lists_epoch == NULL:
        return
    epoch = load_acquire(engine.lists_epoch)
    if epoch != load_relaxed(engine.lists_seen):
        store_release(engine.lists_seen, epoch)


cdef inline void leave(Engine *engine) noexcept nogil:
    """Accept what waits, and then no more; the supervisor reads when that is so.

    At each turn: a socket may be adopted later, and others may empty a queue unseen.
    """
    cdef uint32_t index
    cdef bint listens = engine.resume_ms != 0
    engine.stop_seen = True
    for index in range(engine.listener_count):
        if engine.listeners[index].registered:
            listener_event(engine, &engine.listeners[index])
        listener_leave(engine, &engine.listeners[index])
        listens = listens or engine.listeners[index].registered
    store_release(&engine.process.left, not listens)


cdef inline void look_at_shared(Engine *engine) noexcept nogil:
    """Notice commands and changes of the table; one load each when there is nothing new."""
    cdef uint64_t generation = load_acquire(&engine.view.header.table_generation)
    cdef uint64_t command = load_acquire(&engine.process.command)
    if generation != engine.generation_seen:
        engine.generation_seen = generation
        names_take(engine)
        listeners_refresh(engine)
        rotas_follow(engine, generation)
        changes_end(engine, generation)
        engine.review = engine.review or engine.waiting != 0
        store_release(&engine.process.generation_seen, generation)
    pass_lists(engine)
    changes_walk(engine)
    dump_look(engine)
    if command == COMMAND_SOFT_STOP:
        leave(engine)
    engine.command = command


cdef inline void sweep(Engine *engine) noexcept nogil:
    """The end of an overload pause, and looks for places: at the listeners, and in queues."""
    cdef int64_t pause_ms = RATE_PAUSE_MS if engine.rates_stopping != 0 else engine.sweep_ms
    if engine.resume_ms != 0 and engine.now_ms >= engine.resume_ms:
        accept_resume(engine)
    if engine.stopping != NULL and engine.now_ms >= engine.swept_ms + pause_ms:
        engine.swept_ms = engine.now_ms
        limits_look(engine)
    if engine.waiting != 0 and engine.now_ms >= engine.queues_swept_ms + QUEUE_SWEEP_MS:
        engine.queues_swept_ms = engine.now_ms
        engine.sweeps += 1
        engine.review = True
    if engine.review:
        queues_review(engine)
    limits_settle(engine)


cdef inline Session *take_queued(Engine *engine) noexcept nogil:
    """The run list as the last turn left it; what is queued from now on waits for the next one."""
    cdef Session *first = engine.run_first
    engine.run_first = NULL
    engine.run_last = NULL
    return first


cdef inline void run_queued(Engine *engine, Session *session) noexcept nogil:
    """Give each session of a run list one share; those with more go to the next turn."""
    cdef Session *following
    while session != NULL:
        following = session.next
        session.flags &= ~QUEUED
        if session.state != STATE_ENDED:
            session_relay(engine, session)
        session = following


cdef inline void run_timers(Engine *engine) noexcept nogil:
    cdef Timer *timer
    cdef int number
    wheel_advance(&engine.wheel, engine.now_ms)
    for number in range(TIMERS_MAX):
        timer = wheel_take(&engine.wheel)
        if timer == NULL:
            return
        session_timer(engine, <Session *>timer)


cdef inline void free_ended(Engine *engine) noexcept nogil:
    """Free the sessions that ended in this turn; those still in the run list, after the next."""
    cdef Timer *timer = engine.dead
    cdef Timer *following
    engine.dead = NULL
    while timer != NULL:
        following = timer.next
        if (<Session *>timer).flags & QUEUED:
            timer.next = engine.dead
            engine.dead = timer
        else:
            pool_give(&engine.sessions, timer)
        timer = following


cdef inline void share_out(Engine *engine, const epoll_event *events, int found) noexcept nogil:
    """How much a session may move in this turn: a small answer must not wait for much of a bulk."""
    cdef uint64_t only = <uint64_t>engine.run_first
    cdef bint alone = engine.run_first == engine.run_last
    cdef int index
    for index in range(found):
        if only == 0:
            only = events[index].data.u64 & ~<uint64_t>TAG_MASK
        if only != events[index].data.u64 & ~<uint64_t>TAG_MASK:
            alone = False
            break
    engine.share = TURN_BYTES if alone else SHARE_BYTES


cdef inline void handle_events(Engine *engine, epoll_event *events, int found) noexcept nogil:
    """Sessions first: those that are open do not wait for new clients.

    Told to end at once, the relay takes none: others may listen there, or will.
    """
    cdef uint64_t word
    cdef int index
    cdef int listeners = 0
    for index in range(found):
        word = events[index].data.u64
        if word & LISTENER_TAG:
            listeners += 1
        elif word == 0:
            engine.review = engine.review or engine.waiting != 0
            limits_look(engine)
            ahead_look(engine)
        else:
            session_event(
                engine, <Session *>(word & ~<uint64_t>TAG_MASK), <int>(word & SIDE_MASK),
                events[index].events)
            waiters_hurry(engine)
    if listeners == 0 or load_acquire(&engine.process.command) == COMMAND_STOP:
        return
    engine.accepts = max(1, ACCEPT_BATCH // listeners)
    for index in range(found):
        word = events[index].data.u64
        if word & LISTENER_TAG:
            listener_event(engine, <Listener *>(word & ~<uint64_t>TAG_MASK))
            waiters_hurry(engine)


cdef inline bint over(Engine *engine) noexcept nogil:
    """Told to stop at once, or softly and the last session has ended and is answered for."""
    cdef uint32_t index
    if engine.command == COMMAND_STOP:
        return True
    if engine.command != COMMAND_SOFT_STOP or load_relaxed(&engine.counters.sessions) != 0:
        return False
    if engine.dump_open:
        return False
    for index in range(engine.listener_count):
        if engine.listeners[index].registered:
            return False
    return engine.stopping == NULL and engine.resume_ms == 0


cdef inline void count_turn(Engine *engine) noexcept nogil:
    count(&engine.counters.epoll_turns, 1)
    store_relaxed(&engine.counters.pipes_used, engine.pipes.used_count)
    store_relaxed(&engine.counters.pipes_free, engine.pipes.free_count)


cdef inline int engine_run(Engine *engine) noexcept nogil:
    """Serve until told to stop; 0, or the errno of a broken epoll set."""
    cdef epoll_event events[EVENTS_MAX]
    cdef Session *queued
    cdef int found
    engine.accepts = ACCEPT_BATCH
    read_clock(engine)
    wheel_start(&engine.wheel, engine.now_ms)
    if not bell_register(engine):
        return errno
    listeners_refresh(engine)
    while True:
        look_at_shared(engine)
        if over(engine):
            log_end(engine.log, engine.counters, engine.now_ms)
            return 0
        found = epoll_wait(engine.epoll, events, EVENTS_MAX, wait_ms(engine))
        if found < 0 and errno != EINTR:
            return errno
        read_clock(engine)
        share_out(engine, events, found)
        queued = take_queued(engine)
        handle_events(engine, events, found)
        run_queued(engine, queued)
        run_timers(engine)
        waiters_hurry(engine)
        sweep(engine)
        free_ended(engine)
        count_turn(engine)
        if engine.log.waiting:
            log_flush(engine.log, engine.counters, engine.now_ms)
        if engine.ring_resolverd:
            engine.ring_resolverd = False
            ring_bell(engine.resolverd_bell)
