# The form of a reply that is equal for equal answers. A pure function of bytes.
#
# It is the message without what may differ between two replies that say the same: the id, the times
# to live, and the order of the addresses of one name, which resolvers rotate. Only those that lie
# side by side with one owner, written as a pointer, are sorted: they are of one size, so all else
# keeps its place, and a pointer means the same. Of a message that this cannot be said of there is
# no form, and it has to be read.

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp, memcpy, memset

cdef enum:
    FORM_MAX = 1_232  # bytes of a message: what is sent over UDP in one piece
    HEADER_SIZE = 12
    FIELDS_SIZE = 10  # type, class, time to live, length of the data
    TTL_AT = 4  # in these fields
    POINTER_SIZE = 2
    POINTER_BITS = 0xC0
    LABEL_MAX = 63
    RR_A = 1
    RR_CNAME = 5
    RR_AAAA = 28
    RR_SRV = 33
    RR_OPT = 41
    LIFE_MAX_S = 0x7FFFFFFF


cdef struct ReplyForm:
    uint8_t bytes[FORM_MAX]
    int size  # 0: there is no form
    uint32_t ttl_s  # the smallest of aliases and addresses in the answer
    int addresses  # in the answer


cdef inline uint16_t word_at(const uint8_t *wire, int at) noexcept nogil:
    return <uint16_t>(wire[at] << 8 | wire[at + 1])


cdef inline uint32_t life_at(const uint8_t *wire, int at) noexcept nogil:
    return <uint32_t>word_at(wire, at) << 16 | word_at(wire, at + 2)


cdef inline int behind_name(const uint8_t *wire, int size, int at) noexcept nogil:
    # The offset behind a name; -1 if it ends behind the message.
    while at < size:
        if wire[at] == 0:
            return at + 1
        if wire[at] >= POINTER_BITS:
            return at + POINTER_SIZE
        if wire[at] > LABEL_MAX:
            return -1
        at += wire[at] + 1
    return -1


cdef inline void sort_last(uint8_t *first, int count, int record, int data) noexcept nogil:
    # Move the last of `count` records of one size to its place among the sorted ones before it.
    cdef uint8_t moved[16]
    cdef uint8_t *place = first + (count - 1) * record + record - data
    memcpy(moved, place, data)
    while count > 1 and memcmp(place - record, moved, data) > 0:
        memcpy(place, place - record, data)
        place -= record
        count -= 1
    memcpy(place, moved, data)


cdef inline int make_form(const uint8_t *wire, int size, ReplyForm *form) noexcept nogil:
    # Fills `form`; returns its size.
    cdef int at, start, fields, data, number, answers, others, grouped = 0
    cdef uint16_t kind
    cdef uint8_t *group = NULL  # the first of addresses side by side with one owner
    cdef uint32_t life_s
    form.size, form.addresses, form.ttl_s = 0, 0, LIFE_MAX_S
    if size < HEADER_SIZE or size > FORM_MAX or word_at(wire, 4) != 1:
        return 0
    memcpy(form.bytes, wire, size)
    form.bytes[0] = form.bytes[1] = 0
    answers, others = word_at(wire, 6), word_at(wire, 8)
    at = behind_name(wire, size, HEADER_SIZE) + 4  # type and class
    if at < HEADER_SIZE + 5:
        return 0
    for number in range(answers + others + word_at(wire, 10)):
        start = at
        fields = behind_name(wire, size, start)
        if fields < 0 or fields + FIELDS_SIZE > size:
            return 0
        kind, data = word_at(wire, fields), word_at(wire, fields + 8)
        at = fields + FIELDS_SIZE + data
        if at > size or kind == RR_SRV or (kind == RR_OPT and number < answers + others):
            return 0
        if kind == RR_OPT:
            continue  # the field of its time to live says something else
        life_s = life_at(wire, fields + TTL_AT)
        if life_s > LIFE_MAX_S:
            return 0
        memset(form.bytes + fields + TTL_AT, 0, 4)
        if number >= answers:
            continue
        if kind == RR_A or kind == RR_AAAA or kind == RR_CNAME:
            form.ttl_s = min(form.ttl_s, life_s)
        if kind != RR_A and kind != RR_AAAA:
            group = NULL
            continue
        form.addresses += 1
        if data != (4 if kind == RR_A else 16):
            return 0
        if group != NULL and fields - start == POINTER_SIZE and (
                memcmp(group, form.bytes + start, POINTER_SIZE + FIELDS_SIZE) == 0):
            grouped += 1
            sort_last(group, grouped, at - start, data)
        else:
            group, grouped = form.bytes + start, 1
    if at != size:
        return 0
    form.size = size
    return size
