# The layout of the segment: its areas, and the structs that belong to all processes.
#
# Each struct is declared once, with its byte map: here; in records.pxd the records of servers, in
# rows.pxd the counters of workers, in resolution_records.pxd the records of resolverd, in
# dumps.pxd those of session dumps.
#
# The segment is one sealed memfd, inherited by every child at fork. Areas follow one another, each
# on a page of its own; `Header.offsets` has their offsets (segment.pyx computes them):
#
#   HEADER       1 x Header                    supervisor, but for the shared word it names
#   PROCESSES    processes x Process           a line of the supervisor, a line of the process
#   OWNERS       sockets x u32                 supervisor: the worker that serves a socket,
#                                              and whether it will be closed
#   STATICS      slots x SlotStatic            supervisor, before the first fork
#   BACKENDS     backends x BackendShared      shared words (fetch_add by any process)
#   HINTS        slots x i64                   shared words: sessions of a slot, for leastconn;
#                + blocks x u64                behind them how often those of each block changed
#   SLOTS        slots x Latch(SlotRecord)     resolverd (supervisor before the first fork)
#   ADMINS       slots x Latch(AdminRecord)    control (likewise)
#   HEALTH       slots x Latch(HealthRecord)   the process that checks it (likewise): its worker, or
#                                              the runner where the check is a program
#   REQUESTS     workers x slots x Request     the worker of the row
#   ROWS         (workers + 1) x one row       the worker of the row; the last: carried over
#   NAMESERVERS  nameservers x NameserverCounters   resolverd
#   RESOLUTIONS  resolutions x ResolutionRecord     resolverd
#   TARGETS      slots x NameLatch(NameRecord) resolverd (supervisor before the first fork)
#   NAME_ORDERS  slots x NameLatch(NameRecord) control (likewise)
#   MAILBOX      1 x Mailbox                   a question of control's, an answer of resolverd's
#   NAMESERVER_NAMES  nameservers x NameLatch(NameRecord) resolverd (as TARGETS)
#   SECTIONS     sections x SectionHistograms  resolverd (supervisor before the first fork)
#   JOURNAL      1 x Journal                   shared words: the slots that changed last
#   TURNS        (1 + binds) x u64             shared words: the turn of the stopped listener served
#                                              last; for each bind, the one drawn last
#   CHECK_TEXTS  slots x NameLatch(NameRecord) the process that checks it
#   AGENTS       agents x Agent                the process that checks the server, but for the latch
#                                              of control's (supervisor before the first fork)
#   DUMPS        workers x SessionDump         a question of control's, an answer of its relay
#   CLIENT_ORDERS  (1 + frontends) x ClientOrders   control: of the process, then of frontends
#   MEMBERS      1 x MembersHeader, slots x u64     control: which servers came and went since the
#   MEMBER_LINES slots x MemberLine            start, and what they are (members.pxd)
#   VARIABLES    1 x VariablesHeader           the supervisor, control
#                + variables x VariableCell    shared words; the names are control's
#                + (2 x workers + 3) x variables x 2 VariableCopy   the process of the row
#   HISTORY      words                         control: the last 15 minutes (history.pxd)
#   PLACES       blocks x u64                  shared words: how many places of a block came free
#   SHARED       slots x ServerShared, (1 + frontends) x FrontendShared, binds x Waited
#                                              shared words: who waits for a certain server, and
#                                              whose listeners a limit has stopped: of the process,
#                                              of frontends, of bind addresses; and sessions by
#                                              second (rates.pxd)
#
# Shared words are the only ones that more than one process writes, all by fetch_add, and all
# correct without repair when a writer dies: Header.table_generation, BackendShared.tickets,
# BackendShared.generation, BackendShared.queue_tickets, PLACES, Journal.head (an entry is written
# by the process that drew its position; until then readers read every slot). TURNS only grow, by
# compare and exchange. Counts by second are changed likewise (rates.pxd). HINTS are approximate:
# the supervisor subtracts the share that a dead worker's row names, and mends a hint that the
# worker was changing (hint_step in segment.pxd, mend_hints in counters.pyx); a block's word is
# bumped after its hint. Each bit of a Waited has one writer: a worker, and the supervisor after its
# death. BackendShared.freed is a hint that any worker stores. A VariableCell.current is changed by
# compare and exchange (variables.pxd). Header.orders_generation and BackendShared.limited have one
# writer at a time: the supervisor before the first fork, then control.
#
# Beside the segment there are the gauges (gauges.pxd): memory that generations share.
#
# Process order: workers 0..N-1, then resolverd (N), then control (N + 1), then the runner (N + 2),
# where there is one.
# All times are CLOCK_MONOTONIC in milliseconds unless the name says otherwise.

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef enum:
    OWNER_CLOSES = 0x80000000  # in the owner's word of a socket

cdef enum:
    LAYOUT_VERSION = 23
    AREAS = 30
    HINT_BLOCK_SLOTS = 64  # neighbouring hints with one word that counts their changes
    WAITED_WORDS = 4  # a bit for each worker: WORKERS_MAX of shape.py
    PLACE_BLOCK_SLOTS = HINT_BLOCK_SLOTS  # likewise, for places that were given back
    JOURNAL_ENTRIES = 8_192  # 64 KiB; a reader that is further behind reads every slot
    PAGE = 4096

cdef enum:  # Area
    AREA_HEADER = 0
    AREA_PROCESSES = 1
    AREA_OWNERS = 2
    AREA_STATICS = 3
    AREA_BACKENDS = 4
    AREA_HINTS = 5
    AREA_SLOTS = 6
    AREA_ADMINS = 7
    AREA_HEALTH = 8
    AREA_REQUESTS = 9
    AREA_ROWS = 10
    AREA_NAMESERVERS = 11
    AREA_RESOLUTIONS = 12
    AREA_TARGETS = 13
    AREA_NAME_ORDERS = 14
    AREA_MAILBOX = 15
    AREA_NAMESERVER_NAMES = 16
    AREA_SECTIONS = 17
    AREA_JOURNAL = 18
    AREA_TURNS = 19
    AREA_CHECK_TEXTS = 20
    AREA_AGENTS = 21
    AREA_DUMPS = 22
    AREA_CLIENT_ORDERS = 23
    AREA_MEMBERS = 24
    AREA_MEMBER_LINES = 25
    AREA_VARIABLES = 26
    AREA_HISTORY = 27
    AREA_PLACES = 28
    AREA_SHARED = 29

cdef enum:  # ProcessCommand
    COMMAND_RUN = 0
    COMMAND_SOFT_STOP = 1  # accept until EAGAIN, then only finish what is open
    COMMAND_STOP = 2
    COMMAND_WAIT = 3  # at the gate
    COMMAND_RETIRE = 4  # control: let a successor write

cdef struct Header:
    uint64_t magic
    uint64_t size  # bytes, the whole segment
    uint32_t slots
    uint32_t backends
    uint32_t frontends
    uint32_t workers
    uint32_t sockets
    uint32_t nameservers
    uint32_t resolutions
    uint32_t reload_generation  # 1 for the first configuration, +1 for each reload
    int64_t created_ms
    uint64_t offsets[AREAS]  # bytes from the start of the segment
    uint64_t row_bytes  # stride of ROWS
    uint64_t orders_generation  # +1 after each order of a name, by control
    int64_t created_unix_s  # the same time by CLOCK_REALTIME
    int64_t stopping_ms  # when its workers were told to finish; 0: they serve
    int64_t hard_stop_ms  # when they will be ended; 0: never
    uint64_t reload_number  # of the reload that made it, with those that failed; 0: none did
    uint64_t reloads_tried  # until now: as of the generation in force
    uint64_t reloads_failed  # of these, since the last that was done
    uint64_t reload_failures  # reloads that failed since the program began
    uint64_t reload_failed_unix_s  # the last reload, if it failed (CLOCK_REALTIME); else 0
    uint32_t variables  # of the program, with room for more
    uint32_t spare_half
    uint64_t table_generation  # shared word: +1 after each change of any slot record
    uint64_t alone[6]  # so that the busiest word has a cache line of its own
    uint64_t version  # LAYOUT_VERSION, stored last: the segment is ready

cdef struct Process:
    # one cache line written by the supervisor
    uint64_t pid  # 0: not running
    uint64_t command  # ProcessCommand
    uint64_t started_ms
    uint64_t restarts
    uint64_t gauges_row  # of a worker (gauges.pxd)
    uint64_t supervisor_spare[3]
    # one cache line written by the process
    uint64_t state  # ProcessState (states.py): only Python reads it
    uint64_t main_beat_ms  # the event loop's heartbeat
    uint64_t relay_beat_ms  # the relay thread's; 0 in all others than workers
    uint64_t generation_seen  # table_generation at the relay's last look
    uint64_t late_checks  # of the runner: checks that had to wait for a place
    uint64_t applied  # the last change of members that it goes by (members.pxd)
    uint64_t left  # of a worker that was told to finish: 1 once it accepts no clients
    uint64_t process_spare

cdef struct Waited:  # which workers may have published a ticket of some queue
    uint64_t workers[WAITED_WORDS]

cdef struct BackendShared:
    # a line that all read and hardly anybody writes
    uint64_t generation  # shared word: +1 after each change of a slot of this backend
    uint32_t first_slot
    uint32_t slots  # in use from there on, or once; control's word after the first fork
    uint64_t limited  # 1: a server of it has a maxconn, or had one
    uint32_t room  # slots that it has, spare ones included
    uint32_t spare_word
    uint64_t sessions_seen  # shared word: of all workers, a moment ago (sums.pxd)
    uint64_t unpublished  # 1: no rule and no default leads there; control's word
    uint64_t spare[2]
    # a line that every session writes which takes a turn
    uint64_t tickets  # shared word: the next position of the round robin
    uint64_t came[2]  # shared words: sessions by second (rates.pxd); counted where a rule asks
    uint64_t alone[5]
    # a line of those that wait
    uint64_t queue_tickets  # shared word: the last ticket drawn by a queued session
    uint64_t freed  # the slot, + 1, of which a place came free last while one waited; any process's
    Waited waited  # shared words: for any server of it
    uint64_t alone_too[2]

cdef struct ServerShared:
    Waited waited  # for this server and no other
    uint64_t errors_in_row  # shared word: failed connects since the last success (observe)
    uint64_t sessions_seen  # as of a backend
    uint64_t came[2]  # likewise

cdef struct FrontendShared:  # or of the process
    Waited places  # who has listeners stopped at its maxconn
    Waited rate  # and at its rate
    uint64_t sessions_seen  # as of a backend
    uint64_t ahead_asked  # of the process: +1 when a worker wants places that others took ahead
    uint64_t came[2]  # as of a backend
    uint64_t alone[4]
    # a line that is written for each client where the rate is limited
    uint64_t passed[2]  # shared words: sessions that were let in, by second (rates.pxd)
    uint64_t alone_too[6]

cdef struct ClientOrders:  # what an operator has ordered of how clients get in
    # a limit is its number + 1; 0: as configured
    uint64_t generation  # in the first record only: +1 after each change of any record
    uint64_t maxconn
    uint64_t accept_rate  # the lower one of the next two
    uint64_t connection_rate
    uint64_t session_rate
    uint64_t state  # of a frontend: FrontendState (client_orders.pyx)
    uint64_t spare[2]

cdef struct Request:
    # written by the relay thread
    uint64_t client_timeouts  # connects of clients' sessions that timed out
    uint64_t client_refusals
    uint64_t client_began_ms  # beginning of the last attempt that timed out
    # written by the main thread
    uint64_t check_timeouts
    uint64_t check_refusals
    uint64_t check_began_ms
    uint64_t spare[2]

cdef struct Journal:
    uint64_t head  # shared word: +1 for each change
    uint64_t alone[7]  # a cache line of its own
    uint64_t entries[JOURNAL_ENTRIES]  # by position: it + 1 (high half), and the slot
