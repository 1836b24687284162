# What one server is to the relay: how it is reached, its address and state at the last look, its
# turns and its load among others.
#
# Private memory of one relay thread; types.pxd has the engine that holds it.

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t, uint8_t

from shm.eligibility cimport ServerView

cdef enum:
    INTERFACE_BYTES = 16  # IFNAMSIZ
    LOCAL_BYTES = 110  # struct sockaddr_un

cdef struct Outgoing:  # options of the connections toward one server (session/server_socket.pxd)
    int keepalive_count  # 0: as the host is set up
    int keepalive_idle_s
    int keepalive_interval_s
    unsigned int user_timeout_ms
    uint8_t keepalive
    uint8_t fast_open
    uint8_t transparent  # the source address need not be this host's
    uint8_t from_client  # it is the client's
    uint8_t from_client_port  # and so is the port
    uint8_t family  # of the source address; 0: none
    uint8_t address[16]  # network order
    uint32_t port_first  # of the source; 0: any
    uint32_t ports  # in its range; 0: any
    uint32_t port_next  # offset into the range
    char interface[INTERFACE_BYTES]  # empty: any
    uint32_t local_length  # of `local`; 0: the server has an IP address
    char local[LOCAL_BYTES]  # struct sockaddr_un of a server on a Unix socket

cdef enum:  # Sighted: what a server was at the last look
    SIGHTED_NEVER = 0
    SIGHTED_AWAY = 1
    SIGHTED_UP = 2

cdef struct Presence:  # which sessions lead to the present address (balance/present.pxd)
    uint8_t gauged  # this worker has its cell for the server
    uint8_t whole  # it had it before the count that is under way began
    uint32_t tag  # of the address at the last count
    uint32_t counting  # number of the count that is under way; 0: none
    uint32_t counting_tag  # of its address
    uint32_t sessions  # counted so far
    uint32_t next  # slot: in the list of those that are to be counted, or are being counted
    uint8_t asked  # a count is to begin with the next walk

cdef struct ServerCache:
    uint64_t generation  # table_generation at which `view` was decoded; 0: never
    uint32_t filled  # the change that added the server that all of this memory is of; 0: the file's
    uint8_t sighted  # Sighted
    uint8_t comings, goings, downs  # of `view` at the last look at changes
    uint32_t generation_walked  # of the slot at the last walk over sessions (changes/removed.pxd)
    int64_t end_down_ms  # sessions that were at the server by then end: it went down
    int64_t end_up_ms  # the same: it is a backup, and an active one came up
    Presence presence
    uint8_t warming  # it is in the list of those that warm up
    uint32_t next_warming  # slot, + 1, of the one behind it there; 0: none
    uint32_t tag  # of the address in `view`
    ServerView view

cdef struct Schedule:  # immutable once delivered; balance/schedule.pxd builds it
    uint64_t generation  # of the backend when the building began
    uint32_t entries  # length of `slots`
    uint32_t members, span  # eligible servers; of so many slots
    uint32_t *slots  # whose turn each entry is
    uint32_t *member_slots
    uint32_t *member_weights

cdef struct LeastBlock:  # HINT_BLOCK_SLOTS neighbouring slots, as leastconn last saw them
    uint64_t changes  # of the block's hints at that time, plus one; 0: never
    double least  # the lowest load for its weight among the members

cdef struct FullBlock:  # PLACE_BLOCK_SLOTS neighbouring slots, as they were last seen
    uint64_t changes  # of their places at that time, plus one; 0: one may have a place
    uint8_t active  # an eligible one of them is no backup

cdef struct FullBlocks:  # and until when that is good (balance/full.pxd)
    FullBlock *blocks
    uint64_t generation  # of the table, plus one
    uint64_t gauges  # their changes
    uint64_t sweeps  # the engine's

cdef struct BitTree:  # a set of numbers (balance/bit_tree.pxd)
    uint64_t *bits
    uint32_t *sums  # how many bits are set, as a tree: some words up to each
    uint32_t words
    uint32_t members

cdef struct Ring:  # of consistent hashing (balance/ring.pxd)
    uint64_t *cells  # of a node its key, then its server's position
    BitTree taken  # cells with a node
    uint32_t homes  # cells that keys lead to
    uint32_t length  # of `cells`: there is a tail for nodes that found theirs taken
    uint32_t positions
    uint16_t *nodes  # by position: how many the server has
    uint32_t *ids  # by position: of the server that has them
    uint32_t shift  # by so many bits are weights scaled down

cdef struct WeightClass:  # the members of one weight, by their positions in the backend
    uint32_t weight
    BitTree tree

cdef struct RotaGroup:
    WeightClass *classes
    uint32_t count  # of classes: each has a member
    uint32_t members
    uint32_t divisor  # what their weights have in common
    uint64_t entries  # turns of a round

cdef struct Rota:  # whose turn it is (balance/rota.pxd)
    RotaGroup groups[2]  # active servers, backups
    uint16_t *held  # by position: its weight, and whether it is a backup; 0: no member
    uint32_t positions
    uint32_t first_warming  # slot, + 1, in the list of those that warm up; 0: none does
    int64_t warm_due_ms  # when one of these has more weight; 0: none does
    Ring *rings  # of the two groups; NULL: none
    uint64_t ring_weight  # that all servers have by the file, in sixteenths
    uint8_t first_only  # of backups the first takes all sessions
