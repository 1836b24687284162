"""The sample fetches (manual section 7.3): one entry each.

Owns the names, types and arguments. To add a fetch: an entry here, a number and a function in
proxy/rules/. Aliases and the old spellings with a matcher at their end (`path_beg`) are entries of
the same fetch.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from proxy.config.lines.rules.state_fetches import CLEAR_FETCHES, STATE_FETCHES
from proxy.config.lines.rules.table_words import ENTRY_FETCHES
from proxy.config.model.matching import Matcher


class SampleType(enum.Enum):
    """What a fetch gives."""

    TRUTH = "truth"
    NUMBER = "number"
    ADDRESS = "address"
    TEXT = "text"
    BYTES = "bytes"
    METHOD = "method"
    ADDRESS_6 = "address of IPv6"
    ANY = "what was set"  # known when it is looked at

    def becomes(self, other: SampleType) -> bool:
        """Whether a sample of this type can be made one of the other."""
        return other not in _IMPOSSIBLE.get(self, ())

    def suits(self, matcher: Matcher) -> bool:
        """Whether a method compares samples of this type."""
        wanted = _COMPARED.get(matcher, SampleType.TEXT)
        return matcher is Matcher.FOUND or self.becomes(wanted)


_IMPOSSIBLE = {  # every sample has bytes, and is some text
    SampleType.TRUTH: (SampleType.ADDRESS,),
    SampleType.ADDRESS: (SampleType.TRUTH,),
    SampleType.ADDRESS_6: (SampleType.NUMBER, SampleType.TRUTH),
    SampleType.BYTES: (SampleType.NUMBER, SampleType.ADDRESS, SampleType.TRUTH),
    SampleType.METHOD: (SampleType.NUMBER, SampleType.ADDRESS, SampleType.TRUTH),
}
_COMPARED = {
    Matcher.BOOL: SampleType.NUMBER,
    Matcher.INT: SampleType.NUMBER,
    Matcher.IP: SampleType.ADDRESS,
}
USUAL_MATCHERS = {
    SampleType.TRUTH: Matcher.BOOL,
    SampleType.NUMBER: Matcher.INT,
    SampleType.ADDRESS: Matcher.IP,
    SampleType.ADDRESS_6: Matcher.IP,
    SampleType.TEXT: Matcher.STR,
    SampleType.METHOD: Matcher.STR,
}


class Scope(enum.Flag):
    """Where a fetch has something to look at."""

    REQUEST = enum.auto()  # conditions of a section that answers itself
    TCP_CHECK = enum.auto()
    HTTP_CHECK = enum.auto()
    ANSWER = enum.auto()  # formats of what such a section answers
    CONNECTION = enum.auto()  # layer 4: before a PROXY header is read
    SESSION = enum.auto()
    CONTENT = enum.auto()  # the client's first bytes
    RESPONSE = enum.auto()  # the server's
    BACKEND = enum.auto()  # beside one of these: the rules are a backend's
    LOG = enum.auto()  # the access log
    PROCESS = enum.auto()  # the global section: neither sections nor clients are there
    ORDER = enum.auto()  # of the stats socket: no client is there


class Argument(enum.Enum):
    """What stands in the parentheses of a fetch; the text is for messages."""

    NONE = ""
    HEADER = "<name>[,<occurrence>]"
    NAME = "<name>"
    BACKEND = "[<backend>]"
    SERVER = "[<backend>/]<server>"
    FRONTEND = "[<frontend>]"
    USERS = "<userlist>"
    TEXT = "<text>"
    INTEGER = "<number>"
    TRUTH = "true|false"
    ADDRESS = "<address>"
    DIGITS = "<hex digits>"
    ENVIRONMENT = "<variable of the environment>"
    VARIABLE = "<scope>.<name>[,<default>]"
    DATE = "[<offset>[,s|ms|us]]"
    LIMIT = "[<limit>]"
    PART = "<offset>,<length>"
    BLOCK = "<offset>,<bytes of the length>[,<offset of the block>]"
    ANY_NAME = "[<name>]"
    ENTRY = "[<counter>][,<table>]"
    TIME_UNIT = "[us|ms]"
    UUID = "[<version>]"
    CAPTURED = "<number of the capture>"
    TABLE = "[<table>]"
    DISTINGUISHED = "[<entry>[,<occurrence>[,<format>]]]"


class Fetch(NamedTuple):
    """One fetch: the name is that of proxy/rules/program.pyx."""

    name: str
    type: SampleType
    argument: Argument = Argument.NONE
    matcher: Matcher | None = None  # of an old spelling; None: the usual one of the type
    scope: Scope = Scope.REQUEST
    live: str = ""  # the name in rules of connections, where it is another


_TRUTH, _NUMBER, _ADDRESS, _TEXT, _BYTES, _METHOD, _ADDRESS_6, _ANY = SampleType
_ENDINGS = (
    *(Matcher.BEG, Matcher.END, Matcher.SUB, Matcher.DIR, Matcher.DOM),
    *(Matcher.LEN, Matcher.REG),
)

_CHECKS = Scope.TCP_CHECK | Scope.HTTP_CHECK
_FORMATS = _CHECKS | Scope.ANSWER
_EITHER = Scope.CONTENT | Scope.RESPONSE
_CLIENTS = Scope.CONNECTION | Scope.SESSION | _EITHER  # rules of connections
RULES = Scope.REQUEST | _CLIENTS | Scope.BACKEND  # wherever a condition may stand
_ALL = Scope.REQUEST | _FORMATS | _CLIENTS | Scope.LOG
_SHARED = Scope.PROCESS | Scope.ORDER
_STATES = _ALL | Scope.ORDER
_REQUEST = Scope.REQUEST | Scope.ANSWER
_HTTP = _REQUEST | Scope.CONTENT  # in mode tcp of a request that is among the first bytes
_TEXTS = {
    "path": Fetch("path", _TEXT, scope=_HTTP),
    "url": Fetch("url", _TEXT, scope=_HTTP),
    "urlp": Fetch("url_param", _TEXT, Argument.NAME, scope=_HTTP),
    "hdr": Fetch("req.hdr", _TEXT, Argument.HEADER, scope=_HTTP),
}


def _of_checks(
    name: str, kind: SampleType, argument: Argument = Argument.NONE, scope: Scope = _CHECKS
) -> Fetch:
    return Fetch(name, kind, argument, scope=scope)


def _in_formats(name: str, kind: SampleType, argument: Argument = Argument.NONE) -> Fetch:
    return Fetch(name, kind, argument, scope=_FORMATS | _CLIENTS | Scope.LOG | Scope.ORDER)


def _anywhere(name: str, kind: SampleType, argument: Argument = Argument.NONE) -> Fetch:
    return Fetch(name, kind, argument, scope=_FORMATS | RULES | Scope.LOG | _SHARED)


_IN_FORMATS = {
    "str": _anywhere("text", _TEXT, Argument.TEXT),
    "meth": _anywhere("text", _METHOD, Argument.TEXT),
    "bin": _anywhere("text", _BYTES, Argument.DIGITS),
    "env": _anywhere("text", _TEXT, Argument.ENVIRONMENT),
    "hostname": _anywhere("text", _TEXT),
    "int": _anywhere("number", _NUMBER, Argument.INTEGER),
    "bool": _anywhere("number", _TRUTH, Argument.TRUTH),
    "proc": _anywhere("number", _NUMBER),
    "nbproc": _anywhere("number", _NUMBER),
    "ipv4": _anywhere("address", _ADDRESS, Argument.ADDRESS),
    "ipv6": _anywhere("address", _ADDRESS_6, Argument.ADDRESS),
    "date": _anywhere("date", _NUMBER, Argument.DATE),
    "rand": _anywhere("rand", _NUMBER, Argument.LIMIT),
    "uuid": _anywhere("uuid", _TEXT, Argument.UUID),
    "var": _anywhere("var", _ANY, Argument.VARIABLE),
    "capture.req.hdr": Fetch("var", _TEXT, Argument.CAPTURED, scope=_CLIENTS | Scope.LOG),
    "be_name": Fetch("text", _TEXT, scope=_FORMATS),
    "be_id": _of_checks("number", _NUMBER),
    "srv_name": _of_checks("srv_name", _TEXT),
    "srv_id": _of_checks("srv_id", _NUMBER),
    "bc_src": _of_checks("bc_src", _ADDRESS),
    "bc_dst": _of_checks("bc_dst", _ADDRESS),
    "bc_src_port": _of_checks("bc_src_port", _NUMBER),
    "bc_dst_port": _of_checks("bc_dst_port", _NUMBER),
    "srv_queue": _in_formats("srv_queue", _NUMBER, Argument.SERVER),
    "pathq": Fetch("pathq", _TEXT, scope=Scope.ANSWER | Scope.CONTENT),
    "base": Fetch("base", _TEXT, scope=Scope.ANSWER | Scope.CONTENT),
    "fe_name": Fetch("text", _TEXT, scope=Scope.ANSWER),
    "req.ver": Fetch("req.ver", _TEXT, scope=Scope.ANSWER | Scope.CONTENT),
    "req_ver": Fetch("req.ver", _TEXT, scope=Scope.CONTENT),
    "capture.req.uri": Fetch("pathq", _TEXT, scope=Scope.ANSWER),
    "capture.req.method": Fetch("method", _TEXT, scope=Scope.ANSWER),
    "capture.req.ver": Fetch("version", _TEXT, scope=Scope.ANSWER),
    "status": _of_checks("status", _NUMBER, scope=Scope.HTTP_CHECK),
    "res.body": _of_checks("res.body", _BYTES, scope=Scope.HTTP_CHECK),
    "res.hdr": _of_checks("res.hdr", _TEXT, Argument.HEADER, Scope.HTTP_CHECK),
    "res.fhdr": _of_checks("res.fhdr", _TEXT, Argument.HEADER, Scope.HTTP_CHECK),
    "res.hdr_cnt": _of_checks("res.hdr_cnt", _NUMBER, Argument.NAME, Scope.HTTP_CHECK),
    "res.fhdr_cnt": _of_checks("res.fhdr_cnt", _NUMBER, Argument.NAME, Scope.HTTP_CHECK),
}

_RECEIVED = Scope.TCP_CHECK | Scope.RESPONSE  # from a server


def _of_client(
    name: str, kind: SampleType, argument: Argument = Argument.NONE, matcher: Matcher | None = None
) -> Fetch:
    return Fetch(name, kind, argument, matcher, Scope.CONTENT)


_FIRST_BYTES = {  # manual section 7.3.5; some lists of the hello are from later versions
    "wait_end": Fetch("wait_end", _TRUTH, scope=_EITHER),
    "req.len": _of_client("req.len", _NUMBER),
    "req.payload": _of_client("req.payload", _BYTES, Argument.PART),
    "req.payload_lv": _of_client("req.payload_lv", _BYTES, Argument.BLOCK),
    "payload": Fetch("payload", _BYTES, Argument.PART, Matcher.BIN, _EITHER),
    "payload_lv": Fetch("payload_lv", _BYTES, Argument.BLOCK, Matcher.BIN, _EITHER),
    "req.proto_http": Fetch("req.proto_http", _TRUTH, scope=Scope.REQUEST | Scope.CONTENT),
    "req.rdp_cookie": _of_client("req.rdp_cookie", _TEXT, Argument.ANY_NAME),
    "req.rdp_cookie_cnt": _of_client("req.rdp_cookie_cnt", _NUMBER, Argument.ANY_NAME),
    "req.ssl_alpn": _of_client("req.ssl_alpn", _TEXT),
    "req.ssl_cipherlist": _of_client("req.ssl_cipherlist", _BYTES),
    "req.ssl_ec_ext": _of_client("req.ssl_ec_ext", _TRUTH),
    "req.ssl_hello_type": _of_client("req.ssl_hello_type", _NUMBER),
    "req.ssl_keyshare_groups": _of_client("req.ssl_keyshare_groups", _BYTES),
    "req.ssl_sigalgs": _of_client("req.ssl_sigalgs", _BYTES),
    "req.ssl_sni": _of_client("req.ssl_sni", _TEXT),
    "req.ssl_st_ext": _of_client("req.ssl_st_ext", _NUMBER),
    "req.ssl_supported_groups": _of_client("req.ssl_supported_groups", _BYTES),
    "req.ssl_ver": _of_client("req.ssl_ver", _NUMBER),
    "res.len": Fetch("res.len", _NUMBER, scope=_RECEIVED),
    "res.payload": Fetch("res.payload", _BYTES, Argument.PART, scope=_RECEIVED),
    "res.payload_lv": Fetch("res.payload_lv", _BYTES, Argument.BLOCK, scope=_RECEIVED),
    "res.ssl_hello_type": Fetch("res.ssl_hello_type", _NUMBER, scope=Scope.RESPONSE),
}
_OLD_SPELLINGS = {
    "req_len": "req.len",
    "req_proto_http": "req.proto_http",
    "rdp_cookie": "req.rdp_cookie",
    "req_rdp_cookie": "req.rdp_cookie",
    "rdp_cookie_cnt": "req.rdp_cookie_cnt",
    "req_rdp_cookie_cnt": "req.rdp_cookie_cnt",
    "req_ssl_hello_type": "req.ssl_hello_type",
    "req_ssl_sni": "req.ssl_sni",
    "req_ssl_ver": "req.ssl_ver",
    "rep_ssl_hello_type": "res.ssl_hello_type",
}

FETCHES: dict[str, Fetch] = {
    "always_true": Fetch("always_true", _TRUTH, scope=_ALL | _SHARED),
    "always_false": Fetch("always_false", _TRUTH, scope=_ALL | _SHARED),
    "src": Fetch("src", _ADDRESS, scope=_ALL),
    "src_port": Fetch("src_port", _NUMBER, scope=_ALL),
    "dst": Fetch("dst", _ADDRESS, scope=_ALL),
    "dst_port": Fetch("dst_port", _NUMBER, scope=_ALL),
    "method": Fetch("method", _METHOD, scope=_HTTP),
    "query": Fetch("query", _TEXT, scope=_HTTP),
    "url_param": Fetch("url_param", _TEXT, Argument.NAME, scope=_HTTP),
    "req.hdr": Fetch("req.hdr", _TEXT, Argument.HEADER, scope=_HTTP),
    "req.fhdr": Fetch("req.fhdr", _TEXT, Argument.HEADER, scope=_HTTP),
    "req.hdr_cnt": Fetch("req.hdr_cnt", _NUMBER, Argument.NAME, scope=_HTTP),
    "hdr_cnt": Fetch("req.hdr_cnt", _NUMBER, Argument.NAME, scope=_HTTP),
    "req.fhdr_cnt": Fetch("req.fhdr_cnt", _NUMBER, Argument.NAME, scope=_HTTP),
    **_TEXTS,
    **{
        f"{name}_{matcher.value}": fetch._replace(
            matcher=matcher, scope=Scope.REQUEST | Scope.CONTENT
        )
        for name, fetch in _TEXTS.items()
        for matcher in _ENDINGS
    },
    **dict.fromkeys(
        ("req.hdr_ip", "hdr_ip"), Fetch("req.hdr", _ADDRESS, Argument.HEADER, scope=Scope.CONTENT)
    ),
    **dict.fromkeys(
        ("req.hdr_val", "hdr_val"), Fetch("req.hdr", _NUMBER, Argument.HEADER, scope=Scope.CONTENT)
    ),
    "urlp_val": Fetch("url_param", _NUMBER, Argument.NAME, scope=Scope.CONTENT),
    "http_first_req": Fetch("always_true", _TRUTH, scope=Scope.CONTENT),
    "http_auth": Fetch("http_auth", _TRUTH, Argument.USERS),
    "http_auth_group": Fetch("http_auth_group", _TEXT, Argument.USERS),
    "nbsrv": Fetch("nbsrv", _NUMBER, Argument.BACKEND, scope=_STATES),
    "srv_is_up": Fetch("srv_is_up", _TRUTH, Argument.SERVER, scope=_STATES),
    "srv_conn": Fetch("srv_conn", _NUMBER, Argument.SERVER, scope=_STATES),
    "be_conn": Fetch("be_conn", _NUMBER, Argument.BACKEND, scope=_STATES),
    "queue": Fetch("queue", _NUMBER, Argument.BACKEND, scope=_STATES),
    "fe_conn": Fetch(
        "fe_conn", _NUMBER, Argument.FRONTEND, scope=_REQUEST | _CLIENTS | Scope.LOG | Scope.ORDER
    ),
    **_IN_FORMATS,
    **_FIRST_BYTES,
    **{old: _FIRST_BYTES[name] for old, name in _OLD_SPELLINGS.items()},
    **{
        name: Fetch(
            word.name,
            _TRUTH if word.name == "entry_tracked" else _NUMBER,
            Argument.ENTRY,
            scope=_CLIENTS | Scope.LOG,
        )
        for name, word in ENTRY_FETCHES.items()
    },
}
_PLACES = {
    "CLIENTS": _CLIENTS | Scope.LOG,
    "CONDITIONS": RULES | Scope.LOG | Scope.ORDER,
    "BACKENDS": Scope.BACKEND,
    "SERVERS": Scope.RESPONSE,
    "TLS": _REQUEST | Scope.SESSION | _EITHER | Scope.LOG,
    "TLS_OF_SERVERS": Scope.RESPONSE | Scope.LOG,
}
for _words, _kind, _argument, _place, _function in (*STATE_FETCHES, *CLEAR_FETCHES):
    for _word in _words.split():
        _known = FETCHES.get(_word)
        _live, _scope = _function or _word, _PLACES[_place]
        FETCHES[_word] = (
            Fetch(_live, SampleType[_kind], Argument[_argument], scope=_scope)
            if _known is None
            else _known._replace(live=_live, scope=_known.scope | _scope)
        )

# Names of conditions that every section has (manual section 7.4), as far as their fetches are here.
PREDEFINED = {
    "FALSE": "always_false",
    "TRUE": "always_true",
    "LOCALHOST": "src 127.0.0.1/8 ::1",
    "HTTP": "req.proto_http",
    "HTTP_URL_SLASH": "url_beg /",
    "HTTP_URL_STAR": "url *",
    **{
        f"METH_{method}": f"method {method}"
        for method in ("CONNECT", "DELETE", "OPTIONS", "POST", "PUT", "TRACE")
    },
    "METH_GET": "method GET HEAD",
    "METH_HEAD": "method HEAD",
    "RDP_COOKIE": "req.rdp_cookie_cnt gt 0",
    "REQ_CONTENT": "req.len gt 0",
    "WAIT_END": "wait_end",
}
