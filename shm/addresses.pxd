# IP addresses of records: numeric text into 16 bytes and back.

from libc.stdint cimport uint8_t

cdef object address_text(uint8_t family, const uint8_t *address)
cdef uint8_t address_bytes(object text, uint8_t *address) except 255
