"""The `tune.*` words of HAProxy 2.6: none has an effect, and each has the same form as there.

Owns lists only. A word of a later HAProxy is recognized by its prefix (others.py).
"""

from __future__ import annotations

from proxy.config.drafts import GlobalDraft
from proxy.config.lines.shapes import (
    ALONE,
    NUMBER,
    ON_OFF,
    ONE,
    ONE_LENIENT,
    TIME,
    TIME_LENIENT,
    ArgumentShape,
)
from proxy.config.lines.table import Statement, Table, without_effect, works
from proxy.config.text.messages import ConfigError
from proxy.config.text.units import parse_size

_BUFFERS = "the kernel sizes the buffers of sockets"
# prefix of the word -> why it has no effect; the first that matches
ADVICE = {
    "tune.ssl.": "Millrace forwards TLS without opening it",
    "tune.h1.": "Millrace forwards TCP as it is",
    "tune.h2.": "Millrace forwards TCP as it is",
    "tune.http.": "Millrace forwards TCP as it is",
    "tune.quic.": "QUIC is not TCP",
    "tune.lua.": "Millrace runs no Lua",
    "tune.vars.check": "a variable of a check is at most as large as an answer",
    "tune.comp.": "nothing is compressed",
    "tune.zlib.": "nothing is compressed",
    "tune.peers.": "there are no peers",
    "tune.rcvbuf.": _BUFFERS,
    "tune.sndbuf.": _BUFFERS,
    "tune.": "the relay sizes its own buffers and loops",
}

_SIZES = (
    *("tune.bufsize", "tune.pipesize", "tune.rcvbuf.client", "tune.rcvbuf.server"),
    *("tune.sndbuf.client", "tune.sndbuf.server", "tune.rcvbuf.frontend", "tune.rcvbuf.backend"),
    *("tune.sndbuf.frontend", "tune.sndbuf.backend", "tune.maxrewrite"),
)
_SIZE_LENIENT = ArgumentShape(1, 1, lenient=True, form=r"[0-9]+.*", expected="a size")
_FORMS: dict[str, ArgumentShape] = {
    **dict.fromkeys(
        (
            *("tune.maxaccept", "tune.maxpollevents", "tune.ssl.cachesize", "tune.ssl.maxrecord"),
            *("tune.ssl.hard-maxrecord", "tune.ssl.capture-buffer-size", "tune.buffers.limit"),
            *("tune.ssl.capture-cipherlist-size", "tune.ssl.ssl-ctx-cache-size"),
            *("tune.http.cookielen", "tune.http.logurilen", "tune.runqueue-depth"),
            *("tune.recv_enough", "tune.buffers.reserve", "tune.pool-high-fd-ratio"),
            *("tune.pool-low-fd-ratio", "tune.fail-alloc"),
        ),
        ONE,
    ),
    **dict.fromkeys(
        (
            *("tune.ssl.default-dh-param", "tune.h2.max-frame-size", "tune.http.maxhdr"),
            *("tune.comp.maxlevel", "tune.peers.max-updates-at-once", "tune.h2.header-table-size"),
            *("tune.h2.initial-window-size", "tune.h2.max-concurrent-streams"),
        ),
        NUMBER,
    ),
    **dict.fromkeys(("tune.ssl.lifetime", "tune.idletimer"), TIME),
    **dict.fromkeys(
        (
            *("tune.ssl.keylog", "tune.idle-pool.shared", "tune.listener.multi-queue"),
            *("tune.sched.low-latency", "tune.fd.edge-triggered"),
        ),
        ON_OFF,
    ),
    **dict.fromkeys(
        (*("tune.vars.check-max-size", "tune.lua.maxmem", "tune.lua.forced-yield"),),
        _SIZE_LENIENT,
    ),
    **dict.fromkeys(
        (
            *("tune.lua.session-timeout", "tune.lua.task-timeout", "tune.lua.service-timeout"),
            "tune.lua.burst-timeout",
        ),
        TIME_LENIENT,
    ),
    "tune.pattern.cache-size": ONE_LENIENT,
    "tune.ssl.force-private-cache": ALONE,
}


_VARIABLES = {  # the place of each limit in the settings
    "tune.vars.global-max-size": 0,
    "tune.vars.sess-max-size": 1,
    "tune.vars.txn-max-size": 2,
    "tune.vars.reqres-max-size": 3,
    "tune.vars.proc-max-size": 4,
}


def _advice(name: str) -> str:
    return next(advice for prefix, advice in ADVICE.items() if name.startswith(prefix))


def _size(statement: Statement, _draft: GlobalDraft) -> None:
    try:
        parse_size(statement.one("a size"))
    except ConfigError as error:
        raise ConfigError(f"'{statement.keyword}' : {error}") from error
    statement.notice(f"'{statement.keyword}' has no effect here: {_advice(statement.keyword)}")


def _variables(statement: Statement, draft: GlobalDraft) -> None:
    """How many bytes variables of a scope may take, of the process or of a session."""
    words = statement.pass_over(1, f"'{statement.keyword}'").arguments
    try:
        size = parse_size(words[0] if words else "")
    except ConfigError as error:
        raise ConfigError(f"'{statement.keyword}' : {error}") from error
    level = _VARIABLES[statement.keyword]
    sizes = list(draft.variable_bytes)
    sizes[level] = size
    draft.variable_bytes = (sizes[0], sizes[1], sizes[2], sizes[3], sizes[4])


TUNING: Table[GlobalDraft] = {
    **dict.fromkeys(_VARIABLES, works(_variables)),
    **dict.fromkeys(_SIZES, works(_size)),
    **{name: without_effect(_advice(name), shape=shape) for name, shape in _FORMS.items()},
}
