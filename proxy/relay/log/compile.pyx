"""The access log's C structs, made of the settings: formats to steps, targets, sinks, names.

Owns that memory and the correspondence of a format's names with the steps of codes.pxd. What
happens with it is session.pxd, line.pxd and sinks.pxd; the sockets are opened before any
fork (proxy/log_sockets.py).
"""

from collections.abc import Iterator
import os
import socket
import stat
from typing import NamedTuple

from libc.stdint cimport uint32_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from proxy.relay.log.codes cimport *
from proxy.relay.state.log_types cimport (
    LOG_AT_CONNECT, LOG_AT_END, LOG_BUFFER_BYTES, LOG_ESCAPE, LOG_HEXADECIMAL, LOG_LINES_MAX,
    LOG_NEED_ENDS, LOG_NEED_FRONT, LOG_NEED_KERNEL, LOG_NEED_SOURCE, LOG_QUOTE, LOG_TEXT_BYTES,
    SINK_DATAGRAM, SINK_PIPE, SINK_STREAM, STYLE_ISO, STYLE_LOCAL, STYLE_PRIORITY, STYLE_RAW,
    STYLE_RFC3164, STYLE_RFC5424, STYLE_SHORT, STYLE_TIMED, AccessLog, LogForm, LogName, LogNote,
    LogSink, LogStep, LogTarget)
from proxy.relay.state.pool cimport pool_init
from proxy.rules.program cimport Phrases

from proxy.config.model.settings import SocketFamily
from proxy.log_sockets import endpoint_of, packed_address
from proxy.relay.state.termination import CODES, Termination

STYLES = {
    "local": STYLE_LOCAL, "rfc3164": STYLE_RFC3164, "rfc5424": STYLE_RFC5424, "raw": STYLE_RAW,
    "short": STYLE_SHORT, "timed": STYLE_TIMED, "iso": STYLE_ISO, "priority": STYLE_PRIORITY,
}
OF_THE_FRONT = frozenset({"dst", "dst_port", "dst_is_local"})
OF_THE_KERNEL = frozenset({
    "fc_rtt", "fc_rttvar", "fc_unacked", "fc_sacked", "fc_retrans", "fc_fackets", "fc_lost",
    "fc_reordering"})
OF_ENDS = frozenset({
    "fc_src", "fc_src_port", "fc_src_is_local", "fc_dst", "fc_dst_port", "fc_dst_is_local"})
TAIL_BYTES_MAX = 400  # of a header: host, tag and pid; longer ones are cut
# What a format can name: the step, and whether it is known only at the end of the session.
STEPS = {
    "B": (LOG_BYTES_OUT, True), "U": (LOG_BYTES_IN, True), "t": (LOG_DATE, False),
    "T": (LOG_DATE_UTC, False), "Tl": (LOG_DATE_LOCAL, False), "Ts": (LOG_SECONDS, False),
    "ms": (LOG_MILLISECONDS, False), "Tw": (LOG_TIME_QUEUE, True), "Tc": (LOG_TIME_CONNECT, True),
    "Td": (LOG_TIME_DATA, True), "Tt": (LOG_TIME_TOTAL, True), "Tu": (LOG_TIME_USER, True),
    "ci": (LOG_CLIENT_ADDRESS, False), "cp": (LOG_CLIENT_PORT, False),
    "fi": (LOG_FRONT_ADDRESS, False), "fp": (LOG_FRONT_PORT, False),
    "bi": (LOG_SOURCE_ADDRESS, False), "bp": (LOG_SOURCE_PORT, False),
    "si": (LOG_SERVER_ADDRESS, False), "sp": (LOG_SERVER_PORT, False), "b": (LOG_BACKEND, False),
    "s": (LOG_SERVER, False), "ts": (LOG_STATE, True), "tsc": (LOG_STATE_LONG, False),
    "ac": (LOG_PROCESS_SESSIONS, True), "fc": (LOG_FRONTEND_SESSIONS, True),
    "bc": (LOG_BACKEND_SESSIONS, True), "sc": (LOG_SERVER_SESSIONS, True),
    "rc": (LOG_RETRIES, True), "sq": (LOG_QUEUE_SERVER, True), "bq": (LOG_QUEUE_BACKEND, True),
    "lc": (LOG_LINE_NUMBER, False), "rt": (LOG_SESSION_NUMBER, False), "pid": (LOG_PID, False),
    "src": (LOG_FETCH_CLIENT_ADDRESS, False), "src_port": (LOG_FETCH_CLIENT_PORT, False),
    "dst": (LOG_FETCH_FRONT_ADDRESS, False), "dst_port": (LOG_FETCH_FRONT_PORT, False),
    "be_name": (LOG_BACKEND, False), "be_id": (LOG_BACKEND_ID, False),
    "srv_name": (LOG_FETCH_SERVER, False), "srv_id": (LOG_SERVER_ID, False),
    "so_name": (LOG_LISTENER, False), "so_id": (LOG_LISTENER_ID, False),
    "bc_src": (LOG_SOURCE_ADDRESS, False), "bc_src_port": (LOG_SOURCE_PORT, False),
    "bc_dst": (LOG_SERVER_ADDRESS, False), "bc_dst_port": (LOG_SERVER_PORT, False),
    "ID": (LOG_UNIQUE_ID, True),
}
AT_END = {"Th"}  # a constant here, but HAProxy waits for the end with it
NEEDS = {
    **dict.fromkeys((LOG_FRONT_ADDRESS, LOG_FRONT_PORT), LOG_NEED_FRONT),
    **dict.fromkeys((LOG_FETCH_FRONT_ADDRESS, LOG_FETCH_FRONT_PORT), LOG_NEED_FRONT),
    **dict.fromkeys((LOG_SOURCE_ADDRESS, LOG_SOURCE_PORT), LOG_NEED_SOURCE),
}


cdef void *zeroed(size_t number, size_t size) except NULL:
    cdef void *found = calloc(max(number, <size_t>1), size)
    if found == NULL:
        raise MemoryError("access log")
    return found


cdef bytes put_name(LogName *name, object named):
    """Give a name to a server or a backend; its bytes, which are there as long as it has it."""
    cdef bytes text = encoded(named.name)
    name.bytes = text
    name.length = len(text)
    name.id = named.id
    return text


def constant_of(item, proxy, host: str) -> str | None:
    """The value of a format's name where the configuration gives it; None where a session does."""
    return {
        "constant": item.text, "f": proxy.name, "ft": proxy.name, "fe_name": proxy.name,
        "fe_id": str(proxy.id), "H": host, "hostname": host, "sslc": "", "sslv": "",
    }.get(item.name)


def plain_of(item) -> str | None:
    """The text of a format's name that no flag changes; None for all others."""
    return {
        "text": item.text, "ST": "0", "Th": "0", "hr": "", "hrl": "", "hs": "", "hsl": "",
    }.get(item.name)


class LineStep(NamedTuple):
    """One step of a format."""

    code: int
    flags: int = 0
    text: bytes = b""
    number: int = 0  # of a capture
    base: int = LOG_TEXT  # of a value
    value: object = None


def capture_steps(item, flags: int) -> Iterator[LineStep]:
    """`%hr`, whose quotes are around all, or `%hrl`, where each capture has its own."""
    listed = item.name == "hrl"
    quote = "" if listed or not item.quote else '"'
    for place, number in enumerate(item.captures):
        between = " " if listed else "|"
        before = between if place else "" if listed else quote + "{"
        yield LineStep(LOG_TEXT, text=before.encode())
        yield LineStep(LOG_CAPTURE_ALONE if listed else LOG_CAPTURE, flags, number=number)
    if item.captures and not listed:
        yield LineStep(LOG_TEXT, text=b"}" + quote.encode())


def steps_of(item, proxy, host: str) -> Iterator[LineStep]:
    """The steps of one item."""
    flags = LOG_QUOTE * item.quote | LOG_HEXADECIMAL * item.hexadecimal | LOG_ESCAPE * item.escape
    plain, constant = plain_of(item), constant_of(item, proxy, host)
    if item.captures:
        yield from capture_steps(item, flags)
    elif plain is not None:
        yield LineStep(LOG_TEXT, text=encoded(plain))
    elif item.value is not None:
        base = LOG_CONSTANT if constant is not None else STEPS.get(item.name, (LOG_TEXT,))[0]
        yield LineStep(LOG_VALUE, flags, encoded(constant or ""), base=base, value=item.value)
    elif constant is not None:
        yield LineStep(LOG_CONSTANT, flags, encoded(constant))
    else:
        yield LineStep(STEPS[item.name][0], flags)


def compile_steps(items, proxy, host: str) -> list[LineStep]:
    """The steps of a format; neighbouring texts are one."""
    steps = []
    for step in (step for item in items for step in steps_of(item, proxy, host)):
        if step.code == LOG_TEXT and steps and steps[len(steps) - 1].code == LOG_TEXT:
            step = step._replace(text=steps.pop().text + step.text)  # no negative index compiles
        steps.append(step)
    return steps


def encoded(text: str) -> bytes:
    """Text of the configuration as it was in the file; a line break would end the line."""
    return text.encode(errors="surrogateescape").replace(b"\n", b" ").replace(b"\0", b" ")


def header_tail(style: str, tag: str, host: str | None, pid: int) -> str:
    """What stands between the time and the text of a line."""
    if style == "rfc5424":
        return f" {host or '-'} {tag} {pid} - "  # the structured data follow
    if style == "rfc3164":
        return f" {host or 'localhost'} {tag}[{pid}]: "
    return f" {tag}[{pid}]: " if style == "local" else " "


cdef class AccessLogs:
    """The access logs of one worker's frontends.

    Raises MemoryError, ValueError for a target without a socket.
    """

    def __cinit__(self, *_):
        memset(&self.log, 0, sizeof(self.log))

    def __init__(self, runtime) -> None:
        settings = runtime.settings
        frontends = settings.frontends
        self.kept = []
        self.servers = {}
        self.backends = {}
        self.count = len(frontends)
        self.accesses = <AccessLog *>zeroed(self.count, sizeof(AccessLog))
        if all(proxy.access_log is None for proxy in frontends):
            return
        self.log.pid = runtime.main_pid
        self.log.text = <char *>zeroed(LOG_TEXT_BYTES, 1)
        self.log.structured = <char *>zeroed(LOG_TEXT_BYTES, 1)
        self.log.now.second = -1
        self.log.accepted.second = -1
        pool_init(&self.log.notes, sizeof(LogNote))
        values = [
            item.value for proxy in frontends if proxy.access_log is not None
            for item in proxy.access_log.every if item.value is not None]
        self.phrases = Phrases(runtime.segment, values, (), runtime.every_list)
        self.set_names(runtime, [listener.bind for listener in runtime.listeners])
        self.set_sinks(settings, runtime.log_sockets)
        for index, proxy in enumerate(frontends):
            if proxy.access_log is not None:
                self.set_access(&self.accesses[<size_t>index], proxy)
                self.set_targets(
                    &self.accesses[<size_t>index], proxy.access_log, settings.globals.log_host)

    cdef AccessLog *of(self, size_t frontend):
        """How a frontend's connections are logged; NULL: nothing is noted of them."""
        cdef AccessLog *access = &self.accesses[frontend]
        return access if access.target_count or access.unique_id.count else NULL

    cdef LogName name(self, bytes text, uint32_t number):
        cdef LogName found
        self.kept.append(text)
        found.bytes = text
        found.length = len(text)
        found.id = number
        return found

    cdef int set_server(self, object server) except -1:
        """The name of a server, in place of the one that its slot had."""
        if self.log.servers != NULL:  # else nothing is logged
            self.servers[server.slot] = put_name(&self.log.servers[<size_t>server.slot], server)
        return 0

    cdef int set_backend(self, object proxy) except -1:
        """The name of a backend, in place of the one that it had."""
        cdef size_t index = proxy.backend_index
        if self.log.backends != NULL:
            self.backends[index] = put_name(&self.log.backends[index], proxy)
        return 0

    cdef int set_names(self, object runtime, object listeners) except -1:
        cdef bytes states = b"".join(CODES[state].encode() for state in Termination)
        self.kept.append(states)
        self.log.terminations = states
        backends = runtime.servers.backends
        self.log.backends = <LogName *>zeroed(len(backends), sizeof(LogName))
        for proxy in backends:
            self.set_backend(proxy)
        self.log.servers = <LogName *>zeroed(runtime.segment.shape.slots, sizeof(LogName))
        for server in runtime.servers:
            self.set_server(server)
        self.log.listeners = <LogName *>zeroed(len(listeners), sizeof(LogName))
        for number, bind in enumerate(listeners):
            self.log.listeners[<size_t>number] = self.name(encoded(bind.name or ""), bind.id)
        return 0

    cdef int set_sinks(self, object settings, object sockets) except -1:
        cdef LogSink *sink
        cdef bytes address
        self.log.sinks = <LogSink *>zeroed(len(sockets), sizeof(LogSink))
        self.log.sink_count = len(sockets)
        for number, (endpoint, descriptor) in enumerate(sockets.items()):
            sink = &self.log.sinks[<size_t>number]
            sink.fd = descriptor
            sink.bytes = <char *>zeroed(LOG_BUFFER_BYTES, 1)
            sink.ends = <uint32_t *>zeroed(LOG_LINES_MAX, sizeof(uint32_t))
            if endpoint.family is SocketFamily.DESCRIPTOR:
                mode = os.fstat(descriptor).st_mode
                sink.kind = SINK_STREAM if stat.S_ISSOCK(mode) else SINK_PIPE
                continue
            sink.kind = SINK_DATAGRAM
            address = packed_address(endpoint)
            memcpy(&sink.address, <char *>address, len(address))
            sink.address_length = len(address)
        self.order = list(sockets)
        return 0

    cdef int set_access(self, AccessLog *access, object proxy) except -1:
        wanted = proxy.access_log
        told = (*wanted.items, *wanted.structured)
        late = any(STEPS.get(item.name, (0, item.name in AT_END))[1] for item in told)
        access.name = self.name(encoded(proxy.name), proxy.id)
        access.phase = LOG_AT_END if late and not wanted.as_soon else LOG_AT_CONNECT
        access.skip_null = wanted.skip_null
        access.skip_normal = wanted.skip_normal
        access.separate_errors = wanted.separate_errors
        access.partial = wanted.as_soon
        access.needs = 0 if wanted.items else LOG_NEED_FRONT
        self.set_form(access, &access.line, wanted.items, proxy)
        self.set_form(access, &access.structured, wanted.structured, proxy)
        self.set_form(access, &access.failed, wanted.failed, proxy)
        self.set_form(access, &access.unique_id, wanted.unique_id, proxy)
        return 0

    cdef int set_form(
            self, AccessLog *access, LogForm *target, object items, object proxy) except -1:
        """Fill the steps of one format, and note what they need."""
        cdef LogStep *step
        steps = compile_steps(items, proxy, socket.gethostname())
        target.steps = <LogStep *>zeroed(len(steps), sizeof(LogStep))
        target.count = len(steps)
        for number, found in enumerate(steps):
            step = &target.steps[<size_t>number]
            step.code = found.code
            step.flags = found.flags
            step.text = self.name(found.text, found.number)
            step.base = found.base
            access.needs |= <uint32_t>NEEDS.get(found.base or found.code, 0)
            if found.value is not None:
                step.call = self.phrases.add(found.value)
                fetch = found.value.fetch
                access.needs |= LOG_NEED_FRONT * (fetch in OF_THE_FRONT)
                access.needs |= LOG_NEED_KERNEL * (fetch in OF_THE_KERNEL)
                access.needs |= LOG_NEED_ENDS * (fetch in OF_ENDS)
        return 0

    cdef int set_targets(self, AccessLog *access, object wanted, object host) except -1:
        cdef LogTarget *target
        name = host or (socket.gethostname() if host is not None else None)
        access.targets = <LogTarget *>zeroed(len(wanted.targets), sizeof(LogTarget))
        access.target_count = len(wanted.targets)
        for number, line in enumerate(wanted.targets):
            target = &access.targets[<size_t>number]
            tail = encoded(header_tail(line.format, wanted.tag, name, self.log.pid))
            target.sink = &self.log.sinks[<size_t>self.order.index(endpoint_of(line))]
            target.tail = self.name(tail[:TAIL_BYTES_MAX], 0)
            target.style = STYLES[line.format]
            target.facility = line.facility
            target.level_max = line.max_level
            target.level_min = line.min_level
            target.length_max = line.length_max
            target.sample_size = len(line.sample)
            if line.sample:
                target.sample = <uint8_t *>zeroed(len(line.sample), 1)
                for at, sent in enumerate(line.sample):
                    target.sample[<size_t>at] = sent
        return 0

    def __dealloc__(self):
        cdef size_t index, at
        for index in range(self.log.sink_count):
            free(self.log.sinks[index].bytes)
            free(self.log.sinks[index].ends)
        for index in range(self.count):
            for at in range(self.accesses[index].target_count):
                free(self.accesses[index].targets[at].sample)
            free(self.accesses[index].targets)
            free(self.accesses[index].line.steps)
            free(self.accesses[index].structured.steps)
            free(self.accesses[index].failed.steps)
            free(self.accesses[index].unique_id.steps)
        free(self.accesses)
        free(self.log.sinks)
        free(self.log.backends)
        free(self.log.servers)
        free(self.log.listeners)
        free(self.log.structured)
        free(self.log.text)
