# Samples of the head of an HTTP request (manual section 7.3.6). Pure; every loop is over its bytes.

from libc.stddef cimport size_t
from libc.stdint cimport int64_t
from libc.string cimport memchr, memset

from proxy.lists.lookup cimport same
from proxy.rules.sample cimport set_text, take_scratch
from proxy.rules.types cimport SCRATCH_BYTES, Call, HttpView, Sample, Scratch
from shm.text cimport Text, put, text_over


cdef inline size_t span(const char *text, size_t length, char until) noexcept nogil:
    """How many bytes come before the first such letter; all if there is none."""
    cdef const char *found = <const char *>memchr(text, until, length) if length else NULL
    return length if found == NULL else <size_t>(found - text)


cdef inline bint path_query_sample(const HttpView *http, Sample *sample) noexcept nogil:
    """Path and query, behind scheme and authority where the target has them (RFC 9112, 3.2.2)."""
    cdef const char *text = http.target
    cdef size_t length = http.target_length, skipped
    if length and text[0] != c"/":
        skipped = span(text, length, c":")
        if length - skipped < 3 or text[skipped + 1] != c"/" or text[skipped + 2] != c"/":
            return False
        text += skipped + 3
        length -= skipped + 3
        skipped = span(text, length, c"/")
        text += skipped
        length -= skipped
    set_text(sample, text, length)
    return length != 0


cdef inline bint path_sample(const HttpView *http, Sample *sample) noexcept nogil:
    """The path of the target."""
    if not path_query_sample(http, sample):
        return False
    sample.length = span(sample.text, span(sample.text, sample.length, c"?"), c"#")
    return sample.length != 0


cdef inline bint version_sample(
        const HttpView *http, bint number, Sample *sample) noexcept nogil:
    """The version of the protocol; `number`: what stands behind its name and the slash."""
    cdef size_t skipped = 0
    if number:
        skipped = span(http.version, http.version_length, c"/") + 1
    set_text(sample, http.version + skipped, max(http.version_length, skipped) - skipped)
    return http.version_length > skipped


cdef inline bint query_sample(const HttpView *http, Sample *sample) noexcept nogil:
    """What follows the first question mark."""
    cdef size_t before = span(http.target, http.target_length, c"?")
    if before == http.target_length:
        return False
    set_text(sample, http.target + before + 1, http.target_length - before - 1)
    return True


cdef inline bint ends_parameter(char letter) noexcept nogil:
    return letter == c"&" or letter == c";" or letter == c"?"  # also behind the first: as HAProxy


cdef inline bint parameter_sample(
        const HttpView *http, const Call *call, Sample *sample) noexcept nogil:
    """The next value of a parameter of the query, as it is written."""
    cdef Sample query
    cdef size_t at = sample.position, end, name
    sample.more = False
    if not query_sample(http, &query):
        return False
    while at < query.length:
        end = at
        while end < query.length and not ends_parameter(query.text[end]):
            end += 1
        name = span(query.text + at, end - at, c"=")
        if name == call.length and name < end - at and same(
                query.text + at, call.text, name, False):
            set_text(sample, query.text + at + name + 1, end - at - name - 1)
            sample.position = end + 1
            sample.more = True
            return True
        at = end + 1
    return False


cdef inline bint blank(char letter) noexcept nogil:
    return letter == c" " or letter == c"\t" or letter == c"\r"  # the end of a line has one


cdef inline void trim(const char **text, size_t *length) noexcept nogil:
    while length[0] and blank(text[0][0]):
        text[0] += 1
        length[0] -= 1
    while length[0] and blank(text[0][length[0] - 1]):
        length[0] -= 1


cdef inline size_t value_span(const char *text, size_t length) noexcept nogil:
    """The bytes of one value of a list: up to a comma outside quotes (RFC 9110, 5.6.1)."""
    cdef size_t at = 0
    cdef bint quoted = False
    while at < length and (quoted or text[at] != c","):
        if text[at] == c'"':
            quoted = not quoted
        elif quoted and text[at] == c"\\" and at + 1 < length:
            at += 1
        at += 1
    return at


cdef inline bint header_line(
        const HttpView *http, const Call *call, Sample *sample) noexcept nogil:
    """Go to the next line with the call's name, behind its colon; False: there is none.

    A line ends before a line feed, with or without a carriage return, or at the end of all.
    """
    cdef const char *line
    cdef size_t at = sample.position, length, name
    while at < http.headers_length:
        line = http.headers + at
        length = span(line, http.headers_length - at, c"\n")
        name = span(line, length, c":")
        if name < length and name == call.length and same(line, call.text, name, True):
            sample.position = at + name + 1
            sample.line_end = at + length
            return True
        at += length + 1
    return False


cdef inline bint header_sample(
        const HttpView *http, const Call *call, bint whole, Sample *sample) noexcept nogil:
    """The next value of a header; `whole`: the next line of it, with commas."""
    cdef const char *text
    cdef size_t length, taken
    sample.more = False
    if sample.line_end == 0 and not header_line(http, call, sample):
        return False
    text = http.headers + sample.position
    length = sample.line_end - sample.position
    taken = length if whole else value_span(text, length)
    if taken == length:  # the next value is on another line
        sample.position = sample.line_end + 1
        sample.line_end = 0
    else:
        sample.position += taken + 1
    sample.more = True
    trim(&text, &taken)
    set_text(sample, text, taken)
    return True


cdef inline int64_t header_count(
        const HttpView *http, const Call *call, bint whole) noexcept nogil:
    cdef Sample sample
    cdef int64_t count = 0
    sample.position = sample.line_end = 0
    while header_sample(http, call, whole, &sample):
        count += 1
    return count


cdef inline bint header_fetch(
        const HttpView *http, const Call *call, bint whole, Sample *sample) noexcept nogil:
    """The next value; with an occurrence, that one only: from the end if it is negative."""
    cdef int64_t wanted = call.numbers[0], left
    if wanted == 0:
        return header_sample(http, call, whole, sample)
    if wanted < 0:
        wanted += header_count(http, call, whole) + 1
    sample.position = sample.line_end = 0
    left = wanted
    while left > 0 and header_sample(http, call, whole, sample):
        left -= 1
    sample.more = False
    return wanted > 0 and left == 0


cdef inline bint base_sample(
        const HttpView *http, Scratch *scratch, Sample *sample) noexcept nogil:
    """The first value of Host, and the path behind it, as far as they are there."""
    cdef Call host
    cdef Sample path
    cdef Text text
    cdef bint named
    memset(&host, 0, sizeof(Call))
    host.text = b"host"
    host.length = 4
    host.numbers[0] = 1
    named = header_fetch(http, &host, False, sample)
    if not path_sample(http, &path):
        return named
    if scratch == NULL or not named:
        set_text(sample, path.text, path.length)
        return not named
    text = text_over(take_scratch(scratch), SCRATCH_BYTES)
    put(&text, sample.text, sample.length)
    put(&text, path.text, path.length)
    set_text(sample, text.start, text.at - text.start)
    return True
