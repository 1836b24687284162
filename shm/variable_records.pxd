# Variables of the program (`proc.*`), as they lie in the segment; variables.pxd reads and sets
# them.
#
# Byte map of AREA_VARIABLES: one VariablesHeader; a VariableCell for each variable; for each row
# of writers and each variable two VariableCopy.

from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t

cdef enum:
    VARIABLE_TEXT_BYTES = 2008  # of one value: a longer one is not set
    VARIABLE_NAME_BYTES = 240  # of one that an order names while the program runs
    VARIABLE_VALUE_WORDS = 4
    VARIABLE_TEXT_WORDS = 251

cdef struct VariablesHeader:
    uint64_t bytes_max  # of all values; 0: no limit. The supervisor's
    uint64_t named  # how many names control has added behind those of the files
    uint64_t spare[6]

cdef struct VariableCell:
    uint64_t current  # shared word: the stamp of the value in force, and its writer; 0: none yet
    uint64_t name_length  # of a name that control has added; written before `named`
    char name[VARIABLE_NAME_BYTES]

cdef struct ProcessValue:  # four words
    uint8_t type  # as of a sample (proxy/rules/types.pxd)
    uint8_t family
    uint8_t truth
    uint8_t binary
    uint32_t length  # of its text
    int64_t number
    uint8_t address[16]

cdef struct VariableCopy:
    uint64_t stamp  # 0: it is being written
    uint64_t value[VARIABLE_VALUE_WORDS]  # a ProcessValue
    uint64_t text[VARIABLE_TEXT_WORDS]
