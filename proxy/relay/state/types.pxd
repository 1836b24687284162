# The relay's own structs: one worker's engine, its sessions and what they refer to.
#
# All of this is private memory of one relay thread; only `Backend.delivered`, `new_names` and
# `old_names` are shared with the main thread of the same worker, and only by atomic exchange. What
# others see is in the segment (shm/layout.pxd). server_types.pxd has servers, log_types.pxd logs.

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t, uint8_t

from proxy.relay.state.log_types cimport AccessLog, Log, LogNote, NewName
from proxy.relay.state.pipes cimport Pipe, PipePool
from proxy.relay.state.pool cimport Pool
from proxy.relay.state.rule_types cimport BackendRules, FrontendRules, Judge, Rule
from proxy.relay.state.server_types cimport (
    FullBlocks, LeastBlock, Outgoing, Rota, Schedule, ServerCache)
from proxy.relay.state.syscalls cimport sockaddr_in6
from proxy.relay.state.table_types cimport Sticky, Stores
from proxy.relay.state.wheel cimport Timer, Wheel
from proxy.rules.types cimport Ends, HeaderFields, Tracks, Variables
from shm.dumps cimport DumpQuestion
from shm.layout cimport BackendShared, Process, Waited
from shm.rows cimport BackendCounters, FrontendCounters, ServerCounters, WorkerCounters
from shm.segment cimport View
from shm.tables.layout cimport Table

cdef enum:
    TERMINATIONS = 27  # how many `Termination` names
    SCRATCH_BYTES = 65536  # one receive at most, and the most that a stalled direction owns
    TURN_BYTES = 1048576  # moved for one direction in a turn in which no other session has work
    SHARE_BYTES = 262144  # moved for one direction in a turn of several: a pipe's fill
    ACCEPT_BATCH = 64  # connections taken from all listeners before other events have their turn
    EVENTS_MAX = 256
    EPOLL_WAIT_MAX_MS = 1000  # the heartbeat's period when nothing happens
    OVERLOAD_PAUSE_MS = 100  # after EMFILE and its kin, and of sweeps: thrice in LIFELESS_MS
    RETRIES_MAX = 65534  # `retries` beyond it end there: after 18 hours of refusals
    RATE_PAUSE_MS = 10  # between two looks whether a limited rate lets clients in again

cdef enum:  # Side index
    CLIENT = 0
    SERVER = 1

cdef enum:  # SideFlag
    READABLE = 1  # a receive may give something
    WRITABLE = 2  # a send may take something
    CONFIRM = 4  # PRI, RDHUP, HUP or ERR was seen: a short read does not mean drained
    ENDED_READING = 8  # recv() returned 0 or an error: nothing more comes from this side
    FAILED = 16  # it was an error, not a FIN
    BROKEN = 32  # a send failed: nothing more goes to this side
    FIN_SENT = 64  # shut down for writing
    NODELAY = 128  # TCP_NODELAY is set
    SENT = 256  # a small first send went without it
    OUTPUT_WATCHED = 1024  # registered for EPOLLOUT too
    DEAF = 512  # its time-out counted as its FIN: what it still sends is not read
    ACKS_LATE = 4096  # TCP_QUICKACK is off, until its first bytes have come
    RESETS = 2048  # its connection ends by a reset (option nolinger)
    FINISHED = 8 | 16 | 32  # any of these: the session has to be settled

cdef enum:  # SessionState; session/session.pxd has the transitions
    STATE_HEADER = 0  # until the PROXY header is there
    STATE_ACCEPTED = 1  # a moment for the client's first bytes
    STATE_INSPECTING = 2  # until rules have the bytes that they look at
    STATE_CONNECTING = 3
    STATE_WAITING = 4  # turn-around time before the same server is tried again
    STATE_QUEUED = 5  # until a server has a place
    STATE_RELAYING = 6
    STATE_CLIENT_FINISHED = 7  # the client's FIN went to the server
    STATE_SERVER_FINISHED = 8
    STATE_ENDED = 9
    STATES = 10

cdef enum:  # SessionFlag
    QUEUED = 1  # in the run list
    ASSIGNED = 2  # counted for its server
    SPLICE = 4  # splicing is allowed
    CONNECTED = 8
    AWAY = 32  # its connection leads to an address that its server has no longer
    HEADED = 64  # it begins with a PROXY header
    JUDGED_LATER = 128  # rules wait for its server's first bytes, which are held
    EARLY_OWED = 16  # its first bytes came while it had no server: they count for the next one

cdef enum:  # Termination; termination.py names them
    TERMINATION_NORMAL = 0
    TERMINATION_CLIENT_ABORT_CONNECT = 1
    TERMINATION_CLIENT_ABORT_DATA = 2
    TERMINATION_CLIENT_ABORT_LAST = 3
    TERMINATION_CLIENT_TIMEOUT_CONNECT = 4
    TERMINATION_CLIENT_TIMEOUT_DATA = 5
    TERMINATION_CLIENT_TIMEOUT_LAST = 6
    TERMINATION_SERVER_ABORT_CONNECT = 7
    TERMINATION_SERVER_ABORT_DATA = 8
    TERMINATION_SERVER_TIMEOUT_CONNECT = 9
    TERMINATION_SERVER_TIMEOUT_DATA = 10
    TERMINATION_RESOURCE_CONNECT = 11
    TERMINATION_DOWN_CONNECT = 12
    TERMINATION_DOWN_DATA = 13
    TERMINATION_CLIENT_ABORT_QUEUE = 14
    TERMINATION_CLIENT_TIMEOUT_QUEUE = 15
    TERMINATION_SERVER_ABORT_QUEUE = 16
    TERMINATION_SERVER_TIMEOUT_QUEUE = 17
    TERMINATION_UP_CONNECT = 18
    TERMINATION_UP_DATA = 19
    TERMINATION_CLIENT_ABORT_HEADER = 20
    TERMINATION_CLIENT_TIMEOUT_HEADER = 21
    TERMINATION_REFUSED = 22
    TERMINATION_REFUSED_DATA = 23
    TERMINATION_KILLED_CONNECT = 24
    TERMINATION_KILLED_DATA = 25
    TERMINATION_KILLED_QUEUE = 26

cdef enum:  # Balance
    BALANCE_ROUNDROBIN = 0
    BALANCE_LEASTCONN = 1
    BALANCE_SOURCE = 2
    BALANCE_STATIC = 3
    BALANCE_FIRST = 4
    BALANCE_RANDOM = 5

cdef enum:  # ScheduleKind: what a balance looks its servers up in
    SCHEDULE_TURNS = 0  # smoothly spread turns
    SCHEDULE_MAP = 1  # turns by configured weights, in HAProxy's order
    SCHEDULE_RING = 2  # nodes of consistent hashing, beside turns
    SCHEDULE_LOADS = 3  # weights only
    SCHEDULE_ORDER = 4  # members by id

cdef enum:
    NO_SLOT = 0xFFFFFFFF
    QUEUE_SWEEP_MS = 100  # between two looks for a place, whatever bells were lost

cdef struct Pending:  # bytes that a side did not take yet; the allocation ends with them
    uint32_t start
    uint32_t end
    char bytes[1]

cdef struct Addresses:  # of a client and where it came to, and what rules said of its session
    sockaddr_in6 source  # sockaddr_in in the same place for IPv4
    sockaddr_in6 destination  # family 0: not asked yet
    Stores *stores  # NULL: no entry of a stick table waits for its server
    Variables *variables  # NULL: no rule has set one
    uint32_t resumed  # where the next look at first bytes begins (tables/counter_rules.pxd)
    uint8_t direct  # its server was named, not balanced: retries stay there
    uint8_t forced  # it goes to a server that is named, whatever the state (force-persist)
    uint16_t family  # of the client's packets: AF_INET for a mapped address
    uint8_t opened  # a session has them: what rules set is no more the connection's
    uint8_t moved  # rules have set one of the two since the session last looked
    uint8_t renamed  # they are not those of the connection, by a rule of the session
    uint8_t log_level  # one more than what its line has; 0: the usual one
    uint8_t marked  # Marked: what connections to servers get
    uint32_t retries_plus_one  # 0: as many as the backend says
    int server_mark
    int server_tos
    Ends first  # of the connection, by a rule; family 0: as the kernel has them
    Tracks tracks  # entries that it follows
    const Rule *decided  # about its first bytes, the last time; NULL: none did
    HeaderFields *fields  # of its PROXY header, where something asks for them; or NULL
    uint32_t inspected  # memory that is held while rules wait (sides/inspected.pxd); 0: none
    uint8_t hurried  # rules wait no more for it, for lack of memory
    Session *inspected_next, *inspected_previous

cdef struct Side:
    int fd  # -1: none
    uint16_t flags  # SideFlag
    uint8_t full_reads  # large receives in a row
    uint8_t small_splices  # in a row
    Pending *pending  # bytes for this side
    Pipe *pipe  # bytes for this side
    uint64_t bytes  # received from this side
    int64_t activity_ms  # when it last gave or took a byte

cdef enum:  # LimitKind
    LIMIT_PLACES = 0  # sessions that are open, over all workers
    LIMIT_RATE = 1  # sessions a second, likewise
    LIMIT_DESCRIPTORS = 2  # sessions that this worker has descriptors for
    LIMITS_MAX = 5  # of a listener: process, its rate, frontend, its rate, bind address

cdef struct Limit:  # keeps listeners from accepting while it is reached (admission/admission.pxd)
    int kind  # LimitKind
    uint64_t most  # 0: no limit, unless it was ordered
    uint64_t configured  # the same, as the files say
    uint8_t ordered  # by an operator
    uint64_t counted  # of places: the gauge, in bytes from the start of a row
    uint64_t published  # the lowest ticket that it stops, likewise
    uint64_t reserved  # of places: those taken ahead with those in use, likewise
    Waited *waited  # which workers may have published a ticket
    uint32_t ahead  # places that may be taken ahead (admission/ahead.pxd)
    uint8_t reserving  # in the engine's list of those with places taken ahead
    Limit *next_reserving
    uint64_t *passed  # of a rate: those that all workers let in, by second (shm/rates.pxd)
    uint64_t passed_in  # the second in which this worker counted the last of them
    uint8_t freed  # in the engine's list of those with room again
    Limit *next_freed
    Limit *next, *previous  # in the engine's list of those that stop a listener of this worker
    Listener *first, *last  # that it stops, in the order of tickets

cdef struct Frontend:
    FrontendCounters *counters  # this worker's row
    uint32_t index
    int backend  # index; -1: clients have nowhere to go
    Limit places  # maxconn
    Limit rate  # rate-limit sessions
    int64_t client_ms  # timeouts; 0: none
    int64_t client_fin_ms
    uint8_t nolinger
    uint8_t splice
    AccessLog *log  # NULL: its sessions are not logged
    const FrontendRules *rules  # NULL: it has none

cdef struct Waiter:  # a session that waits for a place at a server
    Waiter *next, *previous
    Session *session
    Queue *queue
    uint64_t ticket
    int64_t since_ms
    uint8_t standing  # of the server that it came to wait for, at that time

cdef struct Queue:  # in the order of the tickets
    Waiter *first, *last

cdef enum:  # Standing: which sessions a server takes, whatever its weight
    STANDING_AWAY = 0  # none: it is down, or in maintenance
    STANDING_NAMED = 1  # those that are sent to it: it drains
    STANDING_ALL = 2

cdef struct ServerLimits:
    uint32_t error_limit  # observe: errors in a row that its checker hears of; 0: not observed
    int checker_bell  # of the process that checks it
    Queue queue  # sessions that must go to this server
    uint64_t walked  # table generation, + 1, at which all of them were looked at
    uint32_t next_waited, previous_waited  # slots, + 1, in the backend's list of these queues
    uint32_t minconn  # 0: the limit does not move
    uint32_t maxqueue  # over all workers; 0: no limit

cdef struct Backend:
    BackendCounters *counters  # this worker's row
    BackendShared *shared
    Schedule *schedule  # the relay's own; NULL: turns are those of the rota
    Rota *rota  # NULL: turns are laid out (proxy/members/laid_out.py)
    uint64_t generation_seen  # table_generation at the last look for a newer schedule
    uint8_t looked_at  # at all its servers, for sessions to end; from then on the journal tells
    void *delivered  # Schedule from the main thread, not looked at yet; exchanged atomically
    uint32_t index
    uint32_t first_slot
    uint32_t slots
    int balance  # Balance
    int kind  # ScheduleKind
    uint32_t draws  # of `balance random`
    uint32_t balance_factor  # hash-balance-factor in percent; 0: none
    uint8_t avalanche  # of hash-type
    uint8_t aside  # its schedules are built by the main thread
    LeastBlock *blocks  # of leastconn: what is known of each block of hints
    FullBlocks full  # blocks of servers that have no place left
    int retries
    int redispatch  # Proxy.redispatch
    int64_t connect_ms  # timeouts; 0: none
    int64_t server_ms
    int64_t server_fin_ms
    int64_t tunnel_ms
    int64_t queue_ms
    Queue queue  # sessions that may go to any server
    uint64_t fullconn  # sessions at which servers with a minconn take their maxconn
    uint32_t waiting  # sessions in its queue and its servers', in this worker
    uint32_t first_waited, last_waited  # slots, + 1, that a session waits for in this worker
    uint8_t review  # a session came to or left its queue
    uint8_t listed  # among those that are looked at for places
    Backend *next_listed
    uint8_t allbackups
    uint8_t nolinger
    uint8_t splice
    uint8_t abortonclose
    uint8_t persist  # a server that is named is tried also when it is down
    const BackendRules *rules  # NULL: it has none
    uint8_t ends_sessions  # a server of it does so when it goes down or loses its address

cdef struct Listener:
    int fd
    uint32_t index  # row in the owners' area
    Frontend *frontend
    uint64_t *sessions  # of its bind address, in this worker's row; NULL: it has no maxconn
    Limit *limits[LIMITS_MAX]  # that hold for it: of places, then rates
    uint32_t limit_count
    Limit *stopped_by  # NULL: it accepts
    uint64_t ticket  # while it is stopped
    Listener *next  # stopped by the same limit
    Listener *previous
    uint32_t bind  # index
    int mss_less  # below 0: clients' segments are so many bytes shorter than they could be
    uint8_t shared  # all workers serve it
    uint8_t registered  # in the epoll set
    uint8_t drained  # soft stop: its queue was seen empty, it is not served any more
    uint8_t accepts_proxy  # each connection begins with a PROXY header
    uint8_t keeps_addresses  # its sessions have `addresses`
    uint8_t anywhere  # its clients come to several addresses
    sockaddr_in6 address  # where it listens, once it was registered; family 0: several addresses
    uint8_t client_first  # sessions in a row in which the client spoke first, up to 255

cdef struct Session:
    Timer timer  # first: the wheel hands out timers
    Side sides[2]
    Session *next  # in the run list
    Listener *listener
    Backend *backend  # NULL: the frontend has none, or the PROXY header is not there yet
    Waiter *waiter  # NULL: not in a queue
    Addresses *addresses  # NULL: they are not needed
    LogNote *log  # NULL: not logged
    int64_t started_ms
    int64_t attempt_ms  # start of the connect attempt, turn-around time or inspection
    uint64_t source_hash  # of the client's address (balance/source_hash.pxd)
    uint32_t slot  # NO_SLOT: not picked yet
    uint32_t generation  # of the slot that it connected to
    uint32_t tag  # of the address that its place is for
    uint32_t counted  # number of the count under way that it is in (balance/present.pxd)
    uint16_t retries  # attempts that failed, RETRIES_MAX + 1 at most
    uint16_t flown  # bytes that the SYN of this attempt took (session/fast_open.pxd)
    uint8_t error  # errno of the last failed attempt: Linux has none above 133
    uint8_t state  # SessionState
    uint8_t flags  # SessionFlag
    uint8_t cause  # Termination: the first event that will end the session; 0: none yet
    int64_t removed_end_ms  # when it ends because its server has another address; 0: not

cdef struct Engine:
    View view
    Process *process
    WorkerCounters *counters  # this worker's row
    int epoll
    uint32_t worker
    uint32_t workers
    uint64_t random  # state of the drawing for `balance random`; never 0
    int64_t now_ms  # read once per batch
    int64_t share  # bytes that may be moved for one direction in this turn
    int accepts  # connections that may be taken from one listener in this turn
    const uint64_t *lists_epoch  # grows when lists no more have a part; NULL: none changes
    uint64_t *lists_seen  # up to which epoch nothing of them is looked at here
    uint64_t generation_seen
    uint64_t journal_seen  # position up to which rotas go by the journal
    uint64_t journal_ended  # the same of looks for sessions to end
    uint8_t rotas_behind  # a server could not be read: they look at each again
    uint64_t orders_seen  # of client orders, at the last look at them
    uint64_t command
    Limit descriptors
    Limit places  # global maxconn
    Limit rate  # of the process
    Limit *binds  # maxconn, by bind address
    Limit *stopping  # those that stop listeners of this worker
    Limit *freed  # those with room again, perhaps
    Limit *reserving  # those of which places were taken ahead
    uint64_t ahead_seen  # how often another had asked for such places, at the last look
    uint32_t rates_stopping  # how many of those that stop listeners are rates
    int64_t sweep_ms  # between two looks for free places, whatever bells were lost
    int64_t swept_ms  # the last one
    int64_t resume_ms  # accept overload pauses until then; 0: none
    uint8_t ring_resolverd  # a connect failed
    uint8_t stop_seen  # soft stop has begun
    const int *relay_bells  # of all workers
    int own_bell
    int resolverd_bell
    Frontend *frontends
    Backend *backends
    Listener *listeners
    uint32_t frontend_count
    uint32_t backend_count
    uint32_t listener_count
    uint32_t slots  # length of the arrays by slot
    ServerCache *servers  # by slot
    Outgoing **outgoing  # by slot; NULL: plain connections
    ServerLimits *limits  # by slot
    Sticky *sticky  # by slot
    NewName *new_names, *old_names  # of servers: to be taken up, and to be freed
    const Table *tables  # by number
    uint32_t table_writer  # this worker's number at all of them
    uint8_t *headers  # by slot: HeaderKind of proxy_protocol/format.pxd
    ServerCounters no_server  # counts of sessions without a server (counting.pxd)
    uint64_t ticket  # of the session that a server is being sought for; the highest: none yet
    uint32_t waiting  # sessions in queues
    int64_t queues_swept_ms
    uint64_t sweeps  # of queues: nothing is known any more of what was full before
    Backend *listed  # those in whose queues a session waits, or has waited
    uint8_t review  # a place may be there for a session that waits
    uint32_t counts  # number of the last count of sessions by address
    uint32_t count_of_place  # number of the count that the place just taken is in; 0: none
    uint32_t tag_of_place  # of the address that it is for
    uint32_t asked_first  # slots that are to be counted at the next walk; NO_SLOT: none
    uint32_t counting_first  # slots that are being counted
    uint8_t walk_again  # sessions may have to end: all are to be looked at (changes/changes.pxd)
    uint32_t served  # sessions that were taken out of queues in this turn
    Pool waiters
    Pool sessions
    Pool addresses
    PipePool pipes
    Log *log
    Judge judge  # of all rules
    uint64_t inspected_bytes  # of memory, held for those whose bytes rules wait for
    Session *inspected_first, *inspected_last  # in the order in which they came to hold some
    Wheel wheel
    Session *run_first, *run_last
    Timer *dead  # timers of the sessions that ended in this turn
    char *scratch  # SCRATCH_BYTES
    DumpQuestion dump_question  # the last one that control asked (dump/dump.pxd)
    uint64_t dump_seen, dump_ended  # its latch's sequence; sessions that it has ended so far
    uint64_t dump_after  # where its walk stands in a slab
    uint32_t dump_length  # records of the page so far
    uint8_t dump_open  # it is not answered yet
