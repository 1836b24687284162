# Rules of frontends and backends, and what their conditions are judged with. Written once, by
# rules/compile.pyx; all of it is private memory of one relay, and only read after that.

from libc.stddef cimport size_t
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t, uint8_t

from proxy.rules.types cimport Call, Facts, Part, Patterns, Scratch, Term, VariableRoom

cdef enum:
    ALWAYS = -1  # the condition of a rule without one
    VARIABLE_NONE = -1

cdef enum:
    INSPECT_BYTES_MAX = 15360  # of one side that rules look at: HAProxy's buffer less its reserve
    INSPECTED_BYTES_MAX = 67108864  # of memory, held by one worker

cdef enum:  # what came since the last look
    CAME_NOTHING = 0
    CAME_BYTES = 1
    CAME_LAST = 2  # nothing follows: the side has finished, or no more are held
    CAME_BROKEN = 3  # nothing follows: the side has broken the connection
    CAME_LOST = 4  # without memory

cdef enum:  # Asked: what is counted because a rule looks at it
    ASKED_RATES = 1  # of frontends, backends and servers
    ASKED_BINDS = 2  # sessions of each bind address
    ASKED_FIELDS = 4  # of PROXY headers: what is kept of them
    ASKED_UNIQUE_ID = 8  # of sessions, before their servers

cdef enum RuleAction:
    RULE_ACCEPT = 0  # the rules behind it are not looked at
    RULE_REJECT = 1
    RULE_DROP = 2  # likewise, and the client is not told
    RULE_EXPECT_PROXY = 3  # the connection begins with a PROXY header
    RULE_BACKEND = 4
    RULE_SERVER = 5
    RULE_CLOSE = 6  # the connection to the server ends
    RULE_STICK_ON = 7  # the two behind it together
    RULE_STICK_MATCH = 8  # to the server that an entry of a table names
    RULE_STICK_STORE = 9  # the entry will name the session's server
    RULE_TRACK = 10  # the session follows an entry; this and the others decide nothing
    RULE_COUNT = 11  # a counter of an entry that it follows
    RULE_TAG = 12  # a tag of one
    RULE_SET_VARIABLE = 13  # from here on: what notes something of the session
    RULE_UNSET_VARIABLE = 14
    RULE_CAPTURE = 15
    RULE_SET_SOURCE = 16  # from here on: what changes the session (rules/adjust.pxd)
    RULE_SET_SOURCE_PORT = 17
    RULE_SET_DESTINATION = 18
    RULE_SET_DESTINATION_PORT = 19
    RULE_CLIENT_MARK = 20
    RULE_CLIENT_TOS = 21
    RULE_SERVER_MARK = 22
    RULE_SERVER_TOS = 23
    RULE_LOG_LEVEL = 24
    RULE_RETRIES = 25
    RULE_NOTHING = 26
    RULE_FORCE = 27  # each of these is in a ruleset of its own
    RULE_IGNORE = 28
    RULE_COOKIE = 29
    RULE_HASH = 30

cdef enum:  # Marked: what rules set on connections to servers
    MARKED_PACKETS = 1
    MARKED_TOS = 2

cdef enum:
    LOG_LEVEL_SILENT = 9  # of a session that rules keep out of the log, beside the levels

cdef struct Rule:
    int32_t condition  # its first term; ALWAYS
    uint8_t action  # RuleAction
    uint8_t tracked  # which of the entries that a session follows
    uint16_t data  # of that entry: as expressions have it
    int32_t target  # index of the backend, -1 for none; slot of the server; number of the table;
    # of the variable, VARIABLE_NONE for one that is not there at this stage
    const Call *key  # of the table's entry; of what is set the value
    uint64_t *hits  # in the row of the worker, which counts what the rule does
    const Part *parts  # of the format that says the name of the backend, or what a variable gets
    uint32_t part_count  # 0: there is none
    uint32_t when  # conditions of `set-var`
    uint32_t length  # bytes that are captured, at most
    uint32_t line  # where it stands
    const char *file
    size_t file_length

cdef struct Ruleset:  # looked at from the first on
    const Rule *rules
    uint32_t count
    uint8_t front  # a condition names the address that the client came to

cdef struct FrontendRules:
    Ruleset connection  # before anything is read
    Ruleset session  # behind the PROXY header
    Ruleset content  # with the client's first bytes
    Ruleset backends
    int64_t inspect_ms  # for bytes that `content` looks at; 0: those that are there
    int backend  # index of the section's own, a `listen`; -1: it has none

cdef struct BackendRules:
    Ruleset content  # for sessions of other sections: a `listen` has asked its own clients
    int frontend  # index of the section's own; -1: it has none
    Ruleset server_rules
    Ruleset response  # with the server's first bytes
    Ruleset sticks
    Ruleset persists  # the first that holds counts
    Ruleset cookies  # the only one has the cookie that may name a server
    Ruleset hashes  # the only one has what is hashed instead of the client's address
    uint8_t hash_function  # ConvertCode of proxy/rules/codes.pxd; 0: the value is the hash
    Ruleset answers  # keys of what the server has sent
    int64_t inspect_ms
    int64_t response_ms  # for bytes that `response` looks at

cdef struct BackendName:
    const char *bytes  # NULL: a free place
    uint32_t length
    int32_t index  # -1: it is disabled

cdef struct BackendNames:  # hashed; rules/names.pxd
    BackendName *places
    uint64_t mask  # one less than there are places, which is a power of two
    char *room  # for a name that is looked for
    size_t room_bytes  # more than the longest has
    uint32_t first_spare  # backends from there to the last get their names at run time
    uint32_t spare_end

cdef struct Judge:
    const Term *terms
    const Patterns *patterns
    Scratch *scratch
    Facts facts
    uint8_t asks  # Asked
    BackendNames names  # of those that formats may say
    VariableRoom *room
    char *text  # SCRATCH_BYTES: what a format says for a variable
