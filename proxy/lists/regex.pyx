"""Regular expressions by PCRE2 (libpcre2-8.so.0), loaded only where a configuration has one.

Owns the library, its limits of effort, and the expressions of one list as a process has compiled
them: the code of the library's compiler cannot be passed on. The prototypes are those of
pcre2api(3). A process that will change its root loads the library before.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t
from libc.stdlib cimport calloc, free

from proxy.lists.layout cimport (
    LIST_REGEXES, ListHead, Record, key_of, record_after, record_at)
from shm.atomics cimport exchange_pointer

cdef extern from "<dlfcn.h>" nogil:
    const int RTLD_NOW
    void *dlopen(const char *name, int flags)
    void *dlsym(void *library, const char *name)
    char *dlerror()

MATCH_LIMIT = 100_000
ADDED_MAX = REGEXES_ADDED_MAX

cdef enum:
    HEAP_LIMIT_KIB = 1024
    CASELESS = 0x8  # PCRE2_CASELESS
    NO_CAPTURE = 0x2000  # PCRE2_NO_AUTO_CAPTURE
    JIT_COMPLETE = 0x1
    MESSAGE_BYTES = 256

ctypedef void *(*compile_function)(
    const char *text, size_t length, uint32_t options, int *error, size_t *at,
    void *context) noexcept
ctypedef int (*jit_function)(void *code, uint32_t options) noexcept
ctypedef void (*free_function)(void *thing) noexcept
ctypedef size_t *(*pairs_function)(void *found) noexcept
ctypedef void *(*room_function)(uint32_t pairs, void *context) noexcept
ctypedef void *(*limits_function)(void *context) noexcept
ctypedef int (*limit_function)(void *limits, uint32_t limit) noexcept
ctypedef int (*message_function)(int error, char *text, size_t size) noexcept

cdef struct Library:
    bint loaded
    compile_function compile
    jit_function jit
    free_function code_free
    room_function room
    free_function room_free
    pairs_function pairs
    limits_function limits
    free_function limits_free
    limit_function match_limit
    limit_function heap_limit
    message_function message

cdef Library library
cdef void *handle = NULL


cdef void *function(const char *name) except NULL:
    cdef void *found = dlsym(handle, name)
    if found == NULL:
        raise ImportError(f"libpcre2-8.so.0 has no {name.decode()}")
    return found


def load() -> None:
    """Find the library's functions; ImportError with what is to be installed."""
    global handle
    if library.loaded:
        return
    handle = dlopen("libpcre2-8.so.0", RTLD_NOW)
    if handle == NULL:
        reason = dlerror().decode(errors="replace")
        raise ImportError(f"regular expressions take the package libpcre2-8-0: {reason}")
    library.compile = <compile_function>function("pcre2_compile_8")
    library.jit = <jit_function>function("pcre2_jit_compile_8")
    library.code_free = <free_function>function("pcre2_code_free_8")
    library.room = <room_function>function("pcre2_match_data_create_8")
    library.room_free = <free_function>function("pcre2_match_data_free_8")
    library.pairs = <pairs_function>function("pcre2_get_ovector_pointer_8")
    library.limits = <limits_function>function("pcre2_match_context_create_8")
    library.limits_free = <free_function>function("pcre2_match_context_free_8")
    library.match_limit = <limit_function>function("pcre2_set_match_limit_8")
    library.heap_limit = <limit_function>function("pcre2_set_heap_limit_8")
    library.message = <message_function>function("pcre2_get_error_message_8")
    function("pcre2_match_8")
    library.loaded = True


cdef void *compiled(
        const char *text, size_t length, bint insensitive, bint groups=False) except NULL:
    """The code of an expression; ValueError in HAProxy's words."""
    cdef char message[MESSAGE_BYTES]
    cdef int error = 0
    cdef size_t at = 0
    cdef void *code = library.compile(
        text, length, (0 if groups else NO_CAPTURE) | (CASELESS if insensitive else 0), &error,
        &at, NULL)
    if code == NULL:
        library.message(error, message, sizeof(message))
        said = text[:length].decode(errors="surrogateescape")
        raise ValueError(
            f"regex '{said}' is invalid (error={(<bytes>message).decode()}, erroffset={at})")
    return code


def has_regexes(bytes packed) -> bool:
    """Whether a list is one of regular expressions."""
    return (<const ListHead *>PyBytes_AS_STRING(packed)).kind == LIST_REGEXES


def records_count(bytes packed) -> int:
    """How many patterns a packed list has."""
    return (<const ListHead *>PyBytes_AS_STRING(packed)).records_count


def check(bytes expression, *, bint insensitive=False) -> None:
    """ValueError for what is no expression, ImportError without the library."""
    load()
    library.code_free(
        compiled(PyBytes_AS_STRING(expression), PyBytes_GET_SIZE(expression), insensitive))


cdef void limit(RegexView *view) noexcept:
    library.match_limit(view.limits, MATCH_LIMIT)
    library.heap_limit(view.limits, HEAP_LIMIT_KIB)


cdef void clear(RegexView *view) noexcept:
    cdef uint32_t at
    if not library.loaded:
        return
    for at in range(view.room):
        if view.codes[at] != NULL:
            library.code_free(view.codes[at])
    free(view.codes)
    if view.found != NULL:
        library.room_free(view.found)
    if view.limits != NULL:
        library.limits_free(view.limits)


cdef class Regexes:
    """The expressions of one packed list.

    Others of the list can be added later, by the thread that made this, while another one looks
    for them. `groups`: their groups are asked for. Raises ValueError for one that is none,
    ImportError without the library, MemoryError.
    """

    def __init__(self, bytes packed, bint groups=False) -> None:
        cdef uint32_t number
        cdef const ListHead *head = <const ListHead *>PyBytes_AS_STRING(packed)
        cdef const Record *record = record_at(head, 1)
        if head.kind != LIST_REGEXES:
            raise ValueError("a list without expressions")
        load()
        self.view.match = <match_function>function("pcre2_match_8")
        self.view.room = head.records_count + <uint32_t>REGEXES_ADDED_MAX
        self.view.codes = <void **>calloc(self.view.room, sizeof(void *))
        self.view.found = library.room(GROUPS_MAX if groups else 1, NULL)
        self.view.limits = library.limits(NULL)
        if self.view.codes == NULL or self.view.found == NULL or self.view.limits == NULL:
            raise MemoryError("regular expressions")
        limit(&self.view)
        if groups:
            self.view.pairs = library.pairs(self.view.found)
        self.insensitive = head.insensitive
        for number in range(head.records_count):
            self.compile(number, key_of(head, record), record.key_length)
            record = record_after(head, record)
        self.view.count = head.records_count

    def __dealloc__(self):
        clear(&self.view)

    cdef bint compile(
            self, uint32_t number, const char *text, size_t length) except -1:
        """Compile the expression of a pattern by its order; False: there is no room for it."""
        cdef void *code
        if number >= self.view.room:
            return False
        if self.view.codes[number] == NULL:
            code = compiled(text, length, self.insensitive, self.view.pairs != NULL)
            library.jit(code, JIT_COMPLETE)  # else it is interpreted
            exchange_pointer(&self.view.codes[number], code)
        return True

    @property
    def dear(self) -> int:
        """How many matches were given up because of their effort."""
        return self.view.dear

    def match(self, bytes text) -> bool:
        """Whether one of them is found in the text."""
        return regexes_match(&self.view, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))


cdef class Substitution:
    """One expression whose groups are wanted; raises as Regexes."""

    def __init__(self, bytes expression, bint insensitive) -> None:
        load()
        self.view.match = <match_function>function("pcre2_match_8")
        self.view.codes = <void **>calloc(1, sizeof(void *))
        self.view.found = library.room(GROUPS_MAX, NULL)
        self.view.limits = library.limits(NULL)
        if self.view.codes == NULL or self.view.found == NULL or self.view.limits == NULL:
            raise MemoryError("regular expressions")
        limit(&self.view)
        self.view.pairs = library.pairs(self.view.found)
        self.view.codes[0] = compiled(
            PyBytes_AS_STRING(expression), PyBytes_GET_SIZE(expression), insensitive, True)
        self.view.count = self.view.room = 1
        library.jit(self.view.codes[0], JIT_COMPLETE)  # else it is interpreted

    def __dealloc__(self):
        clear(&self.view)
