# Variables of a session (manual, `set-var`): what rules set, and other rules and the log look at.
#
# They have numbers since the configuration was read. A session that sets one gets room for all of
# them at once; texts have memory of their own. What does not fit, for lack of memory or because of
# a limit (`tune.vars.*`), is not set.

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from proxy.rules.types cimport (
    SAMPLE_NONE, SAMPLE_NUMBER, SAMPLE_TEXT, Sample, Variable, VariableRoom,
    Variables)

cdef enum:
    LEVELS = 4  # of limits: of all sessions, of one, of what a server serves, of one side
    VARIABLE_BYTES = 80  # that a variable counts for beside its text: as in HAProxy

cdef enum:  # what came of setting a variable
    NO_ROOM = 0
    WAS_SET = 1
    WAS_KEPT = 2  # a condition did not hold

cdef enum:  # conditions of `set-var`, as in proxy/config/model/rules.py
    IF_EXISTS = 1
    IF_NOT_EXISTS = 2
    IF_EMPTY = 4
    IF_NOT_EMPTY = 8
    IF_SET = 16
    IF_NOT_SET = 32
    IF_GREATER = 64
    IF_LESS = 128


cdef inline bint variable_sample(
        const Variables *variables, uint64_t number, Sample *sample) noexcept nogil:
    """What a variable has; False: it has nothing."""
    cdef const Variable *variable
    if variables == NULL or number >= variables.count:
        return False
    variable = &variables.values[number]
    if variable.type == SAMPLE_NONE:
        return False
    sample.type = variable.type
    sample.family = variable.family
    sample.truth = variable.truth
    sample.binary = variable.binary
    sample.number = variable.number
    memcpy(sample.address, variable.address, 16)
    sample.text = variable.text
    sample.length = variable.length
    return True


cdef inline bint may_set(
        const Variable *variable, const Sample *sample, uint32_t when) noexcept nogil:
    """Whether the conditions of a rule let it set a variable that exists."""
    cdef bint has_value = variable.type != SAMPLE_NONE
    cdef bint empty = sample.type == SAMPLE_TEXT and sample.length == 0
    if (when & IF_SET and not has_value) or (when & IF_NOT_SET and has_value):
        return False
    if (when & IF_EMPTY and not empty) or (when & IF_NOT_EMPTY and empty):
        return False
    if variable.type == SAMPLE_NUMBER and sample.type == SAMPLE_NUMBER:
        if when & IF_GREATER and variable.number <= sample.number:
            return False
        return not when & IF_LESS or variable.number < sample.number
    return True


cdef inline bint count_bytes(
        VariableRoom *room, Variables *variables, uint8_t scope, int64_t more) noexcept nogil:
    """Let a variable of a scope take so many bytes more, or fewer; False: a limit forbids it."""
    cdef uint8_t level
    if more > 0:
        if room.most[0] != 0 and room.used + more > room.most[0]:
            return False
        for level in range(1, scope + 1):
            if room.most[level] != 0 and variables.used[level] + more > room.most[level]:
                return False
    room.used += more
    for level in range(1, scope + 1):
        variables.used[level] += more
    return True


cdef inline Variables *variables_of(VariableRoom *room, Variables **kept) noexcept nogil:
    """The session's variables, none of them set at first; NULL without memory."""
    cdef uint32_t number
    cdef size_t size
    if kept[0] == NULL:
        size = sizeof(Variables) + room.count * sizeof(Variable)
        kept[0] = <Variables *>calloc(1, size)
        if kept[0] != NULL:
            kept[0].count = room.count
            for number in range(room.count):
                kept[0].values[number].type = SAMPLE_NONE
    return kept[0]


cdef inline Variable *variable_of(
        VariableRoom *room, Variables **kept, uint32_t number) noexcept nogil:
    """A variable, which exists from now on; NULL without room."""
    cdef Variables *variables = variables_of(room, kept)
    if variables == NULL:
        return NULL
    if not variables.values[number].known:
        if not count_bytes(room, variables, room.scopes[number], VARIABLE_BYTES):
            return NULL
        variables.values[number].known = True
    return &variables.values[number]


cdef inline int variable_set(
        VariableRoom *room, Variables **kept, uint32_t number, const Sample *sample,
        uint32_t when) noexcept nogil:
    """Set a variable, if its conditions hold; what came of it.

    As in HAProxy it exists afterwards, also where a condition about values does not hold. The
    sample may be what the variable has.
    """
    cdef bint known = kept[0] != NULL and kept[0].values[number].known
    cdef size_t length = sample.length if sample.type == SAMPLE_TEXT else 0
    cdef Variable *variable
    cdef char *text = NULL
    if (when & IF_EXISTS and not known) or (when & IF_NOT_EXISTS and known):
        return WAS_KEPT
    variable = variable_of(room, kept, number)
    if variable == NULL:
        return NO_ROOM
    if not may_set(variable, sample, when):
        return WAS_KEPT
    if length != 0:
        text = <char *>malloc(length)
        if text == NULL:
            return NO_ROOM
        memcpy(text, sample.text, length)
    if not count_bytes(
            room, kept[0], room.scopes[number], <int64_t>length - variable.length):
        free(text)
        return NO_ROOM
    free(variable.text)
    variable.type = sample.type
    variable.family = sample.family
    variable.truth = sample.truth
    variable.binary = sample.binary
    variable.number = sample.number
    memcpy(variable.address, sample.address, 16)
    variable.text = text
    variable.length = <uint32_t>length
    return WAS_SET


cdef inline void variable_unset(
        VariableRoom *room, Variables *variables, uint32_t number) noexcept nogil:
    """Let a variable exist no more."""
    cdef Variable *variable
    if variables == NULL or not variables.values[number].known:
        return
    variable = &variables.values[number]
    count_bytes(
        room, variables, room.scopes[number], -<int64_t>variable.length - VARIABLE_BYTES)
    free(variable.text)
    memset(variable, 0, sizeof(Variable))
    variable.type = SAMPLE_NONE


cdef inline void variables_free(VariableRoom *room, Variables **kept) noexcept nogil:
    """The session is over."""
    cdef Variables *variables = kept[0]
    cdef uint32_t number
    if variables == NULL:
        return
    for number in range(variables.count):
        free(variables.values[number].text)
    room.used -= variables.used[1]
    free(variables)
    kept[0] = NULL
