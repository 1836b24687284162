# What HAProxy checks of a request beyond its grammar: length, encoding, host (RFC 9112, sections 3
# and 6). Pure.

from libc.stddef cimport size_t
from libc.stdint cimport INT64_MAX, int64_t
from libc.string cimport memchr

from proxy.lists.lookup cimport same

cdef enum:
    HOST_BYTES = 4
    LENGTH_BYTES = 14
    ENCODING_BYTES = 17
    CHUNKED_BYTES = 7

cdef struct Words:  # a part of a request
    const char *text
    size_t length

cdef struct Fields:  # what was said so far
    bint has_host
    Words host
    int64_t body  # its length; -1: none was said
    bint encoded
    bint chunked


cdef inline Words words_of(const char *text, size_t length) noexcept nogil:
    cdef Words found
    found.text = text
    found.length = length
    return found


cdef inline bint equal(Words one, const char *other, size_t length) noexcept nogil:
    return one.length == length and same(one.text, other, length, True)


cdef inline bint is_space(char letter) noexcept nogil:
    """Also the end of a line inside a value, which a folded one has."""
    return letter == c" " or letter == c"\t" or letter == c"\r" or letter == c"\n"


cdef inline Words trimmed(Words value) noexcept nogil:
    while value.length and is_space(value.text[0]):
        value.text += 1
        value.length -= 1
    while value.length and is_space(value.text[value.length - 1]):
        value.length -= 1
    return value


cdef inline size_t before(Words value, char letter) noexcept nogil:
    """How many bytes stand before the first such letter; all if there is none."""
    cdef const char *found = NULL
    if value.length:
        found = <const char *>memchr(value.text, letter, value.length)
    return value.length if found == NULL else <size_t>(found - value.text)


cdef inline Words behind(Words value, size_t count) noexcept nogil:
    return words_of(value.text + count, value.length - count)


cdef inline int64_t decimal(Words value) noexcept nogil:
    """A number without sign; -1: it is none, or too large."""
    cdef int64_t number = 0
    cdef size_t at
    cdef int digit
    for at in range(value.length):
        digit = value.text[at] - c"0"
        if not 0 <= digit <= 9 or number > (INT64_MAX - digit) // 10:
            return -1
        number = number * 10 + digit
    return number if value.length else -1


cdef inline bint take_length(Fields *fields, Words value) noexcept nogil:
    """Note what Content-Length says; False: no number, or another than before."""
    cdef size_t taken
    cdef int64_t number
    while True:
        taken = before(value, c",")
        number = decimal(trimmed(words_of(value.text, taken)))
        if number < 0 or (fields.body >= 0 and number != fields.body):
            return False
        fields.body = number
        if taken == value.length:
            return True
        value = behind(value, taken + 1)


cdef inline bint take_encoding(Fields *fields, Words value) noexcept nogil:
    """Note what Transfer-Encoding says; False: something follows `chunked`."""
    cdef size_t taken
    cdef Words word
    fields.encoded = True
    while True:
        taken = before(value, c",")
        word = trimmed(words_of(value.text, taken))
        if word.length:
            if fields.chunked:
                return False
            fields.chunked = equal(word, b"chunked", CHUNKED_BYTES)
        if taken == value.length:
            return True
        value = behind(value, taken + 1)


cdef inline bint take_field(Fields *fields, Words name, Words value) noexcept nogil:
    """Note a header; False: it contradicts itself, or another."""
    if equal(name, b"host", HOST_BYTES):
        value = trimmed(value)
        if fields.has_host and not equal(fields.host, value.text, value.length):
            return False
        fields.has_host = True
        fields.host = value
    elif equal(name, b"content-length", LENGTH_BYTES):
        return take_length(fields, value)
    elif equal(name, b"transfer-encoding", ENCODING_BYTES):
        return take_encoding(fields, value)
    return True


cdef inline bint is_scheme(Words scheme) noexcept nogil:
    """RFC 3986, section 3.1."""
    cdef size_t at
    cdef char letter
    for at in range(scheme.length):
        letter = scheme.text[at] | 0x20
        if c"a" <= letter <= c"z":
            continue
        if at == 0 or not (
                c"0" <= scheme.text[at] <= c"9" or scheme.text[at] == c"+"
                or scheme.text[at] == c"-" or scheme.text[at] == c"."):
            return False
    return scheme.length != 0


cdef inline Words scheme_of(Words target) noexcept nogil:
    """What stands before `://`; nothing where there is none."""
    cdef size_t length = before(target, c":")
    cdef Words scheme = words_of(target.text, length)
    if target.length - length >= 3 and target.text[length + 1] == c"/" and (
            target.text[length + 2] == c"/" and is_scheme(scheme)):
        return scheme
    return words_of(target.text, 0)


cdef inline Words authority_of(Words target, Words scheme) noexcept nogil:
    """Host and port that a target names, without a user; a path names none (RFC 9112, 3.2)."""
    cdef size_t at
    if target.text[0] == c"/" or target.text[0] == c"*":
        return words_of(target.text, 0)
    if scheme.length:
        target = behind(target, scheme.length + 3)
    target.length = before(target, c"/")
    at = target.length
    while at > 0:
        at -= 1
        if target.text[at] == c"@":
            return behind(target, at + 1)
    return target


cdef inline size_t host_length(Words authority) noexcept nogil:
    """The bytes before the colon of the port; all of them where there is no port."""
    cdef size_t at = authority.length
    while at > 0 and c"0" <= authority.text[at - 1] <= c"9":
        at -= 1
    return at - 1 if at > 0 and authority.text[at - 1] == c":" else authority.length


cdef inline bint default_port(Words port, Words scheme) noexcept nogil:
    """Whether a port, with its colon, may be left out; without a scheme any that some has."""
    if port.length <= 1:
        return True
    if equal(port, b":80", 3):
        return scheme.length == 0 or equal(scheme, b"http", 4)
    return equal(port, b":443", 4) and (scheme.length == 0 or equal(scheme, b"https", 5))


cdef inline bint same_host(Words authority, Words host, Words scheme) noexcept nogil:
    """Whether both name one host and port, in small letters or capital ones."""
    cdef size_t one = host_length(authority), other = host_length(host)
    cdef Words port = behind(authority, one), named = behind(host, other)
    if one != other or not same(authority.text, host.text, one, True):
        return False
    if equal(port, named.text, named.length):
        return True
    return (named.length <= 1 and default_port(port, scheme)) or (
        port.length <= 1 and default_port(named, scheme))


cdef inline bint agree(const Fields *fields, Words method, Words target) noexcept nogil:
    """Whether the fields and the request line fit together."""
    cdef Words scheme = scheme_of(target)
    cdef Words authority = authority_of(target, scheme)
    cdef bint tunnel = equal(method, b"CONNECT", 7)
    if fields.encoded and not fields.chunked:
        return False
    if tunnel and host_length(authority) + 1 >= authority.length:
        return False  # it has to name a port
    if authority.length == 0 or not fields.has_host:
        return True
    if not tunnel and scheme.length == 0:
        return equal(authority, fields.host.text, fields.host.length)
    return same_host(authority, fields.host, words_of(scheme.text, 0) if tunnel else scheme)
