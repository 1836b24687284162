"""One check without sockets: a dialect, and a server that sends any bytes in any pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from proxy.config.model.checks import (
    CheckRules,
    ExpectStep,
    HttpCheck,
    HttpExpectStep,
    HttpRequest,
    HttpSendStep,
    LdapCheck,
    Match,
    MysqlCheck,
    PgsqlCheck,
    RedisCheck,
    SendStep,
    SmtpCheck,
    SslHelloCheck,
    TcpCheck,
    TextMatch,
)
from proxy.config.model.settings import ProxyHeader
from proxy.health.agent_words import understood
from proxy.health.dialect.agent import AgentDialect
from proxy.health.dialect.dialects import Dialects
from proxy.health.dialect.seam import (
    RECEIVED_MAX,
    Answer,
    Connect,
    Dialect,
    Ended,
    Event,
    Moment,
    Received,
    Result,
    Send,
)

Tell = Callable[[Dialect, Event], Answer]
SILENT = -1  # instead of an errno: the server says no more, and stays
HTTP = (
    HttpSendStep(1, HttpRequest()),
    HttpExpectStep(
        2, Match.HEADER, b"", name=TextMatch("^x", "reg"), value=TextMatch("z", "sub"), negated=True
    ),
    HttpExpectStep(3, Match.REGEX, b"o+$"),
)
TCP = (
    ExpectStep(1, Match.STRING, b"ERR", negated=True, bytes_min=4),
    ExpectStep(2, Match.BINARY_REGEX, b"^(61)*0D0A"),
    SendStep(3, b"hello"),
    ExpectStep(4, Match.REGEX, b"^(a|b)*c"),
)
RULES: dict[str, CheckRules] = {
    "tcp-check": TcpCheck(TCP),
    "http-check": HttpCheck(HttpRequest(), HTTP),
    "mysql-check": MysqlCheck(),
    "mysql-check user": MysqlCheck("bob"),
    "pgsql-check": PgsqlCheck("bob"),
    "redis-check": RedisCheck(),
    "smtpchk": SmtpCheck(),
    "ldap-check": LdapCheck(),
    "ssl-hello-chk": SslHelloCheck(),
}
FACTORIES = Dialects()
AGENT = "agent-check"
NAMES = (*RULES, AGENT)


def dialect_of(name: str) -> Dialect:
    """A new check."""
    if name == AGENT:
        return AgentDialect(b"hello\n")
    index = list(RULES).index(name)
    return FACTORIES.of(RULES[name], index, ProxyHeader.NONE, lambda: False)()


def _told(dialect: Dialect, event: Event) -> Answer:
    return dialect.answer(event)


def obey(name: str, pieces: Iterator[bytes], code: int, tell: Tell = _told) -> Result:
    """One check whose server sends these pieces, then breaks with `code`, ends (0) or is SILENT.

    What a dialect has no room for waits, up to RECEIVED_MAX bytes: who sends more is not listened
    to meanwhile.
    """
    dialect = dialect_of(name)
    answer, waiting, ended = tell(dialect, Moment.CONNECTED), b"", False
    while not isinstance(answer, Result):
        assert not isinstance(answer, Connect)
        if isinstance(answer, Send):
            answer = tell(dialect, Moment.SENT)
            continue
        assert 1 <= answer.bytes_min <= answer.bytes_max <= RECEIVED_MAX
        piece = None if ended else next(pieces, None)
        if piece is not None:
            waiting += piece[: RECEIVED_MAX - len(waiting)]
        if len(waiting) >= answer.bytes_min:
            data, waiting = waiting[: answer.bytes_max], waiting[answer.bytes_max :]
            answer = tell(dialect, Received(data))
        elif piece is not None:
            continue
        elif code == SILENT:
            answer = tell(dialect, Moment.EXPIRED)
            assert isinstance(answer, Result)
        else:
            answer = tell(dialect, Ended(waiting, 0 if ended else code))
            assert isinstance(answer, Result) or not ended
            waiting, ended = b"", True
    if isinstance(dialect, AgentDialect) and dialect.line is not None:
        understood(dialect.line, 10, fixed=False)
    return answer
