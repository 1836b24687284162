# Writes a compiled format: texts and values, as their flags say (manual section 8.2.4).

from libc.stdint cimport uint32_t

from proxy.rules.evaluate cimport value_of
from proxy.rules.sample cimport end_at_nul, put_sample
from shm.text cimport (
    Text, put, put_character, put_escaped, put_hexadecimal, put_padded)
from proxy.rules.codes cimport FETCH_DATE, FETCH_MILLISECONDS
from proxy.rules.types cimport (
    SAMPLE_ADDRESS, SAMPLE_NUMBER, SAMPLE_TEXT, Context, Part, Sample)


cdef inline void put_hexadecimal_sample(
        Text *text, const Sample *sample, uint32_t fetch) noexcept nogil:
    """A number with at least four digits, milliseconds with two; an address by its bytes."""
    cdef int at
    if sample.type == SAMPLE_NUMBER:
        put_hexadecimal(text, sample.number, 2 if fetch == FETCH_MILLISECONDS else 4)
    elif sample.type == SAMPLE_ADDRESS:
        for at in range(4 if sample.family == 4 else 16):
            put_hexadecimal(text, sample.address[at], 2)


cdef inline bint goes_in_header(char letter, char mark) noexcept nogil:
    """Whether HAProxy lets a byte be; the mark `#` is that of the words of its log lines."""
    if <unsigned char>letter < 0x20 or letter == 0x7F:
        return letter == c"\t" and mark != c"#"
    return mark != c"#" or (letter != c'"' and letter != c"#" and <unsigned char>letter < 0x80)


cdef inline void put_encoded(Text *text, const Sample *sample, const Part *part) noexcept nogil:
    """A text without bytes that would end a header: a mark and their digits instead."""
    cdef size_t at
    cdef char letter
    for at in range(sample.length):
        letter = sample.text[at]
        if not goes_in_header(letter, part.encode):
            put_character(text, part.encode)
            put_hexadecimal(text, <unsigned char>letter, 2)
        elif part.escape:
            put_escaped(text, &letter, 1)
        else:
            put_character(text, letter)


cdef inline void put_plain(Text *text, Sample *sample, const Part *part) noexcept nogil:
    """A value; a NUL ends a text, as in HAProxy."""
    if sample.type == SAMPLE_TEXT:
        end_at_nul(sample)
    if part.hexadecimal and sample.type != SAMPLE_TEXT:
        put_hexadecimal_sample(text, sample, part.call.fetch)
    elif part.call.fetch == FETCH_MILLISECONDS:
        put_padded(text, sample.number, 3)
    elif part.encode != 0 and sample.type == SAMPLE_TEXT:
        put_encoded(text, sample, part)
    elif part.escape and sample.type == SAMPLE_TEXT:
        put_escaped(text, sample.text, sample.length)
    else:
        put_sample(text, sample)


cdef inline void put_part(
        Text *text, const Context *context, const Part *part) noexcept nogil:
    cdef Sample sample
    if part.literal:
        put(text, part.text, part.length)
        return
    if part.quote:
        put_character(text, c'"')
    if value_of(context, &part.call, &sample):
        put_plain(text, &sample, part)
    if part.quote:
        put_character(text, c'"')


cdef inline void put_format(
        Text *text, const Context *context, const Part *parts, uint32_t count) noexcept nogil:
    """All parts of a format; what has no room in the buffer is cut."""
    cdef uint32_t at
    for at in range(count):
        put_part(text, context, &parts[at])
