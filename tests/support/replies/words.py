"""Generated replies of protocols in lines: mail, Redis, agents; and of scripts of `tcp-check`."""

from __future__ import annotations

from random import Random

from tests.support.replies.damage import FULL, damaged, delivered, ended, some_bytes, text
from tests.support.replies.deeds import Deed, End, Give, Take
from tests.support.replies.play import Case

HELLO = "option smtpchk", 16
EXTENDED = "option smtpchk EHLO me.test", 14
QUIT_BYTES = 6
CODES = (b"220", b"250", b"221", b"200", b"299", b"421", b"554", b"550", b"354", b"999", b"042")


def _mail(chance: Random, code: bytes) -> bytes:
    """A reply of one or several lines."""
    if chance.random() < 0.25:
        code = chance.choice(CODES)
    lines = b""
    for left in reversed(range(chance.choice((1, 1, 1, 2, 4)))):
        mark = b"-" if left else chance.choice((b" ", b" ", b" ", b"", b"-", b"\t"))
        said = text(chance, "mx.test", "ESMTP", "ok", "5.7.1", "PIPELINING", "bye", "é")
        lines += code + mark + said + (b"\r\n" if chance.random() < 0.95 else b"\n")
    return lines


def smtp(chance: Random) -> Case:
    """Up to three replies; one of them is damaged."""
    line, hello = chance.choice((HELLO, EXTENDED))
    replies = [_mail(chance, code) for code in (b"220", b"250", b"221")]
    hurt = chance.randrange(3)
    replies[hurt] = damaged(chance, replies[hurt], replies)
    if chance.random() < 0.7:  # what comes before it is well
        replies[:hurt] = [b"220 mx\r\n", b"250-mx\r\n250 HELP\r\n"][:hurt]
    if chance.random() < 0.2:
        replies = replies[: hurt + 1]
    deeds: tuple[Deed, ...] = ()
    for heard, reply in zip((0, hello, QUIT_BYTES), replies, strict=False):
        deeds += ((Take(heard),) if heard else ()) + delivered(chance, reply)
    return Case((line,), (*deeds, *ended(chance)))


def redis(chance: Random) -> Case:
    """Status, error and other replies."""
    known = b"+PONG\r\n", b"-NOAUTH Authentication required.\r\n", b"$4\r\nPONG\r\n", b"-L x\r\n"
    said = chance.choice((b"+", b"-", b"")) + text(chance, "PONG", "ERR", "DENIED", "é", "\r\n")
    data = damaged(chance, chance.choice((*known, *known, said + b"\r\n")), known)
    return Case(("option redis-check",), (Take(14), *delivered(chance, data), *ended(chance)))


AGENT_WORDS = (
    *("up", "down", "fail", "stopped", "ready", "drain", "maint", "UP", "Down", "dRain"),
    *("75%", "0%", "100%", "256%", "1000%", "-5%", "5%%", "7.5%", "75", "00000000100%"),
    *("4294967297%", "99999999999999999999%", "256%x", "300x%", "maxconn:30", "maxconn:0"),
    *("maxconn:", "MAXCONN:7", "maxconn:5x", "maxconn:+5", "maxconn:00000000007", "garbage"),
    *("x", "#", "# why", "#why,not", "up#", "%", "é"),
)
AGENT_GAPS = (" ", ",", "\t", " , ", ", ", "")


def agent(chance: Random) -> Case:
    """A line of words, with what is not one before, in and behind it."""
    words = "".join(
        chance.choice(AGENT_WORDS) + chance.choice(AGENT_GAPS) for _ in range(chance.randrange(5))
    )
    end = chance.choice((b"\n", b"\n", b"\n", b"\r\n", b"\r", b"\nup\n", b""))
    data = damaged(chance, words.encode() + end, (b"up\n", b"down # x\n", b"\n"))
    options = "weight 40 maxconn 50 agent-check agent-port PORT agent-inter 1h"
    first: tuple[Deed, ...] = ()
    if chance.random() < 0.3:
        options, first = rf'{options} agent-send "hello\n"', (Take(6),)
    return Case((), (*first, *delivered(chance, data), *ended(chance)), options)


STRINGS = ("a", "b", "ab", "abc", "+PONG", "ERR", "x" * 20)
REGEXES = ("^a", "b$", "a+b", "a.c", "^[^E]", "(?i)err", "^(a|b)*$", "c{2}", "^$", "a[[:space:]]")
BINARIES = ("61", "0d0a", "00", "ff00", "6162", "2b504f4e47")
HEX_REGEXES = ("^61", "0D0A$", "(61)+62", "00", "^(..)*FF", "ff")
OK_STATUSES = ("L7OK", "L7OKC", "L6OK", "L4OK")
ERROR_STATUSES = ("L7RSP", "L7STS", "L7OKC", "L6RSP", "L4CON")
TIMEOUT_STATUSES = ("L7TOUT", "L6TOUT", "L4TOUT")


def _expect(chance: Random) -> str:
    kind, patterns = chance.choice(
        (("string", STRINGS), ("rstring", REGEXES), ("binary", BINARIES), ("rbinary", HEX_REGEXES))
    )
    words = []
    if chance.random() < 0.3:
        words.append(f"min-recv {chance.choice((-1, 0, 1, 2, 4, 10, 100, FULL - 1, FULL, 99_999))}")
    for chosen, option in (
        (0.2, "comment " + chance.choice(("one", '"two words"'))),
        (0.1, f"ok-status {chance.choice(OK_STATUSES)}"),
        (0.2, f"error-status {chance.choice(ERROR_STATUSES)}"),
        (0.1, f"tout-status {chance.choice(TIMEOUT_STATUSES)}"),
        (0.1, "on-success fine"),
        (0.1, 'on-error "not fine"'),
    ):
        if chance.random() < chosen:
            words.append(option)
    pattern = chance.choice(patterns)
    return " ".join(("tcp-check expect", *words, *(["!"] * (chance.random() < 0.3)), kind, pattern))


def _content(chance: Random) -> bytes:
    """Of what patterns look for, and of what they do not."""
    known = [word.encode() for word in STRINGS] + [bytes.fromhex(each) for each in BINARIES]
    parts = [
        chance.choice(known) if chance.random() < 0.8 else some_bytes(chance, 5)
        for _ in range(chance.randrange(5))
    ]
    if chance.random() < 0.05:
        size = FULL - chance.randrange(-4, 12)
        parts.insert(chance.randrange(len(parts) + 1), chance.choice((b"a", b"\0", b"z")) * size)
    return b"".join(parts)


def tcp_check(chance: Random) -> Case:
    """A script of its own, and a server that does its part of it."""
    lines = ["option tcp-check"]
    deeds: list[Deed] = []
    if chance.random() < 0.2:
        lines.append("tcp-check connect" + chance.choice(("", " comment c", " linger")))
    for _ in range(chance.choice((1, 1, 2, 3))):
        if chance.random() < 0.5:
            said = chance.choice(("PING", "hello", "q"))
            lines.append(f"tcp-check send {said}")
            deeds.append(Take(len(said)))
        lines += [_expect(chance) for _ in range(chance.choice((1, 1, 2)))]
        deeds += delivered(chance, _content(chance))
        if chance.random() < 0.2:
            deeds += [End.PAUSE, Give(_content(chance))]
    return Case(tuple(lines), (*deeds, *ended(chance)))
