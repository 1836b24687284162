# The limit of a server that moves with the load of its backend. Pure.

from libc.stdint cimport uint64_t


cdef inline uint64_t dynamic_limit(
        uint64_t maxconn, uint64_t minconn, uint64_t fullconn, uint64_t sessions) noexcept nogil:
    """The limit of a server by the load of its backend (manual section 5.2, `minconn`).

    Between `minconn` and `maxconn` in proportion to the backend's sessions over `fullconn`.
    """
    if minconn == 0 or minconn >= maxconn or sessions >= fullconn:
        return maxconn
    return max(minconn, maxconn * sessions // fullconn)
