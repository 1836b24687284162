# The stages that a session goes through before bytes are relayed, and what each may say of it.
#
# In HAProxy's order. A row without a file has no code yet: what will be there is named so that it
# comes to its place. Rules that look at a connection's own addresses precede the first stage
# (admission/connection_rules.pxd): what they refuse becomes no session.
#
#   stage              decides                                           by what
#   HEADER             which addresses the client has                     accept_proxy.pxd
#   SESSION_RULES      whether the session goes on                        rule_stages.pxd
#   ADMITTED           it counts, and is noted for the access log         begin.pxd
#   FIRST_BYTES        what the client has sent already                   first_bytes.pxd
#   FRONTEND_RULES     whether it goes on, after a delay for inspection   rule_stages.pxd
#   BACKEND            its backend, where it counts from now on           begin.pxd
#   BACKEND_RULES      as those of the frontend                           rule_stages.pxd
#   BALANCE            a server that rules, a cookie or an entry name     naming/servers.pxd
#                      else one with a place, or a queue                  enter.pxd
#   ATTEMPT            the connection to it, and the first bytes          attempt.pxd
#   response rules     whether it goes on                                 the server's first bytes
#
# begin.pxd goes through them. A session that waits in one of them has a state for it
# (session.pxd), and goes on with the same stage when bytes or a deadline have come. After ATTEMPT
# events drive it (events.pxd); one that comes out of a queue goes on with ATTEMPT (dequeue.pxd).

cdef enum Stage:
    STAGE_HEADER = 0
    STAGE_SESSION_RULES = 1
    STAGE_ADMITTED = 2
    STAGE_FIRST_BYTES = 3
    STAGE_FRONTEND_RULES = 4
    STAGE_BACKEND = 5
    STAGE_BACKEND_RULES = 6
    STAGE_BALANCE = 7
    STAGE_ATTEMPT = 8

cdef enum Verdict:
    GOES_ON = 0  # with the next stage
    WAITS = 1  # for bytes, or a deadline: then this stage again
    ENDS = 2  # with the termination state that `Beginning` has
    LEAVES = 3  # no stage comes next: events drive it, it is in a queue, or it has ended
