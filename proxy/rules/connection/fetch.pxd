# Samples of a client's connection, of the sections that it has to do with, and of what these have
# to do (manual sections 7.3.2 to 7.3.4).

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from proxy.rules.codes cimport *
from proxy.rules.connection.beside cimport beside_fetch
from proxy.rules.connection.kernel cimport (
    connection_end_sample, end_sample, kernel_sample, local_sample)
from proxy.rules.connection.load cimport (
    average_queue, backend_free, bind_sessions, free_slots, server_free, server_weight,
    visible_weight)
from proxy.rules.moment cimport CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime, timespec
from proxy.rules.sample cimport set_number, set_text, set_truth
from proxy.rules.types cimport Call, Connection, Context, NameFacts, Sample, SectionFacts
from shm.atomics cimport load_acquire
from shm.layout cimport COMMAND_RUN
from shm.rates cimport SECOND_MS, rate_now
from shm.segment cimport View


cdef inline int64_t session_rate(
        const View *view, uint32_t index, bint of_frontend, int64_t now_ms) noexcept nogil:
    """Sessions of a section in the second that ends now, over all workers."""
    if of_frontend:
        return <int64_t>rate_now(&view.frontends_shared[1 + index].came[0], now_ms)
    return <int64_t>rate_now(&view.backends[index].came[0], now_ms)


cdef inline bint frontend_sample(
        const SectionFacts *facts, uint16_t what, Sample *sample) noexcept nogil:
    """What the configuration says of the frontend that the client came to."""
    if what == FETCH_FRONTEND_ID:
        return set_number(sample, facts.number)
    if what == FETCH_CLIENT_TIMEOUT:
        return set_number(sample, facts.client_ms)
    if what == FETCH_FRONTEND_NAME:
        set_text(sample, facts.name, facts.name_length)
        return True
    set_text(sample, facts.backend, facts.backend_length)
    return facts.backend_length != 0


cdef inline bint name_sample(
        const NameFacts *facts, bint number, Sample *sample) noexcept nogil:
    if number:
        return set_number(sample, facts.number)
    set_text(sample, facts.name, facts.length)
    return facts.length != 0


cdef inline bint section_sample(
        const Context *context, const Call *call, Sample *sample) noexcept nogil:
    """How much sections, servers and bind addresses have to do, and could do yet."""
    cdef const Connection *connection = &context.connection
    cdef uint32_t index = <uint32_t>call.numbers[0]
    cdef uint16_t what = call.fetch
    if context.view == NULL:
        return False
    if what == FETCH_BIND_SESSIONS:
        return set_number(sample, bind_sessions(context.view, connection.bind))
    if what == FETCH_FRONTEND_RATE or what == FETCH_BACKEND_RATE:
        return set_number(sample, session_rate(
            context.view, index, what == FETCH_FRONTEND_RATE, connection.now_ms))
    if what == FETCH_FREE_SLOTS:
        return set_number(sample, free_slots(context.view, connection.facts, index))
    if what == FETCH_BACKEND_FREE:
        return set_number(sample, backend_free(
            context.view, connection.facts, index, call.numbers[1] != 0))
    return set_number(sample, server_free(context.view, connection.facts, index))


cdef inline bint state_sample(
        const Context *context, const Call *call, Sample *sample) noexcept nogil:
    """What needs no connection."""
    cdef const View *view = context.view
    cdef uint32_t index = <uint32_t>call.numbers[0]
    cdef timespec now
    if call.fetch == FETCH_DATE_MICROSECONDS or view == NULL:
        clock_gettime(CLOCK_REALTIME, &now)
        return set_number(sample, now.tv_nsec // 1000) and call.fetch == FETCH_DATE_MICROSECONDS
    if call.fetch == FETCH_AVERAGE_QUEUE:
        return set_number(sample, average_queue(view, index, call.numbers[1] != 0))
    if call.fetch == FETCH_STOPPING:  # the workers of a generation stop together
        return set_truth(sample, load_acquire(&view.processes[0].command) != COMMAND_RUN)
    if call.fetch == FETCH_INITIAL_WEIGHT:
        return set_number(sample, view.statics[index].weight)
    if call.fetch == FETCH_VISIBLE_WEIGHT:
        return set_number(sample, visible_weight(view, index))
    clock_gettime(CLOCK_MONOTONIC, &now)
    return set_number(sample, server_weight(
        view, index, now.tv_sec * SECOND_MS + now.tv_nsec // 1_000_000))


cdef inline bint further_fetch(
        const Context *context, const Call *call, Sample *sample) noexcept nogil:
    """A sample of the connection, or beside it; False: there is none."""
    # the kernel's answer is kept there, and belongs to this look
    cdef Connection *connection = <Connection *>&context.connection
    cdef uint16_t what = call.fetch
    if what >= FETCH_BESIDE:
        return beside_fetch(context, call, sample)
    if what >= FETCH_AVERAGE_QUEUE:
        return state_sample(context, call, sample)
    if connection.facts == NULL:
        return False
    if what <= FETCH_REORDERING:
        return kernel_sample(connection, call, sample)
    if what == FETCH_CLIENT_IS_LOCAL:
        return local_sample(context.client_family, context.client, sample)
    if what == FETCH_FRONT_IS_LOCAL:
        return local_sample(context.front_family, context.front, sample)
    if what == FETCH_HEADED:
        return set_truth(sample, connection.headed)
    if FETCH_FRONTEND_ID <= what <= FETCH_CLIENT_TIMEOUT:
        return frontend_sample(&connection.facts.frontends[connection.frontend], what, sample)
    if what == FETCH_BIND_ID or what == FETCH_BIND_NAME:
        return name_sample(
            &connection.facts.binds[connection.bind], what == FETCH_BIND_ID, sample)
    if what == FETCH_WORKER:
        return set_number(sample, connection.worker)
    if what == FETCH_SERVER_ID or what == FETCH_SERVER_NAME:
        return connection.server_fd >= 0 and name_sample(
            &connection.facts.server_names[connection.slot], what == FETCH_SERVER_ID, sample)
    if FETCH_SERVER_END <= what <= FETCH_SERVER_PEER_PORT:
        return connection.server_fd >= 0 and end_sample(
            connection.server_fd, what >= FETCH_SERVER_PEER,
            what == FETCH_SERVER_END_PORT or what == FETCH_SERVER_PEER_PORT, sample)
    if FETCH_CLIENT_END <= what <= FETCH_CLIENT_PEER_LOCAL:
        return connection_end_sample(context, what, sample)
    return section_sample(context, call, sample)
