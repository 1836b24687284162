# Whether first bytes are the head of an HTTP request (RFC 9112, sections 2 to 5). Pure.
#
# The grammar is that of HAProxy's parser: a byte that no request has ends the wait for others at
# once, a header counts when the byte behind its line is there.

from libc.stddef cimport size_t
from libc.string cimport memset

from proxy.rules.content.http_fields cimport Fields, Words, agree, equal, take_field, words_of
from proxy.rules.content.tls_message cimport MESSAGE_NONE, MESSAGE_SHORT, MESSAGE_WHOLE, Standing
from proxy.rules.sample cimport set_truth
from proxy.rules.types cimport ContentView, Sample

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
        Cursor *cursor, Words *method, Words *target, bint *headless) noexcept nogil:
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
        headless[0] = target.length != 0 and take_version(cursor).length == 0
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


cdef inline Standing head_standing(const char *bytes, size_t length) noexcept nogil:
    """Whether the head of a request is there."""
    cdef Cursor cursor
    cdef Words method, target
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
    method = target = words_of(cursor.at, 0)
    standing = request_line(&cursor, &method, &target, &headless)
    if standing != MESSAGE_WHOLE or headless:
        return standing
    memset(&fields, 0, sizeof(Fields))
    fields.body = -1
    standing = headers(&cursor, &fields, &lines)
    if standing != MESSAGE_WHOLE:
        return standing
    if lines > LINES_MAX or not agree(&fields, method, target):
        return MESSAGE_NONE
    return MESSAGE_WHOLE


cdef inline bint http_sample(const ContentView *content, Sample *sample) noexcept nogil:
    """True where it is a request; no sample where it is none."""
    cdef Standing standing = head_standing(content.bytes, content.length)
    sample.unsettled = standing == MESSAGE_SHORT
    return standing == MESSAGE_WHOLE and set_truth(sample, True)
