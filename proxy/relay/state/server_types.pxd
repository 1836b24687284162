# What one server is to the relay: how it is reached, its address and state at the last look.
#
# Private memory of one relay thread, by slot; types.pxd has the engine that holds it.

from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t

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
    uint32_t tag  # of the address in `view`
    ServerView view
