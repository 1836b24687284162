"""Every limit of the supervisor, with its reason; relations are asserted below.

Milliseconds unless the name says otherwise.
"""

from __future__ import annotations

ADOPT_AFTER_MS = 100  # a socket without a ready worker that long is served by a sibling
SUSPECT_AFTER_MS = 1_500  # a beat comes at least each second: half a beat late is a hang
STALE_AFTER_MS = 3_000  # two beats missed: kill and replace
STARVED_LIMIT_MS = 30_000  # time in which it got no CPU counts against a child from here on
START_LIMIT_MS = 10_000  # a child that is not ready by then never will be
FIRST_READY_LIMIT_MS = 45_000  # a start that takes longer has failed: it was not starved alone
HOPELESS_DEATHS = 5  # of one worker in a row, before it was ever ready: no use to wait on
SERVICES_LIMIT_MS = 3_000  # a start does not wait longer for resolverd and control

BACKOFF_FIRST_MS = 100  # after the second death in a row; the first is replaced at once
BACKOFF_MAX_MS = 5_000
BACKOFF_RESET_MS = 10_000  # a child that lived this long starts with a clean record

TICK_MS = 500  # heartbeats are looked at this often
STARTING_TICK_MS = 5  # while a child is waited for
LEAVING_TICK_MS = 1  # while an old worker may accept: it has a turn at once, as a rule
SLICE_MS = 10  # of work in proportion to the configuration, between two looks at signals and ends
STOP_LIMIT_MS = 400  # from the stop word to SIGKILL: the whole end takes less than a second
LOG_END_LIMIT_MS = 400  # the last lines are written to their file by then, or given up
QUIESCE_MS = 250  # handshakes under way finish before the workers empty the queues
EMPTYING_MS = 100  # after the word, workers accept what is queued; unix queues cannot be read
LEAVING_LIMIT_MS = 1_000  # for an old worker to accept no more, before a reload is said to be done
SHUT_LIMIT_MS = 3_000  # queues that no worker empties are closed all the same

LATE_COUNTS_MS = 1_000  # for a slice of old generations' counters: rates are per second

KILL_WAIT_MS = 50  # a killed helper is gone by then, or it is left behind
RETIRE_LIMIT_MS = 400  # control writes no more by then: its sockets rest half a second at most
FINISH_LIMIT_MS = 10_000  # for the answers that a retired control owes: Prometheus waits as long
SERVICES_END_LIMIT_MS = 2_000  # a killed resolverd or control is gone by then
REMNANTS_LIMIT_MS = 400  # killed programs are gone by then: the whole end takes less than a second
FAULT_PAUSE_MS = 100  # a handler that raised rests so long: it might raise again at once

RELOAD_LIMIT_MS = 60_000  # parsing and resolving in the helper child
DROPPED_LIMIT_MS = 20_000  # an answer waits so long for entries that were dropped; the log, longer
TRIAL_LIMIT_MS = 5_000  # dropping privileges in a helper
LIBC_LIMIT_MS = 11_000  # two nameservers of resolv.conf, five seconds each, and some air
LIBC_THREADS = 32  # names asked for at the same time
TAKEOVER_WAIT_MS = 1_000  # for the next word of the program that -x leads to, as HAProxy waits
TAKEOVER_LIMIT_MS = 5_000  # for all of its sockets
TAKEN_SOCKETS_MAX = 65_536  # that it may have: more than anything that is said by mistake
MESSAGE_BYTES_MAX = 512 << 20  # what a helper child may send: settings of 100,000 servers

assert ADOPT_AFTER_MS < SUSPECT_AFTER_MS < STALE_AFTER_MS < START_LIMIT_MS < STARVED_LIMIT_MS
assert STARVED_LIMIT_MS + START_LIMIT_MS <= FIRST_READY_LIMIT_MS
assert BACKOFF_FIRST_MS < BACKOFF_MAX_MS < BACKOFF_RESET_MS
assert STOP_LIMIT_MS + LOG_END_LIMIT_MS < 1_000
assert QUIESCE_MS < 1_000  # the first repetition of a dropped SYN is refused
assert QUIESCE_MS < LEAVING_LIMIT_MS
assert QUIESCE_MS < SHUT_LIMIT_MS
assert RETIRE_LIMIT_MS < SERVICES_END_LIMIT_MS
assert LIBC_LIMIT_MS < RELOAD_LIMIT_MS
assert TAKEOVER_WAIT_MS < TAKEOVER_LIMIT_MS
