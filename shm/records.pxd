# Records of a server, and the latches that publish them: slot, admin, health, agent, name.
#
# layout.pxd has their areas and writers. A record of zeros is empty: no address, no order, no
# check.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    RECORD_WORDS = 7  # 56 bytes: the record of a latch
    AGENT_WORDS = 8  # 64 bytes: a record of an agent's latch
    NAME_WORDS = 33  # 264 bytes: the record of a name latch
    NAME_BYTES = 255  # the longest DNS name (RFC 1035 section 2.3.4)

cdef enum:  # StaticFlag
    STATIC_CHECKED = 1
    STATIC_BACKUP = 2
    STATIC_INIT_DOWN = 4  # down until a health record of its incarnation (`init-state`)
    STATIC_RESOLVED = 8  # its address comes from a resolution
    STATIC_PORT_RELATIVE = 16  # its port is an offset to the client's destination port
    STATIC_SHUTDOWN_DOWN = 32  # its sessions end when it goes down or into maintenance
    STATIC_SHUTDOWN_REMOVED = 64  # `on-removed`: sessions to a former address of it end
    STATIC_SHUTDOWN_BACKUPS = 128  # sessions of the backups end when it comes up

cdef enum:  # SlotFlag
    SLOT_RMAINT = 0x20  # HAProxy's bit: in maintenance without an address
    SLOT_FQDN_CHANGED = 0x40  # HAProxy's bit: an SRV record or the operator gave it a name
    SLOT_BACKUP = 0x80  # a backup by the priority of its SRV record; no bit of HAProxy's

cdef enum:  # AdminFlag
    ADMIN_FMAINT = 0x01  # forced by the operator
    ADMIN_CMAINT = 0x04  # `disabled` in the configuration
    ADMIN_FDRAIN = 0x08
    ADMIN_CHECK_OFF = 0x100  # health checks are suspended by the operator; no bit of HAProxy's

cdef enum:  # masks of the flags with one meaning
    ADMIN_MASK_MAINT = ADMIN_FMAINT | ADMIN_CMAINT
    ADMIN_MASK_DRAIN = ADMIN_FDRAIN

cdef enum:  # HealthOrder: `set server ... health` of the operator
    HEALTH_ORDER_NONE = 0
    HEALTH_ORDER_UP = 1
    HEALTH_ORDER_STOPPING = 2
    HEALTH_ORDER_DOWN = 3

cdef enum:  # AgentWord: what an agent said last of the administrative state
    AGENT_WORD_NONE = 0
    AGENT_WORD_READY = 1
    AGENT_WORD_DRAIN = 2
    AGENT_WORD_MAINT = 3

cdef enum:  # AgentCommand: `set server ... agent` of the operator
    AGENT_COMMAND_NONE = 0
    AGENT_COMMAND_UP = 1
    AGENT_COMMAND_DOWN = 2

cdef enum:  # Operational: HAProxy's srv_op_state
    SERVER_STOPPED = 0
    SERVER_STARTING = 1
    SERVER_RUNNING = 2
    SERVER_STOPPING = 3

cdef enum:  # CheckResult: HAProxy's srv_check_result
    RESULT_UNKNOWN = 0
    RESULT_NEUTRAL = 1
    RESULT_FAILED = 2
    RESULT_PASSED = 3
    RESULT_CONDITIONAL = 4
cdef enum:
    STATIC_DELETED = 0xFFFFFFFF  # in `added`: the server is gone, the slot not free yet

cdef struct SlotStatic:
    uint32_t backend  # index
    uint32_t flags  # StaticFlag
    uint32_t weight  # configured, 0..256
    uint32_t maxconn  # 0: none
    uint32_t rise  # checks
    uint32_t fall  # checks
    uint32_t id  # srv_id
    uint32_t removed_drain_ms  # STATIC_SHUTDOWN_REMOVED: after this time; 0: at once
    uint32_t slowstart_ms  # of its warming up after it came back; 0: none
    uint32_t tracked_plus_one  # the slot that it tracks; 0: none
    uint32_t column  # of the gauges: its sheet, and the place there
    uint32_t agent_plus_one  # the agent that is asked about it; 0: none
    uint32_t added  # the change that added it (members.pxd); 0: as in the file; STATIC_DELETED

cdef struct Latch:
    uint64_t sequence  # the low bit says which copy readers take
    uint64_t copies[14]  # two copies of RECORD_WORDS words
    uint64_t spare

cdef struct SlotRecord:
    uint32_t generation  # +1 with each change of address or port
    uint32_t incarnation  # +1 when an address comes after none: a health record is for one only
    uint8_t family  # 0 none, 4, 6
    uint8_t flags  # SlotFlag
    uint16_t port  # host order
    uint32_t weight_plus_one  # from DNS; 0: the configured one
    uint8_t address[16]  # network order; IPv4 takes the first four bytes
    int64_t changed_ms  # when an address last came after none, or was lost
    uint32_t cause  # of the address, or of its loss (Cause in states.py)
    uint32_t spare
    uint64_t spare_word

cdef struct AdminRecord:
    uint32_t flags  # AdminFlag
    uint32_t weight_plus_one  # set by the operator, 1..257; 0: not set
    uint8_t family  # of the override; 0: none
    uint8_t health_order  # HealthOrder
    uint16_t port  # of the override; 0: the slot's
    uint32_t override_generation  # the override is valid while the slot has this generation
    uint8_t address[16]
    int64_t changed_ms
    uint32_t health_orders  # their number, modulo 65536: the worker that checks applies each once
    uint32_t health_incarnation  # of the slot at the last order
    uint32_t maxconn_plus_one  # set by the operator; 0: the configured one
    uint8_t returned  # 1: at `changed_ms` it left maintenance, or was ordered up
    uint8_t comings  # how often that was so, modulo 256: a reader that looks late sees each
    uint8_t goings  # how often it was taken into maintenance, or was ordered down; modulo 256
    uint8_t spare

cdef struct HealthRecord:
    uint32_t incarnation  # of the slot; the record is void for another one
    uint32_t generation  # of the slot at the last check
    uint8_t operational  # Operational
    uint8_t status  # HAProxy's srv_check_status number
    uint8_t result  # HAProxy's srv_check_result number
    uint8_t check_state  # HAProxy's srv_check_state mask
    uint16_t health  # 0 .. rise + fall - 1; >= rise: up
    uint16_t code  # errno of a failed connect, or 0
    int64_t changed_ms  # of `operational`
    uint32_t duration_us  # of the last check
    uint32_t failures  # checks failed while the server was up
    uint32_t downs  # transitions to DOWN
    uint16_t orders_taken  # AdminRecord.health_orders applied to this record
    uint8_t returned  # 1: it has come back into service, from STOPPED or STOPPING
    uint8_t spare
    uint64_t downtime_ms  # of ended downtimes
    int64_t checked_ms  # end of the last check; 0: none yet

cdef struct AgentLatch:
    uint64_t sequence  # the low bit says which copy readers take
    uint64_t copies[16]  # two copies of AGENT_WORDS words
    uint64_t spare[7]

cdef struct AgentRecord:
    # what the agent has said: the time of each word (CLOCK_MONOTONIC, ns), 0 for never
    int64_t weight_ns
    int64_t state_ns
    int64_t maxconn_ns
    int64_t changed_ms  # when its word changed the administrative state
    int64_t checked_ms  # end of its last check; 0: none yet
    uint32_t weight_plus_one  # as in AdminRecord
    uint32_t maxconn_plus_one  # likewise
    uint32_t duration_us  # of the last check
    uint32_t orders_taken  # AgentOrder.orders applied to this record
    uint8_t word  # AgentWord
    uint8_t returned  # 1: at `changed_ms` the server left maintenance
    uint8_t comings  # how often that was so, modulo 256
    uint8_t goings  # how often a word took it into maintenance, modulo 256
    uint8_t status  # HAProxy's number, as of a health check
    uint8_t running  # 1: a check is under way
    uint8_t down  # 1: the agent, or the operator for it, has said so
    uint8_t code  # errno of a failed connect, or 0

cdef struct AgentOrder:
    # when the operator ordered what an agent may say, too (CLOCK_MONOTONIC, ns), 0 for never
    int64_t weight_ns
    int64_t state_ns
    int64_t maxconn_ns
    uint8_t address[16]  # of the agent, ordered by the operator: network order
    uint8_t family  # of that; 0: the configured address
    uint8_t off  # 1: the agent is not asked
    uint16_t port  # ordered by the operator; 0: the configured one
    uint32_t orders  # their number: the worker that checks obeys each once
    uint8_t order  # AgentCommand, the last one
    uint8_t spare[7]
    uint64_t spare_word

cdef struct NameLatch:
    uint64_t sequence  # the low bit says which copy readers take
    uint64_t copies[66]  # two copies of NAME_WORDS words
    uint64_t spare[5]

cdef struct NameRecord:
    # a target: end of its last valid resolution; an order: its time; a nameserver: when its row was
    # assigned or, without a name, became free; the text of a check: when the check ended; what an
    # agent is sent: when it was ordered, 0 for never
    int64_t stamp_ms
    uint8_t length  # bytes; 0: no name
    uint8_t text[255]  # a name in lower case, without the trailing dot; a text in UTF-8

cdef struct Agent:
    AgentLatch said  # AgentRecord: the worker that checks the server
    AgentLatch ordered  # AgentOrder: control
    NameLatch text  # NameRecord, of the last check: the worker
    NameLatch sending  # NameRecord, of the last `set server ... agent-send`: control
