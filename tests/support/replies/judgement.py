"""Where the two programs judge replies otherwise, and what of that is HAProxy's own fault.

A machine may be busy: pieces of a reply may arrive as one, and time may be up before a reply has
come. So what differs is played again; it differs when no two plays of the programs say the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.support.replies.deeds import Give
from tests.support.replies.play import Case, Told, play

REPLAYS = 6
FRESH = (0x41, 0xC3)  # other bytes for memory that HAProxy has not used yet
LONG_BODY = 16_000  # with `min-recv`, a first look at so much sees what each program reads at once
TIMEOUTS = ("L4TOUT", "L6TOUT", "L7TOUT")
LDAP_CODES = 1 << 8
CODE = re.compile(r"(?<=code: )-\d+")


class Difference(NamedTuple):
    """All that was seen of a case whose results have nothing in common."""

    case: Case
    haproxy: frozenset[Told]
    millrace: frozenset[Told]


class Judged(NamedTuple):
    """How many replies were judged alike, at once or when played again, and the others."""

    at_once: int
    again: int
    excused: dict[str, int]  # by the fault of HAProxy's
    otherwise: list[Difference]


def judged(folder: Path, cases: Sequence[Case]) -> Judged:
    """Play the cases in both programs until each is judged alike, or REPLAYS times."""
    theirs: list[set[Told]] = [set() for _ in cases]
    ours: list[set[Told]] = [set() for _ in cases]
    left = list(range(len(cases)))
    left_at_first: list[int] = []
    for turn in range(1 + REPLAYS):
        chosen = [cases[number] for number in left]
        wanted = play("haproxy", folder / f"haproxy{turn}", chosen)
        found = play("millrace", folder / f"millrace{turn}", chosen)
        for number, want, find in zip(left, wanted, found, strict=True):
            theirs[number].add(plain(cases[number], want))
            ours[number].add(plain(cases[number], find))
        left = [n for n in left if not _settled(theirs[n]) & _settled(ours[n])]
        left_at_first = left_at_first if turn else left
        if not left:
            break
    again = len(left_at_first) - len(left)
    excused, left = _excused(folder, cases, left, theirs)
    otherwise = [Difference(cases[n], frozenset(theirs[n]), frozenset(ours[n])) for n in left]
    return Judged(len(cases) - len(left_at_first), again, excused, otherwise)


def _settled(told: set[Told]) -> set[Told]:
    """What was told, without time-outs where there was more to tell."""
    return {each for each in told if each.status not in TIMEOUTS} or told


def plain(case: Case, told: Told) -> Told:
    """Without what docs/differences.md says of texts and codes."""
    server = told.server
    if server and server[0].startswith("MAINT"):  # HAProxy computes no weight meanwhile
        server = (server[0], "", *server[2:])
    code, line = told.code, told.line
    if "option ldap-check" in case.lines:
        code = str(int(code) % LDAP_CODES) if code else code
        line = CODE.sub(lambda found: str(int(found[0]) % LDAP_CODES), line)
    last = re.sub(r"(?<=\.)\n", "", told.last)  # the end of a text about an agent's weight
    return told._replace(code=code, last=last, line=line.replace(".<0A>", "."), server=server)


def said(case: Case) -> bytes:
    """All that the server of a case says."""
    return b"".join(deed.data for deed in case.deeds if isinstance(deed, Give))


def _fault_of(case: Case) -> str:
    """What HAProxy does wrong with such a reply, as docs/differences.md has it; or nothing."""
    data = said(case)
    if "agent-check" in (case.options or ""):
        for number in re.findall(rb"(?i)maxconn:[\s]*([-+]?[0-9]+)", data):
            if not 0 <= int(number[:40]) < 1 << 31:
                return "a maxconn beyond its limits"
    login = any("mysql-check user" in line for line in case.lines)
    if login and data[:3] == b"\0\0\0" and data[4:5] == b"\xff":
        return "a byte behind an empty packet"
    least = any("http-check" in line and "min-recv" in line for line in case.lines)
    if least and len(data) > LONG_BODY:
        return "a part of a long body judged"
    http = any("httpchk" in line for line in case.lines)
    body = any("string" in line and "expect" in line for line in case.lines)
    if http and b"chunked" in data and len(data) > LONG_BODY:
        return "a long body in chunks left unread"
    if body and re.search(rb"[A-Z]/[0-9.]+[ \t]+0*1[0-9][0-9]\b", data):
        return "a body looked for in a response 1xx"
    return ""


def _excused(
    folder: Path, cases: Sequence[Case], left: list[int], theirs: list[set[Told]]
) -> tuple[dict[str, int], list[int]]:
    """Counts of what is HAProxy's fault, and what is left then."""
    excused: dict[str, int] = {}
    rest: list[int] = []
    for number in left:
        fault = _fault_of(cases[number])
        if fault:
            excused[fault] = excused.get(fault, 0) + 1
        else:
            rest.append(number)
    if not rest:
        return excused, rest
    chosen = [cases[number] for number in rest]
    seen = [play("haproxy", folder / f"fresh{fresh}", chosen, fresh) for fresh in FRESH]
    beyond = {
        number
        for number, *told in zip(rest, *seen, strict=True)
        if not {plain(cases[number], each) for each in told} <= theirs[number]
    }
    if beyond:
        excused["bytes read that did not come"] = len(beyond)
    return excused, [number for number in rest if number not in beyond]
