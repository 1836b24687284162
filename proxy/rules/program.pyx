"""Compiled conditions of one process: flat C arrays made of the settings, and their evaluation.

Owns the memory of the arrays and the correspondence of names with the numbers of codes.pxd. What a
condition means is evaluate.pxd; formats.pyx has the formats and values of checks and answers.
"""

import ipaddress
from typing import NamedTuple

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from proxy.lists.changing.area cimport ListArea
from proxy.lists.changing.expressions cimport follow
from proxy.lists.layout cimport ListHead
from proxy.lists.regex cimport Regexes, Substitution
from proxy.rules.codes cimport *
from proxy.rules.evaluate cimport condition_judged
from proxy.rules.types cimport (
    CALL_NUMBERS, HEAD_UNKNOWN, HOLDS, Call, ContentView, Context, HttpView, Part, Patterns,
    Scratch, Step, Term)
from shm.segment cimport Segment

from proxy.config.model.matching import MapType

FETCHES = {
    "always_true": FETCH_TRUE, "always_false": FETCH_FALSE, "src": FETCH_CLIENT_ADDRESS,
    "src_port": FETCH_CLIENT_PORT, "dst": FETCH_FRONT_ADDRESS, "dst_port": FETCH_FRONT_PORT,
    "method": FETCH_METHOD, "path": FETCH_PATH, "url": FETCH_URL, "query": FETCH_QUERY,
    "url_path": FETCH_URL_PATH, "url_query": FETCH_URL_QUERY, "pathq": FETCH_PATH_QUERY,
    "base": FETCH_BASE, "version": FETCH_VERSION, "req.ver": FETCH_VERSION_NUMBER,
    "url_param": FETCH_URL_PARAMETER, "req.hdr": FETCH_HEADER_VALUE,
    "req.fhdr": FETCH_HEADER_LINE, "req.hdr_cnt": FETCH_HEADER_VALUES,
    "req.fhdr_cnt": FETCH_HEADER_LINES, "http_auth": FETCH_AUTHORISED,
    "nbsrv": FETCH_USABLE_SERVERS, "srv_is_up": FETCH_SERVER_IS_UP,
    "srv_conn": FETCH_SERVER_SESSIONS, "be_conn": FETCH_BACKEND_SESSIONS,
    "queue": FETCH_BACKEND_QUEUE, "fe_conn": FETCH_FRONTEND_SESSIONS,
    "srv_queue": FETCH_SERVER_QUEUE, "sessions": FETCH_PROCESS_SESSIONS,
    "checked_sessions": FETCH_CHECKED_SESSIONS, "srv_name": FETCH_CHECKED_NAME,
    "srv_id": FETCH_CHECKED_NUMBER, "bc_src": FETCH_OWN_ADDRESS, "bc_src_port": FETCH_OWN_PORT,
    "bc_dst": FETCH_PEER_ADDRESS, "bc_dst_port": FETCH_PEER_PORT, "res.payload": FETCH_RECEIVED,
    "res.payload_lv": FETCH_RECEIVED_BLOCK, "res.len": FETCH_RECEIVED_LENGTH,
    "res.body": FETCH_BODY, "status": FETCH_STATUS, "res.hdr": FETCH_ANSWER_VALUE,
    "res.fhdr": FETCH_ANSWER_LINE, "res.hdr_cnt": FETCH_ANSWER_VALUES,
    "res.fhdr_cnt": FETCH_ANSWER_LINES, "wait_end": FETCH_WAIT_END,
    "req.len": FETCH_CONTENT_LENGTH, "req.payload": FETCH_CONTENT_PART,
    "req.payload_lv": FETCH_CONTENT_BLOCK, "payload": FETCH_EITHER_PART,
    "payload_lv": FETCH_EITHER_BLOCK, "req.rdp_cookie": FETCH_RDP_COOKIE,
    "req.rdp_cookie_cnt": FETCH_RDP_COOKIES, "req.ssl_sni": FETCH_HELLO_SERVER_NAME,
    "req.ssl_alpn": FETCH_HELLO_PROTOCOLS, "req.ssl_cipherlist": FETCH_HELLO_CIPHERS,
    "req.ssl_ec_ext": FETCH_HELLO_HAS_GROUPS, "req.ssl_supported_groups": FETCH_HELLO_GROUPS,
    "req.ssl_keyshare_groups": FETCH_HELLO_KEY_SHARES,
    "req.ssl_sigalgs": FETCH_HELLO_SIGNATURES, "req.ssl_st_ext": FETCH_HELLO_TICKET,
    "req.ssl_hello_type": FETCH_HELLO_TYPE, "req.ssl_ver": FETCH_HELLO_VERSION,
    "res.ssl_hello_type": FETCH_ANSWER_HELLO_TYPE, "req.proto_http": FETCH_IS_HTTP,
    "nothing": FETCH_NOTHING, "text": FETCH_TEXT,
    "number": FETCH_NUMBER, "address": FETCH_ADDRESS, "var": FETCH_VARIABLE, "date": FETCH_DATE,
    "clock": FETCH_CLOCK, "milliseconds": FETCH_MILLISECONDS, "rand": FETCH_RANDOM,
    "uuid": FETCH_UUID, "process": FETCH_PROCESS, "entry_value": FETCH_ENTRY_VALUE,
    "entry_kilobytes": FETCH_ENTRY_KILOBYTES, "entry_trackers": FETCH_ENTRY_TRACKERS,
    "entry_tracked": FETCH_ENTRY_TRACKED, "entry_count": FETCH_ENTRY_COUNT,
    "entry_clear": FETCH_ENTRY_CLEAR, "entry_connection": FETCH_ENTRY_CONNECTION,
    # of connections
    "fc_rtt": FETCH_RTT, "fc_rttvar": FETCH_RTT_VARIANCE, "fc_unacked": FETCH_UNACKED,
    "fc_sacked": FETCH_SACKED, "fc_retrans": FETCH_RETRANSMITS, "fc_fackets": FETCH_FACKETS,
    "fc_lost": FETCH_LOST, "fc_reordering": FETCH_REORDERING,
    "src_is_local": FETCH_CLIENT_IS_LOCAL, "dst_is_local": FETCH_FRONT_IS_LOCAL,
    "dst_conn": FETCH_BIND_SESSIONS, "fc_rcvd_proxy": FETCH_HEADED, "fe_id": FETCH_FRONTEND_ID,
    "fe_name": FETCH_FRONTEND_NAME, "fe_defbe": FETCH_DEFAULT_BACKEND,
    "fe_client_timeout": FETCH_CLIENT_TIMEOUT, "so_id": FETCH_BIND_ID, "so_name": FETCH_BIND_NAME,
    "thread": FETCH_WORKER, "session.srv_id": FETCH_SERVER_ID,
    "session.srv_name": FETCH_SERVER_NAME, "session.bc_src": FETCH_SERVER_END,
    "session.bc_src_port": FETCH_SERVER_END_PORT, "session.bc_dst": FETCH_SERVER_PEER,
    "session.bc_dst_port": FETCH_SERVER_PEER_PORT, "fc_dst": FETCH_CLIENT_END,
    "fc_dst_port": FETCH_CLIENT_END_PORT, "fc_src": FETCH_CLIENT_PEER,
    "fc_src_port": FETCH_CLIENT_PEER_PORT, "fc_dst_is_local": FETCH_CLIENT_END_LOCAL,
    "fc_src_is_local": FETCH_CLIENT_PEER_LOCAL, "fe_sess_rate": FETCH_FRONTEND_RATE,
    "be_sess_rate": FETCH_BACKEND_RATE, "connslots": FETCH_FREE_SLOTS,
    "be_conn_free": FETCH_BACKEND_FREE, "srv_conn_free": FETCH_SERVER_FREE,
    "avg_queue": FETCH_AVERAGE_QUEUE, "srv_weight": FETCH_WEIGHT,
    "srv_uweight": FETCH_VISIBLE_WEIGHT, "srv_iweight": FETCH_INITIAL_WEIGHT,
    "stopping": FETCH_STOPPING, "date_us": FETCH_DATE_MICROSECONDS,
    "table_cnt": FETCH_TABLE_USED, "table_avl": FETCH_TABLE_FREE,
    "srv_sess_rate": FETCH_SERVER_RATE, "fc_pp_authority": FETCH_HEADER_AUTHORITY,
    "fc_pp_unique_id": FETCH_HEADER_UNIQUE_ID, "last_rule_file": FETCH_RULE_FILE,
    "fc_err": FETCH_ERROR, "fc_err_str": FETCH_ERROR_TEXT, "last_rule_line": FETCH_RULE_LINE,
    "unique-id": FETCH_UNIQUE_ID,
}
CONVERTERS = {
    "upper": CONVERT_UPPER, "lower": CONVERT_LOWER, "hex": CONVERT_HEX, "length": CONVERT_LENGTH,
    "bytes": CONVERT_BYTES, "field": CONVERT_FIELD, "add": CONVERT_ADD, "sub": CONVERT_SUB,
    "mul": CONVERT_MUL, "div": CONVERT_DIV, "mod": CONVERT_MOD, "and": CONVERT_AND,
    "or": CONVERT_OR, "xor": CONVERT_XOR, "neg": CONVERT_NEG, "cpl": CONVERT_CPL,
    "not": CONVERT_NOT, "bool": CONVERT_BOOL, "even": CONVERT_EVEN, "odd": CONVERT_ODD,
    "word": CONVERT_WORD, "base64": CONVERT_BASE64, "b64dec": CONVERT_UNBASE64,
    "ipmask": CONVERT_MASK, "ltime": CONVERT_LOCAL_TIME, "utime": CONVERT_UTC_TIME,
    "djb2": CONVERT_DJB2, "sdbm": CONVERT_SDBM, "wt6": CONVERT_WT6, "crc32": CONVERT_CRC32,
    "crc32c": CONVERT_CRC32C, "xxh32": CONVERT_XXH32, "xxh64": CONVERT_XXH64,
    "concat": CONVERT_CONCAT, "strcmp": CONVERT_STRCMP, "add_item": CONVERT_ADD_ITEM,
    "secure_memcmp": CONVERT_SAME_BYTES, "set-var": CONVERT_SET_VARIABLE,
    "unset-var": CONVERT_UNSET_VARIABLE, "table_expire": CONVERT_ENTRY_EXPIRY,
    "usable": CONVERT_USABLE_SERVERS,
    "table_idle": CONVERT_ENTRY_IDLE, "mqtt_is_valid": CONVERT_MQTT_VALID,
    "mqtt_field_value": CONVERT_MQTT_FIELD, "fix_is_valid": CONVERT_FIX_VALID,
    "fix_tag_value": CONVERT_FIX_FIELD, "fine_time": CONVERT_FINE_TIME,
    "in_table": CONVERT_IN_TABLE, "entry_value": CONVERT_ENTRY_VALUE,
    "entry_kilobytes": CONVERT_ENTRY_KILOBYTES, "entry_trackers": CONVERT_ENTRY_TRACKERS,
    "iif": CONVERT_CHOICE, "ltrim": CONVERT_TRIM_LEFT, "rtrim": CONVERT_TRIM_RIGHT,
    "cut_crlf": CONVERT_CUT_LINE, "hex2i": CONVERT_HEX_NUMBER, "host_only": CONVERT_HOST,
    "port_only": CONVERT_PORT, "url_dec": CONVERT_URL_DECODE, "url_enc": CONVERT_URL_ENCODE,
    "param": CONVERT_PARAMETER, "htonl": CONVERT_NETWORK_ORDER, "be2dec": CONVERT_BE_DECIMAL,
    "be2hex": CONVERT_BE_HEX, "ub64enc": CONVERT_URL_BASE64, "ub64dec": CONVERT_URL_UNBASE64,
    "regsub": CONVERT_SUBSTITUTE, "digest": CONVERT_DIGEST, "hmac": CONVERT_CODE,
    "http_date": CONVERT_HTTP_TIME,
    "map": CONVERT_MAP,
}
MATCHERS = {
    "found": MATCH_FOUND, "bool": MATCH_BOOL, "int": MATCH_INT, "ip": MATCH_IP, "str": MATCH_STR,
    "bin": MATCH_BIN,
    "beg": MATCH_BEG, "end": MATCH_END, "sub": MATCH_SUB, "dir": MATCH_DIR, "dom": MATCH_DOM,
    "len": MATCH_LEN, "reg": MATCH_REG, "regm": MATCH_REGM,
}


cdef void *zeroed(size_t number, size_t size) except NULL:
    cdef void *found = calloc(max(number, <size_t>1), size)
    if found == NULL:
        raise MemoryError("rules")
    return found


cdef uint8_t packed(object address, uint8_t *out) except 255:
    """Fill 16 bytes; the family, 0 for None."""
    cdef bytes content
    memset(out, 0, 16)
    if address is None:
        return 0
    content = ipaddress.ip_address(address).packed
    memcpy(out, PyBytes_AS_STRING(content), PyBytes_GET_SIZE(content))
    return 4 if PyBytes_GET_SIZE(content) == 4 else 6


class Seen(NamedTuple):
    """A request as conditions and formats look at it.

    `client` and `front` are pairs of address and port, None on a Unix socket; `headers` are the
    lines after the request line, `version` is HTTP/1.1 or the like. Without a method there is none.
    `content` are the first bytes of a client, None where they are not looked at; `final`: there
    will be no others.
    """

    method: bytes | None = None
    target: bytes = b""
    version: bytes = b""
    headers: bytes = b""
    client: tuple[str, int] | None = None
    front: tuple[str, int] | None = None
    content: bytes | None = None
    final: bool = False


cdef int look_at(
        Context *context, HttpView *http, ContentView *content, Segment segment, object seen,
        uint64_t authorised) except -1:
    """Fill them with a request, whose bytes have to outlive them."""
    cdef bytes method, target, version, headers, first
    method, target, version, headers, client, front, first, final = seen
    memset(context, 0, sizeof(Context))
    context.view = &segment.view
    context.authorised = authorised
    if client is not None:
        context.client_family = packed(client[0], context.client)
        context.client_port = client[1]
    if front is not None:
        context.front_family = packed(front[0], context.front)
        context.front_port = front[1]
    context.final = final
    if first is not None:
        content.bytes = PyBytes_AS_STRING(first)
        content.length = PyBytes_GET_SIZE(first)
        content.from_server = False
        content.hello.known = content.hello.named = False
        content.headed = HEAD_UNKNOWN
        context.content = content
    if method is not None:
        http.method = PyBytes_AS_STRING(method)
        http.method_length = PyBytes_GET_SIZE(method)
        http.target = PyBytes_AS_STRING(target)
        http.target_length = PyBytes_GET_SIZE(target)
        http.version = PyBytes_AS_STRING(version)
        http.version_length = PyBytes_GET_SIZE(version)
        http.headers = PyBytes_AS_STRING(headers)
        http.headers_length = PyBytes_GET_SIZE(headers)
        context.http = http
    return 0


cdef class Program:
    """The texts and the converters of what was compiled.

    Raises KeyError for a fetch, converter or matcher without a C function, MemoryError.
    """

    cdef int begin(self, Segment segment, size_t converters, lists=()) except -1:
        """Make room for so many converters; `lists` are those of the settings, or their area."""
        cdef bytes packed
        cdef uint32_t number = 0
        cdef ListArea area = lists if isinstance(lists, ListArea) else None
        self.segment = segment
        self.kept = []
        self.area = area
        self.lists = lists if area is None else area.packed
        self.patterns = <Patterns *>zeroed(len(self.lists), sizeof(Patterns))
        for packed in self.lists:
            self.patterns[number].head = <const ListHead *>self.keep(packed)
            if area is not None:
                area.changes_of(number, &self.patterns[number].changes)
            number += 1
        self.steps = <Step *>zeroed(converters, sizeof(Step))
        return 0

    def __dealloc__(self):
        free(self.steps)
        free(self.patterns)

    cdef const char *keep(self, bytes content) except NULL:
        self.kept.append(content)
        return PyBytes_AS_STRING(content)

    cdef int set_call(self, Call *target, object value) except -1:
        """Fill a call from a Value, or from a Term."""
        cdef bytes text = getattr(value, "content", b"") or value.text.encode(
            errors="surrogateescape")
        target.fetch = FETCHES[value.fetch]
        target.text = self.keep(text)
        target.length = len(text)
        set_numbers(target.numbers, value.numbers)
        target.steps = &self.steps[self.step_count]
        for converter in value.converters:
            self.set_step(&self.steps[self.step_count], converter)
            self.step_count += 1
            target.step_count += 1
        return 0

    cdef int set_step(self, Step *target, object converter) except -1:
        cdef bytes text = converter.text.encode(errors="surrogateescape")
        cdef Substitution regex
        target.convert = CONVERTERS[converter.name]
        if target.convert == CONVERT_SUBSTITUTE:
            regex = Substitution(text[:converter.numbers[0]], converter.numbers[2])
            self.kept.append(regex)
            target.regex = &regex.view
        target.text = self.keep(text)
        target.length = len(text)
        set_numbers(target.numbers, converter.numbers)
        if target.convert == CONVERT_MAP:
            matcher = MATCHERS[converter.matcher.value]
            set_numbers(
                target.numbers,
                (matcher, list(MapType).index(converter.gives), converter.numbers[0]))
            target.patterns = self.patterns_of(converter.patterns, matcher)
        return 0

    cdef int set_part(self, Part *target, object piece) except -1:
        cdef bytes text = piece.text.encode(errors="surrogateescape")
        target.literal = piece.value is None
        target.text = self.keep(text)
        target.length = len(text)
        target.quote = piece.quote
        target.escape = piece.escape
        target.hexadecimal = piece.hexadecimal
        target.encode = <char>ord(piece.encode) if piece.encode else 0
        if piece.value is not None:
            self.set_call(&target.call, piece.value)
        return 0

    cdef const Patterns *patterns_of(self, int64_t number, uint8_t matcher) except NULL:
        """A list, with its regular expressions compiled; IndexError for one that there is not."""
        cdef Regexes compiled
        cdef bint groups = matcher == MATCH_REGM
        if not 0 <= number < <int64_t>len(self.lists):
            raise IndexError(f"list {number} of {len(self.lists)}")
        if (groups or matcher == MATCH_REG) and self.patterns[number].regexes == NULL:
            compiled = Regexes(self.lists[number], groups)
            if self.area is not None:
                follow(self.area, <uint32_t>number, compiled)
            self.kept.append(compiled)
            self.patterns[number].regexes = &compiled.view
        return &self.patterns[number]


cdef int set_numbers(int64_t *target, object numbers) except -1:
    cdef uint32_t at = 0
    for number in numbers:
        if at < CALL_NUMBERS:
            target[at] = number
        at += 1
    return 0


cdef class Conditions(Program):
    """Conditions by their number, for the requests of one process."""

    def __init__(self, Segment segment, conditions, lists=()) -> None:
        """`lists` are those of the settings, by number; they stay where they are."""
        cdef uint32_t number = 0
        cdef int32_t first = 0
        every = [term for condition in conditions for term in condition.terms]
        self.begin(segment, sum(len(term.converters) for term in every), lists)
        self.scratch = <Scratch *>zeroed(1, sizeof(Scratch))
        self.terms = <Term *>zeroed(len(every), sizeof(Term))
        self.firsts = <int32_t *>zeroed(len(conditions), sizeof(int32_t))
        self.numbers = <int32_t *>zeroed(sum(len(term.lists) for term in every), sizeof(int32_t))
        for condition in conditions:
            self.firsts[number] = first
            number += 1
            for offset, term in enumerate(condition.terms):
                self.set_term(&self.terms[first + <int32_t>offset], term, first)
            first += <int32_t>len(condition.terms)
        self.count = number

    def __dealloc__(self):
        free(self.terms)
        free(self.firsts)
        free(self.numbers)
        free(self.scratch)

    def __len__(self) -> int:
        return self.count

    cdef int set_term(self, Term *target, object term, int32_t first) except -1:
        self.set_call(&target.call, term)
        target.matcher = MATCHERS[term.matcher.value]
        target.negated = term.negated
        target.lists = &self.numbers[self.number_count]
        for number in term.lists:
            self.patterns_of(number, target.matcher)
            self.numbers[self.number_count] = number
            self.number_count += 1
            target.list_count += 1
        if target.list_count == 0 and target.matcher not in (MATCH_FOUND, MATCH_BOOL):
            raise IndexError(f"'{term.matcher.value}' compares with no list")
        target.then = first + term.then if term.then >= 0 else term.then
        target.otherwise = first + term.otherwise if term.otherwise >= 0 else term.otherwise
        return 0

    def holds(self, uint32_t number, seen, *, uint64_t authorised=0) -> bool:
        """Whether a condition holds for a request; IndexError for a number that there is not.

        Bit N of `authorised` answers question N of the section.
        """
        cdef Context context
        cdef HttpView http
        cdef ContentView content
        if number >= self.count:
            raise IndexError(f"condition {number} of {self.count}")
        look_at(&context, &http, &content, self.segment, seen, authorised)
        context.scratch = self.scratch
        return HOLDS == condition_judged(
            &context, self.terms, self.patterns, self.firsts[number])


cdef class Phrases(Program):
    """Values and formats of one relay, run where they stand, in the order in which they are added.

    Raises MemoryError.
    """

    def __init__(self, Segment segment, values, formats, lists) -> None:
        """Make room for all of these; `lists` are those of the settings."""
        parts = [part for form in formats for part in form]
        said = [part.value for part in parts if part.value is not None]
        self.begin(segment, sum(len(value.converters) for value in (*values, *said)), lists)
        self.calls = <Call *>zeroed(len(values), sizeof(Call))
        self.parts = <Part *>zeroed(len(parts), sizeof(Part))

    def __dealloc__(self):
        free(self.calls)
        free(self.parts)

    cdef const Call *add(self, object value) except NULL:
        cdef Call *target = &self.calls[self.call_count]
        self.set_call(target, value)
        self.call_count += 1
        return target

    cdef const Part *add_format(self, object form) except NULL:
        """The first of its parts."""
        cdef const Part *first = &self.parts[self.part_count]
        for piece in form:
            self.set_part(&self.parts[self.part_count], piece)
            self.part_count += 1
        return first
