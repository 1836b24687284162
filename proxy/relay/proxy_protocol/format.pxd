# The PROXY protocol's header: its constants, its limits, and the checksum of version 2.
#
# Facts of the public specification (proxy-protocol.txt). Pure arithmetic on bytes. Reading is
# read.pxd, writing write.pxd.

from libc.stdint cimport uint32_t

cdef enum:
    HEADER_LINE_BYTES_MAX = 107  # version 1: the longest line with its CRLF
    HEADER_FIXED_BYTES = 16  # version 2: signature, version and command, family, length
    HEADER_SIGNATURE_BYTES = 12
    HEADER_BYTES_MAX = 16384  # version 2: with all its TLVs, what HAProxy takes (its buffer)
    HEADER_INET_BYTES = 12  # addresses and ports
    HEADER_INET6_BYTES = 36
    HEADER_UNIX_BYTES = 216
    HEADER_CHECKSUM_BYTES = 7  # a TLV
    HEADER_UNIQUE_ID_BYTES_MAX = 128
    HEADER_AUTHORITY_BYTES_MAX = 255
    TLV_HEADER_BYTES = 3
    TLV_AUTHORITY = 0x02
    TLV_CHECKSUM = 0x03
    TLV_UNIQUE_ID = 0x05
    VERSION_LOCAL = 0x20
    VERSION_PROXY = 0x21
    FAMILY_UNSPECIFIED = 0x00
    FAMILY_INET_STREAM = 0x11
    FAMILY_INET6_STREAM = 0x21
    FAMILY_UNIX_STREAM = 0x31

cdef enum:  # HeaderKind: what a server wants to see; proxy.config.model.settings.ProxyHeader
    HEADER_NONE = 0
    HEADER_V1 = 1
    HEADER_V2 = 2
    HEADER_V2_CHECKSUM = 3
    HEADER_KIND = 3  # these bits; the others are fields of version 2
    HEADER_AUTHORITY = 4
    HEADER_UNIQUE_ID = 8
    HEADER_TLS = 16
    HEADER_TLS_BYTES = 8  # of that field
    TLV_TLS = 0x20

cdef extern from * nogil:
    """
    #define MILLRACE_SIGNATURE "\\r\\n\\r\\n\\0\\r\\nQUIT\\n"
    /* CRC32c (Castagnoli, reflected) of each half byte */
    static const uint32_t MILLRACE_CRC32C[16] = {
        0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1, 0x417B1DBC, 0x5125DAD3, 0x61C69362,
        0x7198540D, 0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9, 0xC38D26C4, 0xD3D3E1AB,
        0xE330A81A, 0xF36E6F75,
    };
    """
    const char *MILLRACE_SIGNATURE
    const uint32_t MILLRACE_CRC32C[16]

cdef enum:
    CHECKSUM_START = 0xFFFFFFFF


cdef inline uint32_t checksum_add(
        uint32_t checksum, const unsigned char *bytes, size_t length) noexcept nogil:
    """Take in more bytes; begin with CHECKSUM_START, the result is inverted at the end."""
    cdef size_t index
    for index in range(length):
        checksum ^= bytes[index]
        checksum = (checksum >> 4) ^ MILLRACE_CRC32C[checksum & 15]
        checksum = (checksum >> 4) ^ MILLRACE_CRC32C[checksum & 15]
    return checksum


cdef inline uint32_t checksum_around(
        const unsigned char *header, size_t length, size_t field) noexcept nogil:
    """The checksum of a header in which the four bytes at `field` count as zeros."""
    cdef unsigned char zeros[4]
    zeros[0] = zeros[1] = zeros[2] = zeros[3] = 0
    cdef uint32_t checksum = checksum_add(CHECKSUM_START, header, field)
    checksum = checksum_add(checksum, zeros, 4)
    return ~checksum_add(checksum, header + field + 4, length - field - 4)
