# The counters of a worker: the structs of one row of the segment.
#
# A row is WorkerCounters, then one FrontendCounters for each frontend, one BackendCounters for
# each backend, one ServerCounters for each slot, one StopTickets for the process and one for each
# frontend, and one BindCounters for each bind address; rows start on a page, and end with one
# RuleCounter for each rule, the first one last. segment.pxd has the address of each part.

from libc.stdint cimport uint64_t

cdef struct WorkerCounters:
    uint64_t accepts  # connections accepted
    uint64_t sessions  # gauge: open now
    uint64_t sessions_max
    uint64_t accept_pauses  # EMFILE, ENFILE, ENOMEM, ENOBUFS
    uint64_t maxconn_pauses  # accepting stopped at a limit
    uint64_t bytes_out  # to clients
    uint64_t bytes_spliced  # both directions
    uint64_t pipes_used  # gauge
    uint64_t pipes_free  # gauge
    uint64_t buffer_bytes  # gauge: memory held by stalled directions
    uint64_t epoll_turns
    uint64_t log_overflows  # lines of the access log lost at a full receiver
    uint64_t schedule_builds
    uint64_t slot_refreshes  # slot views decoded again
    uint64_t pick_looks  # servers, blocks of servers and ring nodes read to pick servers
    uint64_t inspections_cut  # clients judged before their bytes were there, for lack of room
    uint64_t terminations[63]  # sessions ended, by termination state (relay/state/termination.py)
    uint64_t variables_lost  # that found no room, or no memory

cdef struct FrontendCounters:
    uint64_t sessions_total
    uint64_t sessions  # gauge
    uint64_t sessions_max
    uint64_t bytes_in  # from clients
    uint64_t bytes_out  # to clients
    uint64_t connections_total
    uint64_t denied_connections
    uint64_t internal_errors
    uint64_t denied_sessions
    uint64_t denied_requests
    uint64_t denied_responses
    uint64_t failed_requests  # clients that broke off while rules waited for their bytes
    uint64_t spare[4]

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
    uint64_t queued_max  # of all workers' sum, as read by this one
    uint64_t queue_ticket  # gauge: the oldest of them; 0: none waits
    uint64_t queue_time_sum_ms  # over sessions that connected
    uint64_t queue_time_max_ms
    uint64_t denied_responses
    uint64_t denied_requests
    uint64_t spare[4]

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
    uint64_t queued_max  # of all workers' sum, as read by this one
    uint64_t queue_ticket  # gauge: the oldest of them; 0: none waits
    uint64_t queue_time_sum_ms
    uint64_t queue_time_max_ms
    uint64_t observed_errors  # failed connects, with `observe layer4`
    uint64_t gauged  # 1: the worker's cell in the gauges has the sessions, too
    uint64_t hinted  # gauge: twice its sessions in the hint; odd while a step is under way
    uint64_t denied_responses
    uint64_t spare[11]

cdef struct StopTickets:  # gauges: the lowest of the worker's listeners stopped at a limit; or 0
    uint64_t places
    uint64_t rate
    uint64_t reserved  # places that the worker may use, its sessions among them
    uint64_t spare

cdef struct RuleCounter:
    uint64_t hits  # times that its condition held and it acted

cdef struct BindCounters:
    uint64_t sessions  # gauge: sessions accepted there, if it has a maxconn
    uint64_t stop_ticket  # as above, of that maxconn
    uint64_t reserved
    uint64_t spare
