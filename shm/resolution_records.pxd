# What resolverd counts and tells: nameservers, resolutions, the mailbox, histograms.
#
# Where they lie in the segment, and who writes each, is in layout.pxd.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    INQUIRY_WORDS = 36  # 288 bytes: what control asks of resolverd, whole
    INQUIRY_BYTES = 256  # of text: a DNS name is shorter
    MAIL_WORDS = 8_192  # 64 KiB: one answer; what is longer comes in several
    HISTOGRAM_BUCKETS = 12

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
    uint64_t unusable  # addresses in answers that no server can have
    uint64_t doubted  # questions that were asked over TCP because wrong replies came
    uint64_t spare[7]

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
    uint64_t mail[MAIL_WORDS]

cdef struct SectionHistograms:  # counts by bucket (resolverd says which), and the sum
    uint64_t runs[12]  # question to end of run
    uint64_t runs_sum_ms
    uint64_t moves[12]  # failed connect to another address
    uint64_t moves_sum_ms
    uint64_t spare[6]
