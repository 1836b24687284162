# Records of resolverd: nameservers, resolutions, the mailbox, histograms.
#
# layout.pxd has their areas and writers.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    INQUIRY_WORDS = 36  # 288 bytes: a question of control to resolverd
    INQUIRY_BYTES = 256  # of its text: a DNS name is shorter
    MAIL_WORDS = 8_192  # 64 KiB: one answer; longer ones have several pages
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
    uint64_t doubted  # questions asked over TCP after wrong replies
    uint64_t spare[7]

cdef struct ResolutionRecord:
    uint64_t last_valid_ms  # end of the last valid run, or when the name was first asked for
    uint64_t last_run_ms  # end of the last run
    uint64_t status  # of the last run (Status in resolverd/dns/answer.py)
    uint64_t records_seen  # in the last valid answer
    uint64_t slots_used
    uint64_t slots_missing
    uint64_t runs
    uint64_t triggers  # runs triggered by a failed connect
    uint64_t ipv4_valid_ms  # end of the last run with a valid answer of this family, likewise
    uint64_t ipv6_valid_ms
    uint64_t triggers_held_until_ms  # until then failed connects trigger no run
    uint64_t returns  # records that left and came back within a minute
    uint64_t answered  # 1 once a valid answer has come: `last_valid_ms` is the time of one
    uint64_t spare[3]

cdef struct Inquiry:
    uint64_t number  # 1, 2, 3 ...; 0: no question yet
    uint32_t kind  # Kind in resolverd/records/schema.py
    uint32_t length  # bytes of text
    uint64_t key  # a slot
    int64_t cursor  # where the page of a long answer begins
    uint8_t text[256]

cdef struct Mailbox:
    # a latch over Inquiry, written by control
    uint64_t sequence
    uint64_t copies[72]
    uint64_t control_spare[7]
    # written by resolverd
    uint64_t answered  # number of the inquiry answered by `mail`, stored last; 0: being written
    uint64_t length  # bytes of `mail`
    uint64_t resolverd_spare[6]
    uint64_t mail[MAIL_WORDS]

cdef struct SectionHistograms:  # counts by bucket (resolverd/pace/durations.py), and the sum
    uint64_t runs[12]  # question to end of run
    uint64_t runs_sum_ms
    uint64_t moves[12]  # failed connect to another address
    uint64_t moves_sum_ms
    uint64_t spare[6]
