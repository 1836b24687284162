# One non-blocking socket of a check in compiled code.


cdef class Connection:
    cdef int descriptor  # -1: closed
    cdef readonly int family

    cdef int open(self, int family) except -1
    cpdef int setsockopt(self, int level, int name, int value) except -1
    cdef int connect(self, bytes address) except -1
    cdef int error(self) except -1
    cdef int reset_on_close(self) except -1

cdef bytes packed_address(object host, object port)
cdef Connection new_connection()
