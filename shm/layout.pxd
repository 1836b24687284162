# The layout of the segment: every struct, declared once, with its byte map. Holds nothing else.
#
# The segment is one sealed memfd, mapped by every process at fork. Areas follow one another, each
# on a page of its own; `Header.offsets` says where (segment.pyx sums them up):
#
#   HEADER       1 x Header                    supervisor, but for the shared word it names
#   PROCESSES    (workers + 2) x Process       a line of the supervisor, a line of the process
#   OWNERS       sockets x u32                 supervisor: the worker that serves a socket
#   STATICS      slots x SlotStatic            supervisor, before the first fork
#   BACKENDS     backends x BackendShared      shared words (fetch_add by anybody)
#   HINTS        slots x i64                   shared words: sessions of a slot, for leastconn;
#                + blocks x u64                behind them how often those of each block changed
#   SLOTS        slots x Latch(SlotRecord)     resolverd (supervisor before the first fork)
#   ADMINS       slots x Latch(AdminRecord)    control (likewise)
#   HEALTH       slots x Latch(HealthRecord)   the worker that checks it (likewise)
#   REQUESTS     workers x slots x Request     the worker of the row
#   ROWS         (workers + 1) x one row       the worker of the row; the last: carried over
#   NAMESERVERS  nameservers x NameserverCounters   resolverd
#   RESOLUTIONS  resolutions x ResolutionRecord     resolverd
#   TARGETS      slots x NameLatch(NameRecord) resolverd (supervisor before the first fork)
#   NAME_ORDERS  slots x NameLatch(NameRecord) control (likewise)
#   MAILBOX      1 x Mailbox                   a question of control's, an answer of resolverd's
#   NAMESERVER_NAMES  nameservers x NameLatch(NameRecord) resolverd (as TARGETS)
#   SECTIONS     sections x SectionHistograms  resolverd (supervisor before the first fork)
#
# A row is WorkerCounters, then one FrontendCounters for each frontend, one BackendCounters for
# each backend, one ServerCounters for each slot, one RateWindow for the process and one for each
# frontend (counted where a rate is limited), and for each bind address a word, the sessions that
# came by it (counted where it has a maxconn); rows start on a page.
#
# Shared words, the only ones that more than one process writes, all by fetch_add and all of them
# right without repair when a writer dies: Header.table_generation, BackendShared.tickets,
# BackendShared.generation, BackendShared.queue_tickets. A fifth, HINTS, is a hint: the supervisor
# subtracts what a dead worker's row still holds; a block's word moves after its hint (hint_add in
# segment.pxd). Header.orders_generation and BackendShared.limited have one writer at a time: the
# supervisor before the first fork, then control.
#
# Process order: workers 0..N-1, then resolverd (N), then control (N + 1).
# A record of zeros says nothing: no address, no order, no statement.
# All times are CLOCK_MONOTONIC in milliseconds unless the name says otherwise.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    LAYOUT_VERSION = 6
    RECORD_WORDS = 7  # 56 bytes: what one latch publishes whole
    NAME_WORDS = 33  # 264 bytes: what one name latch publishes whole
    NAME_BYTES = 255  # the longest DNS name (RFC 1035 section 2.3.4)
    INQUIRY_WORDS = 36  # 288 bytes: what control asks of resolverd, whole
    INQUIRY_BYTES = 256  # of text: a DNS name is shorter
    MAIL_WORDS = 8_192  # 64 KiB: one answer; what is longer comes in several
    HISTOGRAM_BUCKETS = 12
    AREAS = 18
    HINT_BLOCK_SLOTS = 64  # neighbouring hints that one word says changed
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

cdef enum:  # ProcessState
    PROCESS_EMPTY = 0
    PROCESS_STARTING = 1
    PROCESS_READY = 2
    PROCESS_STOPPING = 3

cdef enum:  # Command
    COMMAND_RUN = 0
    COMMAND_SOFT_STOP = 1  # accept until EAGAIN, then only finish what is open
    COMMAND_STOP = 2

cdef enum:  # StaticFlag
    STATIC_CHECKED = 1
    STATIC_BACKUP = 2
    STATIC_INIT_DOWN = 4  # without a health statement the server counts as down
    STATIC_RESOLVED = 8  # its address comes from a resolution
    STATIC_PORT_RELATIVE = 16  # its port is added to the one that the client came to
    STATIC_SHUTDOWN_DOWN = 32  # its sessions end when it goes down or into maintenance
    STATIC_SHUTDOWN_REMOVED = 64  # its sessions end when it has their address no longer
    STATIC_SHUTDOWN_BACKUPS = 128  # sessions of the backups end when it comes up

cdef enum:  # SlotFlag
    SLOT_RMAINT = 0x20  # HAProxy's bit: out for lack of an address
    SLOT_FQDN_CHANGED = 0x40  # HAProxy's bit: an SRV record or the operator gave it a name
    SLOT_BACKUP = 0x80  # its SRV record has a priority that makes it a backup; no bit of HAProxy's

cdef enum:  # AdminFlag
    ADMIN_FMAINT = 0x01  # forced by the operator
    ADMIN_CMAINT = 0x04  # `disabled` in the configuration
    ADMIN_FDRAIN = 0x08
    ADMIN_CHECK_OFF = 0x100  # health checks are suspended by the operator; no bit of HAProxy's
    ADMIN_MASK_MAINT = 0x05
    ADMIN_MASK_DRAIN = 0x08

cdef enum:  # HealthOrder: what the operator said of a server's health
    HEALTH_ORDER_NONE = 0
    HEALTH_ORDER_UP = 1
    HEALTH_ORDER_STOPPING = 2
    HEALTH_ORDER_DOWN = 3

cdef enum:  # Operational: HAProxy's srv_op_state
    SERVER_STOPPED = 0
    SERVER_STARTING = 1
    SERVER_RUNNING = 2
    SERVER_STOPPING = 3

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
    uint64_t spare[5]  # fills four cache lines
    uint64_t table_generation  # shared word: +1 after each change of any slot record
    uint64_t alone[6]  # keeps the busiest word on a line of its own
    uint64_t version  # LAYOUT_VERSION, stored last: the segment is ready

cdef struct Process:
    # one line written by the supervisor
    uint64_t pid  # 0: not running
    uint64_t command  # Command
    uint64_t started_ms
    uint64_t restarts
    uint64_t supervisor_spare[4]
    # one line written by the process
    uint64_t state  # ProcessState
    uint64_t main_beat_ms  # the event loop's heartbeat
    uint64_t relay_beat_ms  # the relay thread's; 0 in resolverd and control
    uint64_t generation_seen  # table_generation that the relay last looked at
    uint64_t process_spare[4]

cdef struct SlotStatic:
    uint32_t backend  # index
    uint32_t flags  # StaticFlag
    uint32_t weight  # configured, 0..256
    uint32_t maxconn  # 0: none
    uint32_t rise  # checks
    uint32_t fall  # checks
    uint32_t id  # srv_id
    uint32_t removed_drain_ms  # STATIC_SHUTDOWN_REMOVED: so much later; 0: at once
    uint32_t slowstart_ms  # how long it warms up after it came back; 0: not at all
    uint32_t tracked_plus_one  # the slot whose state it shares; 0: none

cdef struct BackendShared:
    uint64_t tickets  # shared word: the next position of the round robin
    uint64_t generation  # shared word: +1 after each change of a slot of this backend
    uint32_t first_slot
    uint32_t slots
    uint64_t queue_tickets  # shared word: the ticket drawn last by a session that waits
    uint64_t limited  # 1: a server of it has a maxconn, or had one
    uint64_t spare[3]

cdef struct Latch:
    uint64_t sequence  # the low bit says which copy readers take
    uint64_t copies[14]  # two copies of RECORD_WORDS words
    uint64_t spare

cdef struct SlotRecord:
    uint32_t generation  # +1 whenever the address or port becomes another one
    uint32_t incarnation  # +1 whenever an address comes after none: health starts anew
    uint8_t family  # 0 none, 4, 6
    uint8_t flags  # SlotFlag
    uint16_t port  # host order
    uint32_t weight_plus_one  # from DNS; 0: the configured one
    uint8_t address[16]  # network order; IPv4 takes the first four bytes
    int64_t changed_ms  # when an address came after none, or went
    uint32_t cause  # why the address is what it is (slots.pyx names them)
    uint32_t spare
    uint64_t spare_word

cdef struct AdminRecord:
    uint32_t flags  # AdminFlag
    uint32_t weight_plus_one  # set by the operator, 1..257; 0: not set
    uint8_t family  # of the override; 0: none
    uint8_t health_order  # HealthOrder
    uint16_t port  # of the override; 0: the slot's
    uint32_t override_generation  # the override holds while the slot has this generation
    uint8_t address[16]
    int64_t changed_ms
    uint32_t health_orders  # given so far: a checker obeys each of them once
    uint32_t health_incarnation  # of the slot that the last one speaks of
    uint32_t maxconn_plus_one  # set by the operator; 0: the configured one
    uint32_t returned  # 1: at `changed_ms` it left maintenance, or the operator said that it is up

cdef struct HealthRecord:
    uint32_t incarnation  # of the slot that it speaks of; another one reads as no statement
    uint32_t generation  # of the slot when the last check was made
    uint8_t operational  # Operational
    uint8_t status  # HAProxy's srv_check_status number
    uint8_t result  # HAProxy's srv_check_result number
    uint8_t check_state  # HAProxy's srv_check_state mask
    uint16_t health  # 0 .. rise + fall - 1; >= rise: up
    uint16_t code  # errno of a failed connect, or 0
    int64_t changed_ms  # of `operational`
    uint32_t duration_us  # of the last check
    uint32_t failures  # checks failed while the server was up
    uint32_t downs  # transitions to DOWN
    uint32_t orders_taken  # AdminRecord.health_orders that this record has obeyed
    uint64_t downtime_ms  # of ended downtimes
    int64_t checked_ms  # end of the last check; 0: none yet

cdef struct NameLatch:
    uint64_t sequence  # the low bit says which copy readers take
    uint64_t copies[66]  # two copies of NAME_WORDS words
    uint64_t spare[5]

cdef struct NameRecord:
    # a target: end of its last valid resolution; an order: when it was given; a nameserver: when
    # its row was taken or, without a name, became free
    int64_t stamp_ms
    uint8_t length  # bytes; 0: no name
    uint8_t text[255]  # lower case, without the trailing dot

cdef struct Request:
    # written by the relay thread
    uint64_t client_timeouts  # connects of clients' sessions that timed out
    uint64_t client_refusals
    uint64_t client_began_ms  # when the last attempt that timed out had begun
    # written by the main thread
    uint64_t check_timeouts
    uint64_t check_refusals
    uint64_t check_began_ms
    uint64_t spare[2]

cdef struct WorkerCounters:
    uint64_t accepts  # connections accepted
    uint64_t sessions  # gauge: open now
    uint64_t sessions_max
    uint64_t accept_pauses  # EMFILE, ENFILE, ENOMEM, ENOBUFS
    uint64_t maxconn_pauses  # accepting stopped because a limit was reached
    uint64_t bytes_out  # to clients
    uint64_t bytes_spliced  # both directions
    uint64_t pipes_used  # gauge
    uint64_t pipes_free  # gauge
    uint64_t buffer_bytes  # gauge: memory held by stalled directions
    uint64_t epoll_turns
    uint64_t log_overflows  # lines of the access log lost because their receiver took none
    uint64_t schedule_builds
    uint64_t slot_refreshes  # slot views decoded again
    uint64_t pick_looks  # servers, blocks of servers and ring nodes looked at to pick servers
    uint64_t spare[1]
    uint64_t terminations[64]  # sessions ended, by termination state (proxy/relay names them)

cdef struct FrontendCounters:
    uint64_t sessions_total
    uint64_t sessions  # gauge
    uint64_t sessions_max
    uint64_t bytes_in  # from clients
    uint64_t bytes_out  # to clients
    uint64_t connections_total
    uint64_t denied_connections
    uint64_t internal_errors

cdef struct RateWindow:
    # sessions accepted in a second and in the one before it, each at its parity: which second of
    # CLOCK_MONOTONIC (high half), and how many (low half)
    uint64_t seconds[2]

cdef struct BackendCounters:
    uint64_t sessions_total
    uint64_t sessions  # gauge
    uint64_t sessions_max
    uint64_t bytes_in
    uint64_t bytes_out
    uint64_t connect_attempts
    uint64_t connection_errors
    uint64_t response_errors
    uint64_t retries
    uint64_t redispatches
    uint64_t loadbalanced
    uint64_t client_aborts
    uint64_t server_aborts
    uint64_t internal_errors
    uint64_t last_session_ms
    uint64_t connect_time_sum_ms  # over sessions that connected
    uint64_t total_time_sum_ms  # over ended sessions
    uint64_t connect_time_max_ms
    uint64_t total_time_max_ms
    uint64_t connected  # sessions that connected
    uint64_t ended  # sessions that ended
    uint64_t queued  # gauge: sessions that wait for a place at any server
    uint64_t queued_max  # over all workers, as this one saw it
    uint64_t queue_ticket  # gauge: the oldest of them; 0: none waits
    uint64_t queue_time_sum_ms  # over sessions that connected
    uint64_t queue_time_max_ms
    uint64_t spare[6]

cdef struct ServerCounters:
    uint64_t sessions_total
    uint64_t sessions  # gauge
    uint64_t sessions_max
    uint64_t bytes_in
    uint64_t bytes_out
    uint64_t connect_attempts
    uint64_t connection_errors
    uint64_t response_errors
    uint64_t retries
    uint64_t redispatches
    uint64_t loadbalanced
    uint64_t client_aborts
    uint64_t server_aborts
    uint64_t last_session_ms
    uint64_t connect_time_sum_ms
    uint64_t total_time_sum_ms
    uint64_t connect_time_max_ms
    uint64_t total_time_max_ms
    uint64_t connected
    uint64_t ended
    uint64_t queued  # gauge: sessions that wait for a place at this server
    uint64_t queued_max  # over all workers, as this one saw it
    uint64_t queue_ticket  # gauge: the oldest of them; 0: none waits
    uint64_t queue_time_sum_ms
    uint64_t queue_time_max_ms
    uint64_t observed_successes, observed_errors  # connects, where `observe layer4` says so
    uint64_t observed_streak, observed_since  # errors since so many successes of all workers
    uint64_t spare[3]

cdef struct NameserverCounters:
    uint64_t sent
    uint64_t snd_error
    uint64_t valid
    uint64_t update
    uint64_t cname
    uint64_t cname_error
    uint64_t any_err
    uint64_t nx
    uint64_t timeout
    uint64_t refused
    uint64_t other
    uint64_t invalid
    uint64_t too_big
    uint64_t truncated
    uint64_t outdated
    uint64_t spare

cdef struct ResolutionRecord:
    uint64_t last_valid_ms  # end of the last valid run, or when the name was first asked for
    uint64_t last_run_ms  # end of the last run
    uint64_t status  # of the last run (resolverd names them)
    uint64_t records_seen  # in the last valid answer
    uint64_t slots_used
    uint64_t slots_missing
    uint64_t runs
    uint64_t triggers  # runs that a failed connect asked for
    uint64_t ipv4_valid_ms  # end of the last run with a valid answer of this family, likewise
    uint64_t ipv6_valid_ms
    uint64_t triggers_held_until_ms  # before that no failed connect asks for a run
    uint64_t returns  # records that left and came back within a minute
    uint64_t spare[4]

cdef struct Inquiry:
    uint64_t number  # 1, 2, 3 ...; 0: nothing was ever asked
    uint32_t kind  # resolverd names them
    uint32_t length  # bytes of text
    uint64_t key  # what is asked about: a slot, or a resolution
    int64_t cursor  # where a long answer goes on
    uint8_t text[256]

cdef struct Mailbox:
    # a latch over Inquiry, written by control
    uint64_t sequence
    uint64_t copies[72]
    uint64_t control_spare[7]
    # written by resolverd
    uint64_t answered  # number of the inquiry that `mail` answers, stored last; 0: being written
    uint64_t length  # bytes of `mail`
    uint64_t resolverd_spare[6]
    uint64_t mail[8192]

cdef struct SectionHistograms:  # counts by bucket (resolverd says which), and the sum
    uint64_t runs[12]  # question to end of run
    uint64_t runs_sum_ms
    uint64_t moves[12]  # failed connect to another address
    uint64_t moves_sum_ms
    uint64_t spare[6]
