# The stages that a session goes through before bytes are relayed, and what each may say of it.
#
# In HAProxy's order. A row without a file has no code yet: what will be there is named so that it
# comes to its place.
#
#   stage              decides                                           by what
#   connection rules   whether the connection becomes a session at all    its own addresses
#   HEADER             which addresses the client has                     accept_proxy.pxd
#   session rules      whether the session goes on                        the header's addresses
#   ADMITTED           it counts, and is noted for the access log         begin.pxd
#   FIRST_BYTES        what the client has sent already                   first_bytes.pxd
#   frontend's rules   whether it goes on, after a delay for inspection   the first bytes
#   BACKEND            its backend, where it counts from now on           begin.pxd
#   backend's rules    as those of the frontend                           the first bytes
#   persistence        a server that it must go to                        use-server, tables
#   BALANCE            a server with a place, or a queue                  enter.pxd
#   ATTEMPT            the connection to it, and the first bytes          attempt.pxd
#   response rules     whether it goes on                                 the server's first bytes
#
# begin.pxd goes through them. A session that waits in one of them has a state for it
# (session.pxd), and goes on with the same stage when bytes or a deadline have come. After ATTEMPT
# events drive it (events.pxd); one that comes out of a queue goes on with ATTEMPT (dequeue.pxd).

cdef enum Stage:
    STAGE_HEADER = 0
    STAGE_ADMITTED = 1
    STAGE_FIRST_BYTES = 2
    STAGE_BACKEND = 3
    STAGE_BALANCE = 4
    STAGE_ATTEMPT = 5

cdef enum Verdict:
    GOES_ON = 0  # with the next stage
    WAITS = 1  # for bytes, or a deadline: then this stage again
    ENDS = 2  # with the termination state that `Beginning` has
    LEAVES = 3  # no stage comes next: events drive it, it is in a queue, or it has ended
