# Compiled conditions and formats in C, and the sample that is compared or written.
#
# Terms, patterns, steps and parts are arrays that program.pyx and formats.pyx fill once; texts
# point into memory of the same program. Nothing here is written after that.

from libc.stddef cimport size_t
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t, uint8_t

from proxy.lists.changing.image cimport Changes
from proxy.lists.layout cimport ListHead
from proxy.lists.regex cimport RegexView
from shm.segment cimport View
from shm.tables.layout cimport Table

cdef enum:
    CALL_NUMBERS = 3  # arguments of a fetch or a converter that are numbers, at most
    SCRATCH_BYTES = 16384  # of one text that a converter makes
    ACCEPTED = -1  # as in proxy/config/model/rules.py
    REJECTED = -2

cdef enum Judgement:
    HOLDS_NOT = 0
    HOLDS = 1
    UNDECIDED = 2  # more bytes may change it

cdef enum:  # types of a sample
    SAMPLE_NUMBER  # also a truth value
    SAMPLE_ADDRESS
    SAMPLE_TEXT
    SAMPLE_NONE  # a variable that is not set

cdef struct Sample:
    uint8_t type
    uint8_t family  # of an address: 4 or 6
    bint truth  # a number that is 0 or 1 where it becomes bytes: as HAProxy
    bint more  # the fetch has another value
    bint binary  # a text that is no number: as HAProxy, which has no cast
    bint unsettled  # more bytes may change it, or bring one where there is none
    uint8_t address[16]
    int64_t number
    const char *text
    size_t length
    size_t position  # where the fetch goes on for the next value; 0 at first
    size_t line_end  # of the line that the position is in; 0: it is at the beginning of one

cdef struct Patterns:  # one list
    const ListHead *head  # as it was packed
    Changes changes
    RegexView *regexes  # compiled, where they are regular expressions

cdef struct Step:  # a converter
    uint16_t convert
    RegexView *regex  # of `regsub`
    int64_t numbers[CALL_NUMBERS]
    const char *text
    size_t length
    const Patterns *patterns  # the map that it looks up in

cdef struct Call:  # a fetch, and the converters behind it
    uint16_t fetch
    int64_t numbers[CALL_NUMBERS]
    const char *text
    size_t length
    const Step *steps
    uint32_t step_count

cdef struct Part:  # of a format
    bint literal  # only the text counts
    const char *text
    size_t length
    Call call
    bint quote
    bint escape
    bint hexadecimal
    char encode  # what stands before the digits of a byte that a header cannot have; 0: nothing

cdef struct Term:
    Call call
    uint8_t matcher
    const int32_t *lists  # their numbers: one of them has to have a pattern of the sample
    uint32_t list_count  # 0: it needs none
    bint negated  # what it says counts the other way round where it stands
    int32_t then
    int32_t otherwise

cdef struct HttpView:  # the head of a request; the texts are the caller's
    const char *method
    size_t method_length
    const char *target  # path and query
    size_t target_length
    const char *headers  # lines, each ended by CR LF or by the end
    size_t headers_length
    const char *version  # HTTP/1.1
    size_t version_length

cdef struct Ends:  # of a connection to a server; family 0: none that has a number
    uint8_t own_family
    uint8_t own[16]
    uint16_t own_port
    uint8_t peer_family
    uint8_t peer[16]
    uint16_t peer_port

cdef struct CheckView:  # what a health check has seen; the texts are the caller's
    uint32_t slot
    const char *name  # of the server
    size_t name_length
    uint32_t number  # of the server: its id
    Ends ends
    const char *received  # what the server said; in a check by HTTP the body
    size_t received_length
    bint raw  # it is all that the server said
    int32_t status  # of an answer by HTTP; -1: there is none
    HttpView answer  # its header lines

cdef struct HelloMemo:  # where the client's hello has what rules ask for, once one has asked
    uint8_t known
    uint8_t unsettled  # it is not whole yet
    uint8_t begins  # it is whole, and has extensions: they begin here
    uint8_t named  # 1: the server name is there; 2: there is none
    const uint8_t *at
    size_t record
    size_t left
    const uint8_t *name_at
    size_t name_record
    size_t name_left

cdef enum:  # HeadKnown
    HEAD_UNKNOWN = 0
    HEAD_THERE = 1
    HEAD_NONE = 2
    HEAD_SHORT = 3  # it is not whole yet

cdef struct ContentView:  # the bytes of one side, from the first that was not passed on
    const char *bytes
    size_t length
    bint from_server
    HelloMemo hello
    uint8_t headed  # HeadKnown: whether it was looked for the head of a request
    HttpView head  # where there is one

cdef struct Variable:
    uint8_t known  # a rule has set it, perhaps to nothing
    uint8_t type
    uint8_t family
    uint8_t truth
    uint8_t binary
    uint32_t length
    int64_t number
    uint8_t address[16]
    char *text  # its own memory

cdef struct Variables:  # of one session; the allocation ends with them
    uint32_t count
    uint64_t used[4]  # bytes, by level (variables/memory.pxd)
    Variable values[1]

cdef struct VariableRoom:  # of one relay
    uint32_t count  # of the variables that a session may have
    uint8_t *scopes  # by number: the level that limits it, and those above
    uint64_t most[4]  # bytes, by level; 0: no limit
    uint64_t used  # by all sessions
    uint32_t row  # where this thread writes variables of the program (shm/variables.pxd)

cdef enum:
    TRACKED_MAX = 3  # entries that one session follows, as HAProxy's

cdef struct Tracked:  # an entry that a session follows, and holds until its end
    uint32_t table  # its number, + 1; 0: none
    uint32_t cell

cdef struct Tracks:
    Tracked entries[TRACKED_MAX]
    uint64_t told[2]  # bytes of each side that the entries know of
    uint8_t used  # at least one entry is there

cdef struct Scratch:  # what converters write into, in turns: the text before is read meanwhile
    char bytes[3][SCRATCH_BYTES]
    uint32_t turn

cdef struct SectionFacts:  # what the configuration says of a frontend
    int64_t number  # its id
    const char *name
    size_t name_length
    const char *backend  # the name of the default one
    size_t backend_length  # 0: it has none
    int64_t client_ms  # `timeout client`; 0: none

cdef struct NameFacts:  # of a bind address, or of a server
    int64_t number  # its id
    const char *name
    size_t length  # 0: it has no name

cdef struct Facts:  # of the configuration; one for all rules of a relay
    const SectionFacts *frontends  # by index
    const NameFacts *binds  # by index
    const NameFacts *server_names  # by slot; NULL: no rule asks
    const uint32_t *maxqueues  # by slot; 0: no limit
    const uint32_t *minconns  # by slot; 0: the limit does not move
    uint64_t *fullconns  # by backend

cdef enum:  # KernelAnswer: of a client's connection
    KERNEL_NOT_ASKED = 0
    KERNEL_SAID = 1
    KERNEL_SILENT = 2

cdef enum:
    KERNEL_NUMBERS = 8

cdef struct HeaderFields:  # of the PROXY header of a client, where something asks for them
    int32_t authority_length  # -1: it has none
    int32_t unique_id_length  # likewise; it stands behind the authority
    char bytes[1]

cdef struct Connection:  # of the client that rules look at
    const Facts *facts  # NULL: there is no such connection
    int fd
    int server_fd  # -1: it has no server yet
    uint32_t frontend
    uint32_t bind
    uint32_t slot  # of its server
    uint32_t worker
    bint headed  # it came with a PROXY header
    bint renamed  # rules have given the session other addresses
    uint8_t error  # ConnectionError: why it did not
    const Ends *ends  # of it, where rules have set them, or it is closed; a family of 0: not so
    const HeaderFields *fields  # NULL: none is known
    const char *decided_file  # where the rule stands that decided last
    size_t decided_length
    int64_t decided_line  # 0: none has
    const char *unique_id  # of the session
    size_t unique_id_length  # 0: it has none
    int64_t now_ms  # of CLOCK_MONOTONIC
    uint8_t asked  # KernelAnswer: the kernel is asked once for one look
    uint32_t kernel[KERNEL_NUMBERS]  # by the number of the fetch

cdef struct Context:  # what the fetches look at; a part that is not there gives no sample
    const View *view
    const HttpView *http
    uint8_t client_family  # 0: no address
    uint8_t client[16]
    uint16_t client_port
    uint8_t front_family
    uint8_t front[16]
    uint16_t front_port
    uint64_t authorised  # bit N: the answer to the section's question N
    const CheckView *check
    const Sample *variables  # of a check, by their number
    Variables **kept  # of a session; NULL: it can have none
    VariableRoom *room  # NULL: nothing here may set one
    uint32_t variable_count
    uint32_t process  # id of the process, as logs have it
    Scratch *scratch  # NULL: converters that make texts give none
    const ContentView *content  # what the client has sent; NULL: nothing is looked at
    const ContentView *answer  # what the server has sent
    bint final  # no more bytes are waited for
    const Table *tables  # stick tables by number; NULL: nothing is asked of them
    uint32_t table_writer  # this process's number at all of them
    int64_t now_ms
    Tracks *tracks  # of the session; NULL where it can have none
    Connection connection
