"""Every limit of the control process, with its reason. Holds nothing else."""

from __future__ import annotations

COMMAND_LINE_BYTES_MAX = 16_384  # HAProxy's buffer: what its tools never exceed
PAYLOAD_BYTES_MAX = 1 << 20  # behind a line that ends in `<<`: 64 times what HAProxy takes
PATTERNS_AT_ONCE = 200  # of a payload, about 2 ms of reading them: then others have their turn
COMMANDS_MAX = 1_024  # of one connection without prompt: 16 KiB of `;` would be more
STATS_CONNECTIONS_MAX = 64  # of all stats sockets; more wait in the kernel's queue, unharmed
SERVICE_CONNECTIONS_MAX = 128  # of all sections in mode http, likewise
LARGE_ANSWERS_MAX = 64  # of those, pages and metrics: the rest is left to questions and /ready
PATIENCE_SECONDS = 1.0  # with a client that asks nothing or takes nothing, when others want a place
ANSWER_CHUNK_BYTES = 16_384  # rendered at a time: all that a slow reader can hold back
PIECES_AT_ONCE = 50  # of an answer, about 5 ms of building rows: then others have their turn
CORE_NS = 200_000  # of work on an answer before control gives its core way to relays
CORE_MOMENT_SECONDS = 1e-6  # the kernel adds its slack of 50 us, in which a relay serves a request
REQUEST_HEAD_BYTES_MAX = 8_192  # request line and headers of HTTP; a scraper sends under 1 KiB
REQUEST_HEAD_SECONDS_MAX = 5.0  # for a request to be complete, whatever the configuration says
RESPONSE_SECONDS_MAX = 60.0  # for a response to be taken: Prometheus gives up after 10
KEEP_ALIVE_REQUESTS_MAX = 1_000  # of one HTTP connection
SOCKETS_SHOWN_MAX = 20_000  # by `show fd`: each is kept meanwhile, with some 300 bytes
LISTENING_READ_MAX = 2_000  # sockets of this network that a scrape looks at: some 8 ms
SCRAPES_MAX = 4  # kept at the same time: each holds a snapshot of all rows
CLEARED_AT_ONCE = 200  # servers whose counters are cleared for one piece of the answer: 0.1 ms
DISCARDED_BYTES_MAX = 1 << 20  # of a refused client, so that it gets to read why
MAIL_SECONDS_MAX = 0.5  # for an answer of resolverd, which gives one within milliseconds
MAIL_LOOK_SECONDS = 0.05  # between two looks: a lost ring costs no more
IN_FORCE_SECONDS_MAX = 0.1  # for relays to see an order: a busy one looks within milliseconds
APPLIED_SECONDS_MAX = 1.0  # for workers to go by a change of servers
EVENTS_LOOK_SECONDS = 0.25  # between two looks for a client that follows the events
IN_FORCE_MOMENT_NS = 100_000  # a relay that waits looks within it; control gives it the core
IN_FORCE_LOOK_SECONDS = 0.001  # between two looks whether they have
SESSIONS_SECONDS_MAX = 0.5  # for a relay to answer a question about sessions, each page anew
SESSIONS_LOOK_SECONDS = 0.001  # between two looks whether it has
DUMPS_MAX = 8  # lists of sessions read at the same time: each holds one worker's, 192 bytes each
PASSED_SECONDS_MAX = 1.5  # for workers to pass what has gone of a list: they turn once a second
PASSED_LOOK_SECONDS = 0.002  # between two looks whether they have
LOOKUP_SECONDS_MAX = 5.0  # for libc to find an address: its time-out for one nameserver
LEFT_LOOK_SECONDS = 0.1  # between two looks whether a client that waits is still there
GIVING_LOOK_SECONDS = 0.01  # between two tries to send sockets to a client that takes its time
LAST_ORDERS_SECONDS_MAX = 0.1  # a client let in just before a reload asks within microseconds
SILENT_SECONDS_MAX = 1.0  # for a client let in before a reload that had no turn to ask until now
RETIRING_LOOK_SECONDS = 0.01  # between two looks at the clients that are still there
MASTER_CONNECTIONS_MAX = 64  # of all sockets of the master CLI; more wait in the kernel's queue
CONDITION_LOOK_SECONDS = 0.05  # between two looks of `wait` at its condition
CALL_SECONDS_MAX = 10.0  # for control to take a call: it may be replaced meanwhile, and not at once
CALL_LOOK_SECONDS = 0.02  # between two tries when too many calls wait
CALLED_PID_BYTES_MAX = 4_096  # of the pid of the process that takes a call, and what comes with it
RELOAD_SECONDS_MAX = 180.0  # for two reloads, one that is under way and the one that was ordered
OUTCOME_LOOK_SECONDS = 1.0  # between two looks at the outcome: a lost ring costs no more
BEAT_SECONDS = 0.5  # of the master CLI; the supervisor is promised one each second
READY_BEAT_MS = 1_500  # half a beat late: the supervisor takes a worker for hanging then, too
TICK_SECONDS = 1.0  # rates are per second; control beats as often
ACCEPT_PAUSE_SECONDS = 0.1  # when descriptors or memory have run out

assert BEAT_SECONDS * 2 <= 1.0
assert LARGE_ANSWERS_MAX < SERVICE_CONNECTIONS_MAX
# A sleep of half a millisecond or less is none for uvloop: what looks so often never rests.
assert min(IN_FORCE_LOOK_SECONDS, SESSIONS_LOOK_SECONDS, PASSED_LOOK_SECONDS) >= 0.001
assert ANSWER_CHUNK_BYTES <= COMMAND_LINE_BYTES_MAX
