# What became of a connection whose PROXY header was waited for (manual section 7.3.3, `fc_err` and
# `fc_err_str`): HAProxy's numbers, and its words.

from libc.stdint cimport uint8_t

cdef enum:  # ConnectionError
    ERROR_NONE = 0
    ERROR_EMPTY = 11
    ERROR_ABORT = 12
    ERROR_TIMEOUT = 13
    ERROR_TRUNCATED = 14
    ERROR_NO_HEADER = 15
    ERROR_BAD_HEADER = 16
    ERROR_BAD_PROTOCOL = 17


cdef inline const char *error_text(uint8_t error) noexcept nogil:
    if error == ERROR_EMPTY:
        return b"Connection closed while waiting for PROXY protocol header"
    if error == ERROR_ABORT:
        return b"Connection error while waiting for PROXY protocol header"
    if error == ERROR_TIMEOUT:
        return b"Timeout while waiting for PROXY protocol header"
    if error == ERROR_TRUNCATED:
        return b"Truncated PROXY protocol header received"
    if error == ERROR_NO_HEADER:
        return b"Received something which does not look like a PROXY protocol header"
    if error == ERROR_BAD_HEADER:
        return b"Received an invalid PROXY protocol header"
    if error == ERROR_BAD_PROTOCOL:
        return b"Received an unhandled protocol in the PROXY protocol header"
    return b"Success"
