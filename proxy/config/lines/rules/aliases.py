"""The variables of formats outside the log: what `%name` says (manual section 8.2.4).

Owns which of them there are in a health check, which has no client, and in an answer that a section
gives itself, which has no server: so much is empty, as in HAProxy.
"""

from __future__ import annotations

from typing import NamedTuple

from proxy.config.model.rules import Target, Value

HTTPALIASES = frozenset(
    (
        *("CC", "CS", "HM", "HP", "HPO", "HQ", "HU", "HV", "TR", "Ta", "Ti", "Tq", "Tr", "r"),
        *("tr", "trg", "trl"),
    )
)
CLOCK_LOCAL, CLOCK_UTC, CLOCK_OFFSET = range(3)  # as in proxy/rules/moment.pxd


class Said(NamedTuple):
    """What a variable says: a value, or the same each time."""

    value: Value | None = None
    text: str = ""
    quotable: bool = False
    hexadecimal: bool = False
    other: str = ""  # the text in base 16
    encode: str = ""


def _same(text: str, *names: str, quotable: bool = False) -> dict[str, Said]:
    return dict.fromkeys(names, Said(text=text, quotable=quotable))


ALIASES: dict[str, Said] = {
    "b": Said(Value("text", target=Target("", "name")), quotable=True),
    "s": Said(Value("srv_name"), quotable=True),
    "bi": Said(Value("bc_src"), quotable=True, hexadecimal=True),
    "bp": Said(Value("bc_src_port"), hexadecimal=True),
    "si": Said(Value("bc_dst"), quotable=True, hexadecimal=True),
    "sp": Said(Value("bc_dst_port"), hexadecimal=True),
    "pid": Said(Value("process"), hexadecimal=True),
    "t": Said(Value("clock", numbers=(CLOCK_LOCAL,))),
    "T": Said(Value("clock", numbers=(CLOCK_UTC,))),
    "Tl": Said(Value("clock", numbers=(CLOCK_OFFSET,))),
    "Ts": Said(Value("date", numbers=(0, 0)), hexadecimal=True),
    "ms": Said(Value("milliseconds"), hexadecimal=True),
    "ac": Said(Value("sessions")),
    "bc": Said(Value("be_conn", target=Target("", "backend"))),
    "sc": Said(Value("checked_sessions")),
    "lc": Said(text="0", other="0000"),
    **_same("CHECKS-FE", "f", "ft", quotable=True),
    **_same("", "ci", "cp", "fi", "fp", "ID", "sslc", "sslv", quotable=True),
    **_same("", "hr", "hrl", "hs", "hsl"),
    **_same("0", "ST", "U", "fc", "rc", "sq", "bq"),
    **_same("-1", "Tw", "Tc", "Td", "Th"),
    **_same("+0", "B"),
    **_same("PR", "ts"),
    **_same("PR--", "tsc"),
}

WITHOUT_A_SESSION = {
    "rt": "HAProxy counts its own requests by it",
    **dict.fromkeys(("Tt", "Tu"), "how long one takes is in its log line"),
}


def _told(fetch: str) -> Said:
    return Said(Value(fetch), quotable=True, encode="#")


# what a section that answers itself can tell of a request; nothing of a server
ANSWER_ALIASES: dict[str, Said] = {
    **{name: ALIASES[name] for name in ("pid", "t", "T", "Tl", "Ts", "ms", "lc")},
    "tr": ALIASES["t"],
    "trg": ALIASES["T"],
    "trl": ALIASES["Tl"],
    "ci": Said(Value("src"), quotable=True, hexadecimal=True),
    "cp": Said(Value("src_port"), hexadecimal=True),
    "fi": Said(Value("dst"), quotable=True, hexadecimal=True),
    "fp": Said(Value("dst_port"), hexadecimal=True),
    "b": ALIASES["b"],
    **dict.fromkeys(("f", "ft"), Said(Value("text", target=Target("", "fe_name")), quotable=True)),
    "HM": _told("method"),
    "HU": _told("url"),
    "HP": _told("url_path"),
    "HPO": _told("path"),
    "HQ": _told("url_query"),
    "HV": _told("version"),
    **_same("<NOSRV>", "s", quotable=True),
    **_same("", "bi", "bp", "si", "sp", "ID", "CC", "CS", "sslc", "sslv", quotable=True),
    **_same("", "hr", "hrl", "hs", "hsl"),
    **_same("0", "B", "bq", "rc", "sc", "sq"),
    **_same("-1", "Tc", "Td", "Tr", "Tw"),
    **_same("--", "ts"),
    **_same("----", "tsc"),
}
# what the rules of a connection can tell of it, before it has a server
RULE_ALIASES: dict[str, Said] = {
    name: ANSWER_ALIASES[name] for name in ("ci", "cp", "fi", "fp", "f", "ft")
}
NOT_IN_RULES = dict.fromkeys(
    (ALIASES.keys() | WITHOUT_A_SESSION.keys()) - RULE_ALIASES.keys(),
    "only what a client comes with is known there",
)
NOT_IN_ANSWERS = dict.fromkeys(
    ("ac", "bc", "fc", "rt", "Ta", "Th", "Ti", "Tq", "TR", "Tt", "Tu", "U"),
    "sessions are counted and timed where something is forwarded",
)
