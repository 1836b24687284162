"""The sample fetches of conditions (manual section 7.3): one entry each.

Owns the names, types and arguments. To add a fetch: an entry here, a number and a function in
proxy/rules/. Aliases and the old spellings with a matcher at their end (`path_beg`) are entries of
the same fetch.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from proxy.config.model.rules import Matcher


class SampleType(enum.Enum):
    """What a fetch gives."""

    TRUTH = "truth"
    NUMBER = "number"
    ADDRESS = "address"
    TEXT = "text"

    @property
    def matchers(self) -> tuple[Matcher, ...]:
        """The methods that compare it, the usual one first."""
        return _MATCHERS[self]


_MATCHERS = {
    SampleType.TRUTH: (Matcher.BOOL, Matcher.INT, Matcher.FOUND),
    SampleType.NUMBER: (Matcher.INT, Matcher.BOOL, Matcher.FOUND),
    SampleType.ADDRESS: (Matcher.IP, Matcher.FOUND),
    SampleType.TEXT: (
        *(Matcher.STR, Matcher.BEG, Matcher.END, Matcher.SUB, Matcher.DIR, Matcher.DOM),
        *(Matcher.LEN, Matcher.FOUND),
    ),
}


class Argument(enum.Enum):
    """What stands in the parentheses of a fetch; the text is for messages."""

    NONE = ""
    HEADER = "<name>[,<occurrence>]"
    NAME = "<name>"
    BACKEND = "<backend>"
    SERVER = "<backend>/<server>"
    FRONTEND = "<frontend>"
    USERS = "<userlist>"


class Fetch(NamedTuple):
    """One fetch: the name is that of proxy/rules/program.pyx."""

    name: str
    type: SampleType
    argument: Argument = Argument.NONE
    matcher: Matcher | None = None  # of an old spelling; None: the usual one of the type

    @property
    def usual_matcher(self) -> Matcher:
        """The method without `-m`."""
        return self.matcher or self.type.matchers[0]


_TRUTH, _NUMBER, _ADDRESS, _TEXT = SampleType
_TEXTS = {
    "path": Fetch("path", _TEXT),
    "url": Fetch("url", _TEXT),
    "urlp": Fetch("url_param", _TEXT, Argument.NAME),
    "hdr": Fetch("req.hdr", _TEXT, Argument.HEADER),
}
_ENDINGS = (
    *(Matcher.BEG, Matcher.END, Matcher.SUB, Matcher.DIR, Matcher.DOM),
    Matcher.LEN,
)

FETCHES: dict[str, Fetch] = {
    "always_true": Fetch("always_true", _TRUTH),
    "always_false": Fetch("always_false", _TRUTH),
    "ssl_fc": Fetch("always_false", _TRUTH),  # no client's TLS ends here
    "src": Fetch("src", _ADDRESS),
    "src_port": Fetch("src_port", _NUMBER),
    "dst": Fetch("dst", _ADDRESS),
    "dst_port": Fetch("dst_port", _NUMBER),
    "method": Fetch("method", _TEXT),
    "query": Fetch("query", _TEXT),
    "url_param": Fetch("url_param", _TEXT, Argument.NAME),
    "req.hdr": Fetch("req.hdr", _TEXT, Argument.HEADER),
    "req.fhdr": Fetch("req.fhdr", _TEXT, Argument.HEADER),
    "req.hdr_cnt": Fetch("req.hdr_cnt", _NUMBER, Argument.NAME),
    "hdr_cnt": Fetch("req.hdr_cnt", _NUMBER, Argument.NAME),
    "req.fhdr_cnt": Fetch("req.fhdr_cnt", _NUMBER, Argument.NAME),
    **_TEXTS,
    **{
        f"{name}_{matcher.value}": fetch._replace(matcher=matcher)
        for name, fetch in _TEXTS.items()
        for matcher in _ENDINGS
    },
    "http_auth": Fetch("http_auth", _TRUTH, Argument.USERS),
    "http_auth_group": Fetch("http_auth_group", _TEXT, Argument.USERS),
    "nbsrv": Fetch("nbsrv", _NUMBER, Argument.BACKEND),
    "srv_is_up": Fetch("srv_is_up", _TRUTH, Argument.SERVER),
    "srv_conn": Fetch("srv_conn", _NUMBER, Argument.SERVER),
    "be_conn": Fetch("be_conn", _NUMBER, Argument.BACKEND),
    "queue": Fetch("queue", _NUMBER, Argument.BACKEND),
    "fe_conn": Fetch("fe_conn", _NUMBER, Argument.FRONTEND),
}

# Names of conditions that every section has (manual section 7.4), as far as their fetches are here.
PREDEFINED = {
    "FALSE": "always_false",
    "TRUE": "always_true",
    "LOCALHOST": "src 127.0.0.1/8 ::1",
    "HTTP": "always_true",  # where it is asked, it is HTTP
    "HTTP_URL_SLASH": "url_beg /",
    "HTTP_URL_STAR": "url *",
    **{
        f"METH_{method}": f"method {method}"
        for method in ("CONNECT", "DELETE", "OPTIONS", "POST", "PUT", "TRACE")
    },
    "METH_GET": "method GET HEAD",
    "METH_HEAD": "method HEAD",
}
