# Records of session dumps: a question of control's to the relay of one worker, and its answer.
#
# One SessionDump a worker. The question is published through a latch, the answer's number stored
# last: either side may be killed at any instruction. A long answer comes in pages, each asked for,
# so the page is written only while nobody reads it; pages that no answer ever filled cost nothing.

from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t, uint8_t

cdef enum:
    QUESTION_WORDS = 7
    DUMP_RECORDS = 340  # of a page: 64 KiB with its head
    DUMP_ANY = 0xFFFFFFFF  # of a frontend, backend or slot in a question, and none in a record

cdef enum:  # DumpKind
    DUMP_FIRST = 1  # the first page of the sessions that match
    DUMP_NEXT = 2  # the page after it
    DUMP_END = 3  # end the sessions that match

cdef struct DumpQuestion:
    uint64_t number  # 1, 2, 3 ...; 0: none yet
    int64_t before_ms  # sessions that began then or later do not match
    uint64_t object  # of one session (SessionRecord.object); 0: any
    int64_t started_ms  # of that session
    uint32_t kind  # DumpKind
    uint32_t frontend
    uint32_t backend
    uint32_t slot
    uint64_t spare

cdef struct DumpAddress:
    uint16_t family  # AF_INET, AF_INET6, AF_UNIX; 0: none
    uint16_t port
    uint8_t bytes[16]

cdef struct SessionRecord:
    uint64_t object  # where the session is: with `started_ms` its name as long as it lives
    int64_t started_ms
    int64_t attempt_ms
    int64_t deadline_ms  # when something must have happened; 0: never
    int64_t client_activity_ms
    int64_t server_activity_ms
    uint64_t client_bytes  # received from it
    uint64_t server_bytes
    uint32_t client_waiting  # bytes for it that it did not take yet
    uint32_t server_waiting
    uint32_t frontend
    uint32_t backend
    uint32_t slot
    int32_t client_fd
    int32_t server_fd
    uint16_t client_flags  # SideFlag
    uint16_t server_flags
    uint16_t retries
    uint8_t state  # SessionState
    uint8_t flags  # SessionFlag
    uint8_t error  # errno of the last failed attempt
    uint8_t deadline_kind
    uint8_t spare[2]
    uint32_t bind
    DumpAddress source  # of the client
    DumpAddress front  # where it came to
    DumpAddress own  # from where the server was called
    DumpAddress server

cdef struct SessionDump:
    # a latch over DumpQuestion, written by control
    uint64_t sequence
    uint64_t copies[2 * QUESTION_WORDS]
    uint64_t control_spare
    # written by the relay thread
    uint64_t answered  # number of the question that the rest answers, stored last
    uint64_t length  # records of the page
    uint64_t last  # 1: no page follows
    uint64_t ended  # sessions that the question ended
    uint64_t relay_spare[4]
    SessionRecord records[DUMP_RECORDS]
