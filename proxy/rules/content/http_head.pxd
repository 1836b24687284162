# Whether first bytes are the head of an HTTP request (RFC 9112, sections 2 to 5). Pure.
#
# The grammar is that of HAProxy's parser: a byte that no request has ends the wait for others at
# once, a header counts when the byte behind its line is there.

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t
from libc.string cimport memset

from proxy.rules.content.http_fields cimport Fields, Words, agree, equal, take_field, words_of
from proxy.rules.content.tls_message cimport MESSAGE_NONE, MESSAGE_SHORT, MESSAGE_WHOLE, Standing
from proxy.rules.sample cimport set_truth
from proxy.rules.types cimport (
    HEAD_NONE, HEAD_SHORT, HEAD_THERE, HEAD_UNKNOWN, ContentView, HttpView, Sample)

cdef enum:
    LINES_MAX = 98  # of a whole head: as in HAProxy
    LINES_WAITED_MAX = 100

cdef struct Cursor:
    const char *at
    const char *end


cdef inline bint is_token(char letter) noexcept nogil:
    """RFC 9110, section 5.6.2."""
    if c"a" <= letter <= c"z" or c"A" <= letter <= c"Z" or c"0" <= letter <= c"9":
        return True
    return letter == c"!" or c"#" <= letter <= c"'" or letter == c"*" or letter == c"+" or (
        letter == c"-" or letter == c"." or c"^" <= letter <= c"`" or letter == c"|"
        or letter == c"~")


cdef inline bint is_blank(char letter) noexcept nogil:
    return letter == c" " or letter == c"\t"


cdef inline bint ends_line(char letter) noexcept nogil:
    return letter == c"\r" or letter == c"\n"


cdef inline void skip_blanks(Cursor *cursor) noexcept nogil:
    while cursor.at < cursor.end and is_blank(cursor.at[0]):
        cursor.at += 1


cdef inline Standing take_break(Cursor *cursor) noexcept nogil:
    """Go behind the end of a line: a line feed, perhaps behind a carriage return."""
    if cursor.at == cursor.end:
        return MESSAGE_SHORT
    if cursor.at[0] == c"\r":
        cursor.at += 1
        if cursor.at == cursor.end:
            return MESSAGE_SHORT
    if cursor.at[0] != c"\n":
        return MESSAGE_NONE
    cursor.at += 1
    return MESSAGE_WHOLE


cdef inline Words take_token(Cursor *cursor) noexcept nogil:
    cdef const char *begin = cursor.at
    while cursor.at < cursor.end and is_token(cursor.at[0]):
        cursor.at += 1
    return words_of(begin, cursor.at - begin)


cdef inline Words take_target(Cursor *cursor) noexcept nogil:
    cdef const char *begin = cursor.at
    while cursor.at < cursor.end and c"!" <= cursor.at[0] <= c"~" and cursor.at[0] != c"#":
        cursor.at += 1
    return words_of(begin, cursor.at - begin)


cdef inline Words take_version(Cursor *cursor) noexcept nogil:
    """As HAProxy reads one: capital letters, digits, slash and period."""
    cdef const char *begin = cursor.at
    while cursor.at < cursor.end and (
            c"A" <= cursor.at[0] <= c"Z" or c"." <= cursor.at[0] <= c"9"):
        cursor.at += 1
    return words_of(begin, cursor.at - begin)


cdef inline Standing request_line(
        Cursor *cursor, Words *method, Words *target, Words *version,
        bint *headless) noexcept nogil:
    """Go behind the request line; `headless`: it is one of HTTP/0.9, which has nothing else."""
    cdef Standing standing
    method[0] = take_token(cursor)
    if cursor.at < cursor.end and method.length and is_blank(cursor.at[0]):
        skip_blanks(cursor)
        target[0] = take_target(cursor)
        if cursor.at < cursor.end and target.length and not ends_line(cursor.at[0]):
            if not is_blank(cursor.at[0]):
                return MESSAGE_NONE
            skip_blanks(cursor)
        version[0] = words_of(cursor.at, 0)
        if target.length != 0:
            version[0] = take_version(cursor)
            headless[0] = version.length == 0
    if cursor.at == cursor.end:
        return MESSAGE_SHORT
    if method.length == 0:
        return MESSAGE_NONE
    standing = take_break(cursor)
    if standing != MESSAGE_WHOLE:
        return standing
    if target.length == 0 or (headless[0] and not equal(method[0], b"GET", 3)):
        return MESSAGE_NONE
    return MESSAGE_WHOLE


cdef inline Standing header_value(Cursor *cursor, Words *value) noexcept nogil:
    """Go to the line behind a value, which goes on in lines that begin with a blank."""
    cdef Standing standing
    value.text = cursor.at
    while True:
        while cursor.at < cursor.end and not ends_line(cursor.at[0]):
            cursor.at += 1
        value.length = cursor.at - value.text
        standing = take_break(cursor)
        if standing != MESSAGE_WHOLE:
            return standing
        if cursor.at == cursor.end:
            return MESSAGE_SHORT
        if not is_blank(cursor.at[0]):
            return MESSAGE_WHOLE


cdef inline Standing headers(Cursor *cursor, Fields *fields, size_t *lines) noexcept nogil:
    """Go behind the empty line that ends the head."""
    cdef Words name, value
    cdef Standing standing
    lines[0] = 0
    while cursor.at < cursor.end and not ends_line(cursor.at[0]):
        name = take_token(cursor)
        if cursor.at == cursor.end:
            return MESSAGE_SHORT
        lines[0] += 1
        if name.length == 0 or cursor.at[0] != c":" or lines[0] > LINES_WAITED_MAX:
            return MESSAGE_NONE
        cursor.at += 1
        standing = header_value(cursor, &value)
        if standing != MESSAGE_WHOLE:
            return standing
        if not take_field(fields, name, value):
            return MESSAGE_NONE
    return take_break(cursor)


cdef inline Standing head_standing(
        const char *bytes, size_t length, HttpView *head) noexcept nogil:
    """Whether the head of a request is there, and what is where in it."""
    cdef Cursor cursor
    cdef Words method, target, version
    cdef Fields fields
    cdef Standing standing
    cdef bint headless = False
    cdef size_t lines = 0
    cursor.at = bytes
    cursor.end = bytes + length
    while cursor.at < cursor.end and ends_line(cursor.at[0]):
        standing = take_break(&cursor)
        if standing != MESSAGE_WHOLE:
            return standing
    method = target = version = words_of(cursor.at, 0)
    standing = request_line(&cursor, &method, &target, &version, &headless)
    if standing != MESSAGE_WHOLE:
        return standing
    head.method, head.method_length = method.text, method.length
    head.target, head.target_length = target.text, target.length
    head.version, head.version_length = version.text, version.length
    head.headers, head.headers_length = cursor.at, 0
    if headless:  # as HAProxy has it
        head.version, head.version_length = b"HTTP/1.0", 8
        return standing
    memset(&fields, 0, sizeof(Fields))
    fields.body = -1
    standing = headers(&cursor, &fields, &lines)
    if standing != MESSAGE_WHOLE:
        return standing
    head.headers_length = cursor.at - head.headers
    if lines > LINES_MAX or not agree(&fields, method, target):
        return MESSAGE_NONE
    return MESSAGE_WHOLE


cdef inline uint8_t head_known(ContentView *content) noexcept nogil:
    """Whether a request begins there; it is looked for once in the same bytes."""
    cdef Standing standing
    if content.headed == HEAD_UNKNOWN:
        standing = head_standing(content.bytes, content.length, &content.head)
        content.headed = HEAD_THERE if standing == MESSAGE_WHOLE else (
            HEAD_SHORT if standing == MESSAGE_SHORT else HEAD_NONE)
    return content.headed


cdef inline bint http_sample(const ContentView *content, Sample *sample) noexcept nogil:
    """True where it is a request; no sample where it is none."""
    # what is known of the bytes is kept beside them, and belongs to this look
    cdef uint8_t known = head_known(<ContentView *>content)
    sample.unsettled = known == HEAD_SHORT
    return known == HEAD_THERE and set_truth(sample, True)
