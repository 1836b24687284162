# What follows a connect of one check, in compiled code.


cdef class Exchange:
    cdef object stream
    cdef object dialect
    cdef bytes unsent  # what the kernel has not taken yet
    cdef bytes received  # too little to be given
    cdef object expected
    cdef bint whole

    cdef unsigned int awaited(self) noexcept
    cpdef object begin(self, object answer)
    cpdef object resume(self)
    cpdef object expire(self)
    cdef object obey(self, object answer)
    cdef object end_of_stream(self)
    cdef int send(self) except -1
    cdef object end(self, error)
    cdef object last(self, event)


cdef class TlsExchange(Exchange):
    cdef object take_rest(self, answer)
