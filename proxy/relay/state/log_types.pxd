# The structs of the access log: formats as arrays of small steps, targets, sinks, what is noted.
#
# All of it is private memory of one relay thread, made at load by log/compile.pyx, but for LogNote:
# one for each session whose frontend logs, from the engine's pool.

from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t
from proxy.relay.state.pool cimport Pool
from proxy.relay.state.syscalls cimport sockaddr_in6, sockaddr_storage, socklen_t
from proxy.rules.types cimport KERNEL_NUMBERS, Call, Ends, NameFacts
from shm.members cimport SERVER_NAME_BYTES_MAX

cdef enum:
    LOG_TEXT_BYTES = 65536  # of one line's text; `len` is at most 65,535
    LOG_BUFFER_BYTES = 262144  # of lines for one sink: what a receiver may be behind
    LOG_LINES_MAX = 2048  # in one sink
    LOG_BATCH = 64  # datagrams in one system call
    LOG_BATCHES = 4  # system calls for one sink in one turn, so that traffic is not held up
    LOG_PIPE_BYTES = 4096  # PIPE_BUF: what a pipe takes whole
    LOG_FLUSH_MS = 20  # lines that come more often wait for each other so long
    LOG_RETRY_MS = 100  # after a sink took nothing

cdef enum:  # LogFlag: how a value is written
    LOG_QUOTE = 1
    LOG_HEXADECIMAL = 2
    LOG_ESCAPE = 4

cdef enum:  # LogPhase: when a format has all that it wants
    LOG_AT_CONNECT = 0
    LOG_AT_END = 1

cdef enum:  # LogNeed: system calls that only some formats cost
    LOG_NEED_FRONT = 1  # the address that the client came to
    LOG_NEED_SOURCE = 2  # our address toward the server
    LOG_NEED_KERNEL = 4  # its measures of the client's connection
    LOG_NEED_ENDS = 8  # of the client's connection, where a PROXY header names others

cdef enum:  # SinkKind
    SINK_DATAGRAM = 0  # a syslog server
    SINK_STREAM = 1  # a socket given by number, or before the thread that writes to a file
    SINK_PIPE = 2  # a pipe or terminal given by number, opened anew so that it does not block

cdef enum:  # LogStyle
    STYLE_LOCAL = 0
    STYLE_RFC3164 = 1
    STYLE_RFC5424 = 2
    STYLE_RAW = 3
    STYLE_SHORT = 4
    STYLE_TIMED = 5
    STYLE_ISO = 6
    STYLE_PRIORITY = 7

cdef struct LogName:
    const char *bytes
    uint32_t length
    uint32_t id

cdef struct LogStep:
    uint32_t code  # LogCode (log/codes.pxd)
    uint32_t flags  # LogFlag
    LogName text  # of LOG_TEXT and constants; of a capture, its number
    const Call *call  # of LOG_VALUE
    uint32_t base  # LogCode that its converters begin with; LOG_TEXT: with the fetch

cdef struct LogSink:
    int fd
    int kind  # SinkKind
    sockaddr_storage address  # where to connect again; length 0: nowhere
    socklen_t address_length
    char *bytes  # LOG_BUFFER_BYTES: whole lines with their line ends
    uint32_t *ends  # LOG_LINES_MAX: where each line ends
    uint32_t lines
    uint32_t first  # that was not sent
    uint32_t start  # of what was not sent
    int64_t next_ms  # not before: when lines are sent again
    uint8_t refused  # a batch ended early: no receiver, or no room in the kernel

cdef struct LogTarget:
    LogSink *sink
    LogName tail  # of the header, behind the time
    int style  # LogStyle
    uint32_t facility
    uint32_t level_max
    uint32_t level_min
    uint32_t length_max  # bytes of a line
    uint8_t *sample  # which of each round are sent; NULL: all
    uint32_t sample_size
    uint32_t sample_at

cdef struct LogForm:
    LogStep *steps
    uint32_t count  # 0: there is none

cdef struct AccessLog:  # of one frontend
    LogForm line  # without one: a fixed line when the client comes
    LogForm structured  # data of RFC 5424 before each line
    LogForm failed  # of a client whose PROXY header does not come
    LogForm unique_id  # of each session
    LogTarget *targets
    uint32_t target_count
    LogName name  # of the frontend
    uint32_t phase  # LogPhase
    uint32_t needs  # LogNeed
    uint8_t skip_null
    uint8_t skip_normal
    uint8_t separate_errors
    uint8_t partial  # written before the end: totals get a '+'
    uint64_t lines  # written

cdef struct LogNote:  # what a session's line will tell and nothing else knows
    sockaddr_in6 client  # an IPv4 address takes its first part
    sockaddr_in6 front
    sockaddr_in6 source
    sockaddr_in6 server
    int64_t accepted_us  # wall clock
    int64_t assigned_ms  # a server was picked for it, the last time; -1: never
    int64_t connected_ms  # -1: never
    uint64_t number  # of the session
    uint64_t queued_server  # its place in the queue when it began to wait there
    uint64_t queued_backend
    uint8_t redispatched
    uint8_t written
    uint8_t asked  # KernelAnswer
    uint32_t kernel[KERNEL_NUMBERS]  # of the client's connection, when it was closed
    Ends ends  # of that connection, where they are needed
    char *unique_id  # NULL: nothing has asked for it
    uint32_t unique_id_length

cdef struct LogTime:  # one second in words
    int64_t second
    char syslog[16]  # Nov 20 08:15:00
    char iso[20]  # 2026-11-20T08:15:00
    char local[21]  # 20/Nov/2026:08:15:00
    char utc[21]
    char offset[7]  # +0100; of local time

cdef struct Log:
    LogSink *sinks
    uint32_t sink_count
    LogName *backends  # by index
    LogName *servers  # by slot
    LogName *listeners  # in the order of the engine's
    LogName host
    uint32_t pid  # of the main process
    const char *terminations  # two letters each
    uint8_t waiting  # lines are in a sink
    uint64_t taken  # sessions noted so far
    LogTime now
    LogTime accepted
    Pool notes
    char *text  # LOG_TEXT_BYTES: the line that is being written
    char *structured  # likewise, of the data before it
    uint32_t structured_length

# A name that a server got while the program runs, on its way from the main thread to the relay
# thread. The main thread makes it and hands it over in one pointer; the relay thread lets all that
# shows a name point to it, between two turns, and hands back the one that it has replaced. So no
# name goes while a line is written, and none changes between its bytes and its length.
cdef struct NewName:
    NewName *next  # handed over before it, or handed back before it
    NewName *former  # what the slot's server was renamed to before; NULL: nothing
    LogName *logged  # what shows it in lines of the log; NULL: nothing is logged
    NameFacts *ruled  # what rules see; NULL: none asks
    uint32_t slot
    uint32_t length
    uint64_t stuck  # as stick tables name it
    char bytes[SERVER_NAME_BYTES_MAX]
