"""What a section in mode http answers: statistics, metrics, its health, and rules for requests.

The section itself answers every request: nothing of mode http is forwarded.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from itertools import chain

import msgspec

from proxy.config.model.rules import Condition, Format, FormatText
from proxy.config.model.sockets import Origin

REALM_DEFAULT = "HAProxy Statistics"


class User(msgspec.Struct, frozen=True):
    """A name with its password, as written or as crypt(3) made it; without one it never enters."""

    name: str
    password: str | None = None
    encrypted: bool = False
    groups: tuple[str, ...] = ()


class AuthQuestion(msgspec.Struct, frozen=True):
    """Whether a request has the name and password of one of these users."""

    users: tuple[User, ...]


class WrittenReply(msgspec.Struct, frozen=True):
    """A response that the configuration gives in whole; with `form` that is the body.

    The type of such a body is the last header: it is left out where the format says nothing.
    """

    status: int
    reason: str
    headers: tuple[tuple[str, FormatText], ...]
    body: bytes
    form: Format = ()


class RedirectKind(enum.Enum):
    """What of the request is in the address that a redirect leads to."""

    LOCATION = "location"  # nothing
    PREFIX = "prefix"  # path and query
    SCHEME = "scheme"  # host, path and query


class Redirect(msgspec.Struct, frozen=True):
    """One `redirect` rule."""

    kind: RedirectKind
    value: FormatText
    status: int = 302
    drop_query: bool = False
    append_slash: bool = False
    ignore_empty: bool = False  # a location that says nothing leads on to the next rule
    cookie: str | None = None  # the value of Set-Cookie


class Action(enum.Enum):
    """What a rule of `http-request` or `stats http-request` does with a request."""

    ALLOW = "allow"
    DENY = "deny"
    RETURN = "return"
    AUTH = "auth"
    METRICS = "use-service"
    REDIRECT = "redirect"


class RequestRule(msgspec.Struct, frozen=True):
    """One rule; the first whose condition holds is the last one looked at."""

    action: Action
    condition: Condition | None = None  # None: always
    status: int = 0  # of `deny`
    reply: WrittenReply | None = None  # of `return`; None: the section's own for `status`
    realm: str = REALM_DEFAULT
    redirect: Redirect | None = None
    text: str = ""  # its line, word by word
    origin: Origin = Origin()


class Denied(enum.Enum):
    """How a client that rules of connections keep out is counted: the name of the counter."""

    CONNECTION = "denied_connections"
    SESSION = "denied_sessions"
    REQUEST = "denied_requests"


class AdmissionRule(msgspec.Struct, frozen=True):
    """One rule of connections; the first whose condition holds is the last one of its stage."""

    rejects: bool
    condition: Condition | None = None  # None: always


class AdmissionStage(msgspec.Struct, frozen=True):
    """The rules that are looked at together."""

    denied: Denied
    rules: tuple[AdmissionRule, ...]


class StatsPage(msgspec.Struct, frozen=True):
    """The `stats` lines of a section."""

    uri: str
    show_legends: bool = False  # addresses
    hide_version: bool = False
    refresh_seconds: int | None = None  # None: in the page's own time; 0: never
    node: str | None = None
    description: str | None = None
    scope: frozenset[str] = frozenset()  # names of the sections that are shown; empty: all
    rules: tuple[RequestRule, ...] = ()
    admin: Condition | None = None  # who may give orders on it; None: nobody


class HttpSection(msgspec.Struct, frozen=True):
    """All that a section answers. Metrics are served by a rule."""

    page: StatsPage | None = None
    admission: tuple[AdmissionStage, ...] = ()
    monitor_uri: str | None = None
    monitor_fail: tuple[Condition, ...] = ()  # 503 instead of 200 if one holds
    rulesets: tuple[tuple[RequestRule, ...], ...] = ()  # each has a last rule of its own
    redirects: tuple[RequestRule, ...] = ()  # `redirect` lines: behind the page
    users: AuthQuestion | None = None  # `stats auth`: asked for on each path of page and metrics
    realm: str = REALM_DEFAULT
    questions: tuple[AuthQuestion, ...] = ()  # that conditions ask, by the number of their term
    replies: dict[int, WrittenReply] = {}  # `errorfile`: by the code of its line
    metrics_path: str | None = None  # one that serves metrics, for people

    @property
    def rules(self) -> tuple[RequestRule, ...]:
        """The rules of all its lines."""
        of_page = self.page.rules if self.page else ()
        return (*chain(*self.rulesets), *self.redirects, *of_page)


def formats_of(section: HttpSection) -> Iterator[Format]:
    """The formats in what rules answer."""
    for rule in section.rules:
        texts: list[FormatText] = [rule.redirect.value] if rule.redirect is not None else []
        if rule.reply is not None:
            texts += [rule.reply.form, *(value for _, value in rule.reply.headers)]
        yield from (text for text in texts if isinstance(text, tuple) and text)
