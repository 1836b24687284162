# The cookie of an RDP connection request (MS-RDPBCGR, section 2.2.1.1). Pure.

from libc.stddef cimport size_t

from proxy.rules.codes cimport FETCH_RDP_COOKIES
from proxy.lists.lookup cimport same
from proxy.rules.sample cimport set_number, set_text
from proxy.rules.types cimport Call, ContentView, Sample

cdef enum:
    REQUEST_BYTES = 11  # TPKT and X.224 headers
    LABEL_BYTES = 7  # Cookie:


cdef inline bint lacks_bytes(Sample *sample) noexcept nogil:
    sample.unsettled = True
    return False


cdef inline bint cookie_sample(
        const ContentView *content, const Call *call, Sample *sample) noexcept nogil:
    """The value of the first cookie, if it has the name that the call has."""
    cdef const char *at
    cdef const char *value
    cdef const char *end = content.bytes + content.length
    if content.length <= REQUEST_BYTES + LABEL_BYTES:
        return lacks_bytes(sample)
    at = content.bytes + REQUEST_BYTES
    if not same(at, b"Cookie:", LABEL_BYTES, True):
        return False
    at += LABEL_BYTES
    while at < end and at[0] == c" ":
        at += 1
    if call.length != 0:
        if <size_t>(end - at) <= call.length:
            return lacks_bytes(sample)
        if at[call.length] != c"=" or not same(at, call.text, call.length, True):
            return False
        at += call.length
    while at < end and at[0] != c"=":
        if at[0] == c"\r" or at[0] == c"\n":
            return False
        at += 1
    value = at + 1
    while at < end and at[0] != c"\r":
        at += 1
    if end - at < 2:
        return lacks_bytes(sample)
    if at[1] != c"\n":
        return False
    set_text(sample, value, <size_t>(at - value))
    return True


cdef inline bint rdp_fetch(
        const ContentView *content, const Call *call, Sample *sample) noexcept nogil:
    cdef bint found = cookie_sample(content, call, sample)
    if call.fetch != FETCH_RDP_COOKIES:
        return found
    return not sample.unsettled and set_number(sample, found)
