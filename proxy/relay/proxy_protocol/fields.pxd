# What a PROXY header of version 2 says beside the addresses, where rules or the log ask for it: the
# name that the client wanted, and its unique id.

from libc.stdint cimport int32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from proxy.relay.proxy_protocol.format cimport (
    HEADER_FIXED_BYTES, MILLRACE_SIGNATURE, TLV_AUTHORITY, TLV_HEADER_BYTES, TLV_UNIQUE_ID,
    VERSION_PROXY)
from proxy.relay.proxy_protocol.read cimport address_bytes, big_endian
from proxy.relay.state.types cimport Addresses
from proxy.rules.types cimport HeaderFields


cdef inline const unsigned char *field_found(
        const unsigned char *header, int start, int size, int kind,
        int32_t *length) noexcept nogil:
    """The value of the last field of a kind; a length of -1: there is none."""
    cdef const unsigned char *found = NULL
    cdef int at = start, taken
    length[0] = -1
    while at + TLV_HEADER_BYTES <= size:
        taken = <int>big_endian(header + at + 1, 2)
        if header[at] == kind:
            found = header + at + TLV_HEADER_BYTES
            length[0] = taken
        at += TLV_HEADER_BYTES + taken
    return found


cdef inline void fields_keep(
        Addresses *addresses, const unsigned char *header, int size) noexcept nogil:
    """Keep the fields of a header that was read; none without memory."""
    cdef const unsigned char *authority
    cdef const unsigned char *unique_id
    cdef HeaderFields *kept
    cdef int32_t authority_length, unique_id_length
    cdef int start
    if header[0] != <unsigned char>MILLRACE_SIGNATURE[0] or header[12] != VERSION_PROXY or (
            address_bytes(header[13]) <= 0):
        return
    start = HEADER_FIXED_BYTES + address_bytes(header[13])
    authority = field_found(header, start, size, TLV_AUTHORITY, &authority_length)
    unique_id = field_found(header, start, size, TLV_UNIQUE_ID, &unique_id_length)
    if authority == NULL and unique_id == NULL:
        return
    kept = <HeaderFields *>malloc(
        sizeof(HeaderFields) + max(authority_length, 0) + max(unique_id_length, 0))
    if kept == NULL:
        return
    kept.authority_length = authority_length
    kept.unique_id_length = unique_id_length
    if authority != NULL:
        memcpy(kept.bytes, authority, authority_length)
    if unique_id != NULL:
        memcpy(kept.bytes + max(authority_length, 0), unique_id, unique_id_length)
    free(addresses.fields)
    addresses.fields = kept
