# Properties of packets of MQTT 5.0 (its sections 2.2.2, 3.1.2.11, 3.1.3.2 and 3.2.2.3). Pure.
#
# A packet has each at most once, but that of users; one that is no property of its place, has no
# room in it or a value that the standard forbids makes the packet wrong.

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t

cdef enum:  # MqttPlace: where properties stand
    OF_CONNECT = 0
    OF_WILL = 1
    OF_CONNACK = 2

cdef enum:
    VARINT_BYTES_MAX = 4
    USER_PROPERTY = 38
    NO_FIELD = -2  # nothing looks for it

cdef enum:  # PropertyKind
    NO_PROPERTY = 0
    ONE_BYTE = 1
    TWO_BYTES = 2
    FOUR_BYTES = 4
    A_TEXT = 5
    TWO_TEXTS = 6

cdef struct MqttReader:  # of bytes that are read once, from the first on
    const uint8_t *at
    const uint8_t *end
    bint wrong  # something did not fit, or may not be

cdef struct MqttField:  # that is looked for
    int64_t sought
    bint there
    bint numeric
    uint64_t number
    const uint8_t *text
    size_t length


cdef inline uint32_t mqtt_number(MqttReader *reader, int size) noexcept nogil:
    """The next bytes as a number in network order."""
    cdef uint32_t number = 0
    cdef int at
    if reader.wrong or reader.end - reader.at < size:
        reader.wrong = True
        return 0
    for at in range(size):
        number = number << 8 | reader.at[at]
    reader.at += size
    return number


cdef inline uint32_t mqtt_varint(MqttReader *reader) noexcept nogil:
    """A number of seven bits a byte, the lowest first."""
    cdef uint32_t number = 0
    cdef uint8_t byte
    cdef int at
    for at in range(VARINT_BYTES_MAX):
        if reader.wrong or reader.at == reader.end:
            break
        byte = reader.at[0]
        reader.at += 1
        number |= <uint32_t>(byte & 0x7F) << (7 * at)
        if not byte & 0x80:
            return number
    reader.wrong = True
    return 0


cdef inline void mqtt_text(MqttReader *reader, MqttField *field, int64_t which) noexcept nogil:
    """A text behind its length, which is the field if that is looked for."""
    cdef uint32_t length = mqtt_number(reader, 2)
    if reader.wrong or reader.end - reader.at < length:
        reader.wrong = True
        return
    if field.sought == which:
        field.there = True
        field.numeric = False
        field.text = reader.at
        field.length = length
    reader.at += length


cdef inline uint32_t mqtt_noted(
        MqttReader *reader, int size, MqttField *field, int64_t which) noexcept nogil:
    """A number, which is the field if that is looked for."""
    cdef uint32_t number = mqtt_number(reader, size)
    if field.sought == which:
        field.there = field.numeric = True
        field.number = number
    return number


cdef inline int general_kind(uint32_t number) noexcept nogil:
    """What a property has, wherever it may stand."""
    if number == 38:
        return TWO_TEXTS
    if number in (1, 23, 25, 36, 37, 40, 41, 42):
        return ONE_BYTE
    if number in (19, 33, 34):
        return TWO_BYTES
    if number in (2, 17, 24, 39):
        return FOUR_BYTES
    if number in (3, 8, 9, 18, 21, 22, 26, 28, 31):
        return A_TEXT
    return NO_PROPERTY


cdef inline int property_kind(int place, uint32_t number) noexcept nogil:
    """What a property has; NO_PROPERTY: it does not belong there."""
    cdef bint may_be = number == USER_PROPERTY
    if place == OF_CONNECT:
        may_be = may_be or number in (17, 21, 22, 23, 25, 33, 34, 39)
    elif place == OF_WILL:
        may_be = may_be or number in (1, 2, 3, 8, 9, 24)
    else:
        may_be = may_be or number in (
            17, 18, 19, 21, 22, 26, 28, 31, 33, 34, 36, 37, 39, 40, 41, 42)
    return general_kind(number) if may_be else NO_PROPERTY


cdef inline bint may_have(uint32_t number, uint32_t value) noexcept nogil:
    """Whether a property that is a number may have that value."""
    if general_kind(number) == ONE_BYTE:
        return value <= 1
    return value != 0 or (number != 33 and number != 39)


cdef inline void mqtt_properties(
        MqttReader *reader, MqttField *field, int place) noexcept nogil:
    """All properties of one place, behind their length."""
    cdef uint64_t seen = 0
    cdef uint32_t length = mqtt_varint(reader), number, value
    cdef const uint8_t *end = reader.at + length
    cdef const uint8_t *last = reader.end
    cdef int kind
    if reader.wrong or length > <size_t>(reader.end - reader.at):
        reader.wrong = True
        return
    reader.end = end
    while reader.at < end and not reader.wrong:
        number = mqtt_varint(reader)
        kind = property_kind(place, number) if not reader.wrong else NO_PROPERTY
        if kind == NO_PROPERTY or (kind != TWO_TEXTS and seen >> number & 1):
            reader.wrong = True
            break
        seen |= <uint64_t>1 << number
        if kind <= FOUR_BYTES:
            value = mqtt_noted(reader, kind, field, number)
            reader.wrong = reader.wrong or not may_have(number, value)
        else:
            mqtt_text(reader, field, NO_FIELD if kind == TWO_TEXTS else number)
            if kind == TWO_TEXTS:
                mqtt_text(reader, field, NO_FIELD)
    reader.end = last


cdef inline void number_absent(MqttField *field, int place) noexcept nogil:
    """As in HAProxy a number that a packet of 5.0 has not is 0."""
    cdef int kind
    if field.there or not 0 <= field.sought < 256:
        return
    kind = property_kind(place, <uint32_t>field.sought)
    if NO_PROPERTY < kind <= FOUR_BYTES:
        field.there = field.numeric = True
        field.number = 0
