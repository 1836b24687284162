"""What a health check says to a server after its connect, as settings (manual section 4.2).

Owns the steps of `tcp-check` and the dialects that have an option of their own. What a dialect
sends and how it judges is known where checks are made, not here.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import ClassVar

import msgspec

from proxy.config.model.rules import Format, FormatText, Value
from shm.check_status import CheckStatus


class Match(enum.StrEnum):
    """How `tcp-check expect` or `http-check expect` looks for its pattern.

    Settings that were sent as bytes have plain strings: compare with ==, not with `is`.
    """

    STRING = "string"
    REGEX = "rstring"
    BINARY = "binary"
    BINARY_REGEX = "rbinary"  # over the hexadecimal form, in capitals
    STATUS = "status"
    STATUS_REGEX = "rstatus"
    HEADER = "hdr"  # each element of its list
    FULL_HEADER = "fhdr"
    STRING_FORMAT = "string-lf"
    BINARY_FORMAT = "binary-lf"  # what it says are hex digits


class ConnectStep(msgspec.Struct, frozen=True, tag=True):
    """`tcp-check connect` or `http-check connect`; None: the check's own address or port.

    `number` counts the rules of the file from 1, comments too; `comment` is the rule's own, or that
    of the last `tcp-check comment` before it.
    """

    number: int
    comment: str = ""
    port: int | None = None
    address: str | None = None  # numeric
    address_port: int | None = None  # behind the address, in force without `port`
    default: bool = False  # as the server's line says it: a PROXY header among others
    send_proxy: bool = False
    linger: bool = False  # the connection is closed in order, not by a reset
    ssl: bool = False
    sni: str | None = None
    alpn: str | None = None  # as written: protocols and commas
    port_value: Value | None = None  # instead of a port; no number, or 0, says nothing


class SendStep(msgspec.Struct, frozen=True, tag=True):
    """`tcp-check send` and `send-binary`; with `form` what it says, if `binary` as hex digits."""

    number: int
    data: bytes
    comment: str = ""
    form: Format = ()
    binary: bool = False


class SetStep(msgspec.Struct, frozen=True, tag=True):
    """`set-var`, `set-var-fmt` and `unset-var`: a value, what a format says, or neither."""

    number: int
    variable: str  # its name with the scope
    place: int = -1  # its number; -1: it has none, because nothing outlives the scope
    value: Value | None = None
    form: Format | None = None
    when: int = 0  # conditions of `set-var`: bits of a Rule


class ExpectStep(msgspec.Struct, frozen=True, tag=True):
    """`tcp-check expect`; the numbers of CheckStatus, and None for the usual ones."""

    number: int
    match: Match
    pattern: bytes
    comment: str = ""
    negated: bool = False
    bytes_min: int | None = None  # `min-recv`: from so many on, what is there is judged
    ok_status: int = CheckStatus.L7OK
    error_status: int = CheckStatus.L7RSP
    timeout_status: int = CheckStatus.L7TOUT
    on_success: FormatText = ""
    on_error: FormatText = ""
    form: Format = ()  # of string-lf and binary-lf
    status_code: Value | None = None


Step = ConnectStep | SendStep | SetStep | ExpectStep


class HttpRequest(msgspec.Struct, frozen=True):
    """A request as `option httpchk` or `http-check send` has it; None: not said there.

    `headers` are pairs of name and value.
    """

    method: str | None = None
    uri: FormatText | None = None
    version: str | None = None
    headers: tuple[tuple[str, FormatText], ...] = ()
    body: FormatText = ""

    def or_else(self, other: HttpRequest) -> HttpRequest:
        """This request, and from the other one what it does not say."""
        return HttpRequest(
            self.method or other.method,
            self.uri or other.uri,
            self.version or other.version,
            self.headers or other.headers,
            self.body or other.body,
        )


class HttpSendStep(msgspec.Struct, frozen=True, tag=True):
    """`http-check send`."""

    number: int
    request: HttpRequest
    comment: str = ""


class TextMatch(msgspec.Struct, frozen=True):
    """A pattern of `http-check expect hdr`: `method` is str, beg, end, sub or reg.

    One of `name-lf` or `value-lf` is always a Format.
    """

    pattern: FormatText
    method: str = "str"


class HttpExpectStep(ExpectStep, frozen=True, tag=True):
    """`http-check expect`; `ranges` of status codes, both ends included, where it looks at them."""

    ranges: tuple[tuple[int, int], ...] = ()
    name: TextMatch | None = None  # of a header
    value: TextMatch | None = None  # None: that the header is there is enough


HttpStep = ConnectStep | HttpSendStep | SetStep | HttpExpectStep
GOOD_STATUS = HttpExpectStep(
    0, Match.STATUS, b"200-399", error_status=CheckStatus.L7STS, ranges=((200, 399),)
)
_REGEX = (Match.REGEX, Match.BINARY_REGEX, Match.STATUS_REGEX)


def _names_ports(steps: tuple[Step, ...] | tuple[HttpStep, ...]) -> bool:
    connects = [step for step in steps if isinstance(step, ConnectStep)]
    return bool(connects) and all(
        step.port or step.address_port or step.port_value is not None for step in connects
    )


def first_acting(steps: Sequence[Step | HttpStep]) -> int:
    """Where the first step is that does not only set variables; the length without one."""
    acting = (at for at, step in enumerate(steps) if not isinstance(step, SetStep))
    return next(acting, len(steps))


def tls_protocols(rules: CheckRules | None) -> tuple[str, ...] | None:
    """ALPN of the rules that connect by TLS, as written; None where none of them does."""
    steps = rules.steps if isinstance(rules, TcpCheck | HttpCheck) else ()
    connects = [step for step in steps if isinstance(step, ConnectStep)]
    if not any(step.ssl for step in connects):
        return None
    return tuple(dict.fromkeys(step.alpn for step in connects if step.alpn))


class TcpCheck(msgspec.Struct, frozen=True, tag=True):
    """`option tcp-check` with rules; without any, a check only connects.

    The first step that does not only set variables connects if any does.
    """

    steps: tuple[Step, ...]
    variables: int = 0  # how many have a number

    @property
    def names_ports(self) -> bool:
        """Whether each connection has a port of its own, so that servers need none."""
        return _names_ports(self.steps)

    @property
    def has_patterns(self) -> bool:
        """Whether a step looks for a regular expression."""
        return any(isinstance(step, ExpectStep) and step.match in _REGEX for step in self.steps)


class HttpCheck(msgspec.Struct, frozen=True, tag=True):
    """`option httpchk`: `request` is what its line says; `joined` makes the steps of it."""

    request: HttpRequest
    steps: tuple[HttpStep, ...] = ()
    disable_on_404: bool = False
    send_state: bool = False  # each request says how the server stands
    variables: int = 0

    @property
    def names_ports(self) -> bool:
        """Whether each connection has a port of its own, so that servers need none."""
        return _names_ports(self.steps)

    @property
    def has_patterns(self) -> bool:
        """Whether a step looks for a regular expression."""
        return any(isinstance(step, HttpExpectStep) and _is_regex(step) for step in self.steps)

    def joined(
        self, rules: Sequence[HttpStep], *, disable_on_404: bool = False, send_state: bool = False
    ) -> HttpCheck:
        """With the rules of `http-check`.

        The first request takes from the option what it does not say itself, and is wholly the
        option's where no rule sends before the first expectation. Behind the last request a good
        status is expected where the rules expect nothing.
        """
        steps = list(rules)
        at = first_acting(steps)
        at += at < len(steps) and isinstance(steps[at], ConnectStep)
        at += first_acting(steps[at:])
        first = steps[at] if at < len(steps) else None
        if isinstance(first, HttpSendStep):
            request = first.request.or_else(self.request)
            steps[at] = msgspec.structs.replace(first, request=request)
        else:
            steps.insert(at, HttpSendStep(0, self.request))
        acting = [step for step in steps if not isinstance(step, SetStep)]
        if not isinstance(acting[-1], HttpExpectStep):
            steps.append(GOOD_STATUS)
        return HttpCheck(self.request, tuple(steps), disable_on_404, send_state)


def _is_regex(step: HttpExpectStep) -> bool:
    texts = [text for text in (step.name, step.value) if text is not None]
    return step.match in _REGEX or any(text.method == "reg" for text in texts)


class FixedCheck(msgspec.Struct, frozen=True):
    """A check whose steps no rule says: on the server's port, without patterns."""

    names_ports: ClassVar[bool] = False
    has_patterns: ClassVar[bool] = False


class RedisCheck(FixedCheck, frozen=True, tag=True):
    """`option redis-check`."""


class SmtpCheck(FixedCheck, frozen=True, tag=True):
    """`option smtpchk`."""

    hello: str = "HELO"
    domain: str = "localhost"


class MysqlLogin(enum.StrEnum):
    """How `option mysql-check` logs in: as clients before MySQL 4.1, since, or since 8.0 do.

    Settings that were sent as bytes have plain strings: compare with ==, not with `is`.
    """

    BEFORE_41 = "pre-41"
    SINCE_41 = "post-41"
    SINCE_80 = "post-80"  # names its authentication plugin (HAProxy 3.3)


class MysqlCheck(FixedCheck, frozen=True, tag=True):
    """`option mysql-check`; without a user there is no login."""

    user: str | None = None
    login: str = MysqlLogin.SINCE_41


class PgsqlCheck(FixedCheck, frozen=True, tag=True):
    """`option pgsql-check`."""

    user: str


class LdapCheck(FixedCheck, frozen=True, tag=True):
    """`option ldap-check`."""


class SslHelloCheck(FixedCheck, frozen=True, tag=True):
    """`option ssl-hello-chk`."""


class ExternalCheck(FixedCheck, frozen=True, tag=True):
    """`option external-check`; the words of `external-check` may stand without the option.

    `command` is searched for in the folders of `path` (`:` between them) unless it has a slash.
    """

    command: str = ""
    path: str = ""


class ProgramRights(msgspec.Struct, frozen=True):
    """What the programs of external checks may do, and have, by the global section.

    `environment` has the variables of the program's own, as they are behind the last line.
    """

    allowed: bool = False  # `external-check`
    keep_environment: bool = False  # `external-check preserve-env`
    fork: bool = False  # `insecure-fork-wanted`
    gain: bool = False  # `insecure-setuid-wanted`: rights of the owner of a file
    environment: tuple[tuple[bytes, bytes], ...] = ()


NamedCheck = RedisCheck | SmtpCheck | MysqlCheck | PgsqlCheck | LdapCheck | SslHelloCheck
CheckRules = TcpCheck | HttpCheck | NamedCheck | ExternalCheck
OPTION_NAMES: dict[type[CheckRules], str] = {
    TcpCheck: "tcp-check",
    HttpCheck: "httpchk",
    RedisCheck: "redis-check",
    SmtpCheck: "smtpchk",
    MysqlCheck: "mysql-check",
    PgsqlCheck: "pgsql-check",
    LdapCheck: "ldap-check",
    SslHelloCheck: "ssl-hello-chk",
    ExternalCheck: "external-check",
}
