# Records of a server, and the latches that publish them: slot, admin, health, name.
#
# Where they lie in the segment, and who writes each, is in layout.pxd. A record of zeros says
# nothing: no address, no order, no statement.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    RECORD_WORDS = 7  # 56 bytes: what one latch publishes whole
    NAME_WORDS = 33  # 264 bytes: what one name latch publishes whole
    NAME_BYTES = 255  # the longest DNS name (RFC 1035 section 2.3.4)

cdef enum:  # StaticFlag
    STATIC_CHECKED = 1
    STATIC_BACKUP = 2
    STATIC_INIT_DOWN = 4  # without a health statement the server counts as down
    STATIC_RESOLVED = 8  # its address comes from a resolution
    STATIC_PORT_RELATIVE = 16  # its port is added to the one that the client came to
    STATIC_SHUTDOWN_DOWN = 32  # its sessions end when it goes down or into maintenance
    STATIC_SHUTDOWN_REMOVED = 64  # its sessions end when it has their address no longer
    STATIC_SHUTDOWN_BACKUPS = 128  # sessions of the backups end when it comes up

cdef enum:  # SlotFlag
    SLOT_RMAINT = 0x20  # HAProxy's bit: out for lack of an address
    SLOT_FQDN_CHANGED = 0x40  # HAProxy's bit: an SRV record or the operator gave it a name
    SLOT_BACKUP = 0x80  # its SRV record has a priority that makes it a backup; no bit of HAProxy's

cdef enum:  # AdminFlag
    ADMIN_FMAINT = 0x01  # forced by the operator
    ADMIN_CMAINT = 0x04  # `disabled` in the configuration
    ADMIN_FDRAIN = 0x08
    ADMIN_CHECK_OFF = 0x100  # health checks are suspended by the operator; no bit of HAProxy's

cdef enum:  # which of them say the same
    ADMIN_MASK_MAINT = ADMIN_FMAINT | ADMIN_CMAINT
    ADMIN_MASK_DRAIN = ADMIN_FDRAIN

cdef enum:  # HealthOrder: what the operator said of a server's health
    HEALTH_ORDER_NONE = 0
    HEALTH_ORDER_UP = 1
    HEALTH_ORDER_STOPPING = 2
    HEALTH_ORDER_DOWN = 3

cdef enum:  # Operational: HAProxy's srv_op_state
    SERVER_STOPPED = 0
    SERVER_STARTING = 1
    SERVER_RUNNING = 2
    SERVER_STOPPING = 3

cdef struct SlotStatic:
    uint32_t backend  # index
    uint32_t flags  # StaticFlag
    uint32_t weight  # configured, 0..256
    uint32_t maxconn  # 0: none
    uint32_t rise  # checks
    uint32_t fall  # checks
    uint32_t id  # srv_id
    uint32_t removed_drain_ms  # STATIC_SHUTDOWN_REMOVED: so much later; 0: at once
    uint32_t slowstart_ms  # how long it warms up after it came back; 0: not at all
    uint32_t tracked_plus_one  # the slot whose state it shares; 0: none

cdef struct Latch:
    uint64_t sequence  # the low bit says which copy readers take
    uint64_t copies[14]  # two copies of RECORD_WORDS words
    uint64_t spare

cdef struct SlotRecord:
    uint32_t generation  # +1 whenever the address or port becomes another one
    uint32_t incarnation  # +1 whenever an address comes after none: health starts anew
    uint8_t family  # 0 none, 4, 6
    uint8_t flags  # SlotFlag
    uint16_t port  # host order
    uint32_t weight_plus_one  # from DNS; 0: the configured one
    uint8_t address[16]  # network order; IPv4 takes the first four bytes
    int64_t changed_ms  # when an address came after none, or went
    uint32_t cause  # why the address is what it is (Cause in states.py names them)
    uint32_t spare
    uint64_t spare_word

cdef struct AdminRecord:
    uint32_t flags  # AdminFlag
    uint32_t weight_plus_one  # set by the operator, 1..257; 0: not set
    uint8_t family  # of the override; 0: none
    uint8_t health_order  # HealthOrder
    uint16_t port  # of the override; 0: the slot's
    uint32_t override_generation  # the override holds while the slot has this generation
    uint8_t address[16]
    int64_t changed_ms
    uint32_t health_orders  # given so far: a checker obeys each of them once
    uint32_t health_incarnation  # of the slot that the last one speaks of
    uint32_t maxconn_plus_one  # set by the operator; 0: the configured one
    uint32_t returned  # 1: at `changed_ms` it left maintenance, or the operator said that it is up

cdef struct HealthRecord:
    uint32_t incarnation  # of the slot that it speaks of; another one reads as no statement
    uint32_t generation  # of the slot when the last check was made
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
    uint32_t orders_taken  # AdminRecord.health_orders that this record has obeyed
    uint64_t downtime_ms  # of ended downtimes
    int64_t checked_ms  # end of the last check; 0: none yet

cdef struct NameLatch:
    uint64_t sequence  # the low bit says which copy readers take
    uint64_t copies[66]  # two copies of NAME_WORDS words
    uint64_t spare[5]

cdef struct NameRecord:
    # a target: end of its last valid resolution; an order: when it was given; a nameserver: when
    # its row was taken or, without a name, became free
    int64_t stamp_ms
    uint8_t length  # bytes; 0: no name
    uint8_t text[255]  # lower case, without the trailing dot
