"""What Millrace finds in first bytes, by the words of the configuration.

The bytes end where their memory ends, and the address sanitizer watches where it is loaded
(tests/run_sanitized.sh).
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any, NamedTuple

from proxy.config.lines.rules.fetches import Scope
from proxy.config.lines.rules.values import ValueReader
from proxy.config.model.rules import Value
from proxy.rules import program
from tests.support.compiled import compiled

SOURCE = Path(__file__).parent / "reader.pyx"
SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")
EXPRESSIONS = (  # one at least of each fetch of a client's first bytes
    *("req.len", "wait_end", "req.proto_http"),
    *("req.payload(0,4)", "req.payload(2,0)", "req.payload(3,16381)", "req.payload(3,16382)"),
    *("payload(5,1)", "payload_lv(1,1)"),
    *("req.payload_lv(0,1)", "req.payload_lv(0,1,+2)", "req.payload_lv(2,2,-3)"),
    *("req.ssl_hello_type", "req.ssl_ver", "req.ssl_sni", "req.ssl_alpn"),
    *("req.ssl_ec_ext", "req.ssl_st_ext"),
    *("req.rdp_cookie", "req.rdp_cookie(mstshash)", "req.rdp_cookie_cnt", "req.rdp_cookie_cnt(x)"),
)
OF_HTTP = (  # of a request among them
    *("path", "url", "method", "query", "pathq", "base", "req.ver", "req.hdr(host)", "hdr(x,1)"),
    *("req.fhdr(x)", "req.hdr_cnt(x)", "req.fhdr_cnt(x)", "urlp(b)", "hdr(x,-2)"),
)
LATER = (  # which HAProxy 2.6 has not
    *("req.ssl_cipherlist", "req.ssl_supported_groups", "req.ssl_keyshare_groups"),
    "req.ssl_sigalgs",
)


class Seen(NamedTuple):
    """All values that a fetch gives; `unsettled`: more bytes may change it, or bring one."""

    values: list[int | bytes]
    unsettled: bool


@functools.cache
def _reader() -> Any:
    flags = ("-fsanitize=address,undefined", "-g") if SANITIZED else ("-O1", "-g0")
    return compiled(SOURCE, *flags)


@functools.cache
def value_of(expression: str, scope: Scope = Scope.CONTENT) -> Value:
    """The expression, as the configuration has it."""
    return ValueReader(scope, {}).expression(expression)


def look(
    expression: str,
    content: bytes,
    *,
    final: bool = False,
    answer: bool = False,
    scratch: bool = True,
) -> Seen:
    """What is found in the bytes of a client, or (`answer`) of a server."""
    value = value_of(expression, Scope.RESPONSE if answer else Scope.CONTENT)
    values, unsettled = _reader().look(
        program.FETCHES[value.fetch],
        content,
        text=value.text.encode(),
        numbers=value.numbers,
        answer=answer,
        final=final,
        scratch=scratch,
    )
    return Seen(values, unsettled)
