# What filling.pyx and engine.pyx need of server_filling.pyx.

from libc.stdint cimport uint8_t

from proxy.relay.state.types cimport Engine

cdef void *zeroed(size_t number, size_t size) except NULL
cdef int server_fill(Engine *engine, object proxy, object server, object bells) except -1
cdef uint8_t asked_of_clients(object server) except? 255
