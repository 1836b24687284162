"""Section headers, and the table of words for the lines below each.

Owns the sections read so far. A section that Millrace cannot honour is reported once, at its
header, and its lines are skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from proxy.config.drafts import GlobalDraft, ProxyDraft, ProxyKind, ResolversDraft, inherit
from proxy.config.http_drafts import UserListDraft
from proxy.config.lines.process.mailers import MAILERS_WORDS
from proxy.config.lines.process.others import PREFIXES
from proxy.config.lines.process.peers import PEERS_WORDS, PeersDraft
from proxy.config.lines.process.resolvers import RESOLVERS_WORDS
from proxy.config.lines.process.user_list import USER_LIST_WORDS
from proxy.config.lines.process.words import GLOBAL_WORDS
from proxy.config.lines.proxy.email_alert import INSTEAD
from proxy.config.lines.proxy.words import PROXY_WORDS, act_on_proxy_line
from proxy.config.lines.rules.condition import BEGINNINGS
from proxy.config.lines.table import Prefix, Statement, act
from proxy.config.model.settings import Origin
from proxy.config.text.addresses import unset_names, what_is_left
from proxy.config.text.context import Context
from proxy.config.text.messages import ConfigError
from proxy.config.text.names import check_label
from proxy.config.text.sources import SourceLine
from proxy.config.text.suggest import NameIndex, hint

LineHandler = Callable[[Statement], None]

PROXY_KINDS = {kind.value: kind for kind in ProxyKind}
_UNSUPPORTED_SECTIONS = {
    "cache": "it needs mode http",
    "program": "start it as a service of its own",
    "ring": "send logs to a syslog address",
    "log-forward": "use a syslog daemon",
    "log-profile": "the log format is fixed",
    "fcgi-app": "it needs mode http",
    "acme": "Millrace forwards TLS without opening it",
}
_IGNORED_SECTIONS = {
    "http-errors": "errors of HTTP are made by the servers",
    "crt-store": "Millrace forwards TLS without opening it",
    "traces": "there is nothing to trace so",
}
SECTIONS = (
    "global",
    "resolvers",
    "userlist",
    "mailers",
    "peers",
    *PROXY_KINDS,
    *_UNSUPPORTED_SECTIONS,
    *_IGNORED_SECTIONS,
)


_ADDRESSES = {  # which word of a line is one
    **dict.fromkeys(("bind", "log", "source"), 1),
    **dict.fromkeys(("mailer", "nameserver", "peer", "server", "stats"), 2),
    "server-template": 3,
}


class Sections:
    """All sections read so far, and the open one, to which the next line belongs."""

    def __init__(self, context: Context) -> None:
        self.globals = GlobalDraft()
        self.resolvers: list[ResolversDraft] = []
        self._resolvers_by_name: dict[str, ResolversDraft] = {}
        self.proxies: list[ProxyDraft] = []
        self.user_lists: dict[str, UserListDraft] = {}
        self.mailers: dict[str, Origin] = {}
        self.peers: dict[str, PeersDraft] = {}
        self._context = context
        self._defaults: dict[str, ProxyDraft] = {}
        self._defaults_names = NameIndex()
        self._ambiguous: set[str] = set()  # names that several defaults sections have
        self._last_defaults = ProxyDraft("", ProxyKind.DEFAULTS, Origin())
        self._heirs: dict[Origin, ProxyKind] = {}  # the first kind of section of a `defaults`
        self._handle: LineHandler | None = None

    def leave(self) -> None:
        """Close the section at the end of a file: the next one's first line must open another."""
        self._handle = None

    def read(self, line: SourceLine) -> None:
        """Act on one line; its errors are added to the messages."""
        try:
            words = tuple(map(_as_text, line.words))
            self._warn_of_unset(line)
            statement = Statement(line.origin, words, self._context)
            if line.words[0] in SECTIONS:
                self._context.environment[".SECTION"] = line.words[0]
                self._handle = _skip  # the lines below a header that fails
                self._handle = self._open(statement)
            elif self._handle is None:
                raise ConfigError(f"unknown keyword '{line.words[0]}' out of section")
            else:
                self._handle(_unprefixed(statement))
        except ConfigError as error:
            self._context.messages.alert(str(error), line.origin)

    def _warn_of_unset(self, line: SourceLine) -> None:
        """Name variables that an address lacks: what is left may be another address, as `:80`."""
        at = _ADDRESSES.get(line.words[0])
        if at is None or len(line.words) <= at:
            return
        text, environment = line.words[at], self._context.environment
        names = [name for index, name in line.unset if index == at]
        names += unset_names(text, environment)
        left = what_is_left(text, environment)
        if names and left:
            named = " and ".join(f"'{name}'" for name in dict.fromkeys(names))
            self._context.messages.warning(
                f"environment variable {named} is not set: of the address is left '{left}'",
                line.origin,
            )

    def _open(self, statement: Statement) -> LineHandler:
        keyword = statement.keyword
        if keyword == "global":
            statement.at_most(0)
            return self._global_line
        openers = {
            "resolvers": self._open_resolvers,
            "userlist": self._open_user_list,
            "mailers": self._open_mailers,
            "peers": self._open_peers,
        }
        if keyword in openers:
            return openers[keyword](statement)
        if keyword in PROXY_KINDS:
            return self._open_proxy(statement, PROXY_KINDS[keyword])
        if keyword in _IGNORED_SECTIONS:
            statement.notice(
                f"section '{keyword}' has no effect here: {_IGNORED_SECTIONS[keyword]}"
            )
            return _skip
        raise ConfigError(f"section '{keyword}' is not supported: {_UNSUPPORTED_SECTIONS[keyword]}")

    def _global_line(self, statement: Statement) -> None:
        keyword = statement.keyword
        if keyword == "localpeer" and self.peers:
            statement.warn("'localpeer' ignored since it is used after 'peers' section.")
            return
        for prefix in PREFIXES:
            if keyword.startswith(prefix) and keyword not in GLOBAL_WORDS:
                act(statement, self.globals, PREFIXES, f"'{keyword}'", prefix)
                return
        _check_known(keyword, "global", GLOBAL_WORDS)
        act(statement, self.globals, GLOBAL_WORDS, f"'{keyword}'", keyword)

    def _open_resolvers(self, statement: Statement) -> LineHandler:
        name = check_label(statement.one("a name"), "resolvers")
        known = self._resolvers_by_name.get(name)
        if known is not None:
            raise ConfigError(
                f"resolvers '{name}' has same name as another resolvers "
                f"(declared at {known.origin.file}:{known.origin.line})"
            )
        draft = ResolversDraft(name, statement.origin)
        self._resolvers_by_name[name] = draft
        self.resolvers.append(draft)

        def handle(inner: Statement) -> None:
            _check_known(inner.keyword, "resolvers", RESOLVERS_WORDS)
            act(inner, draft, RESOLVERS_WORDS, f"'{inner.keyword}'", inner.keyword)

        return handle

    def _open_user_list(self, statement: Statement) -> LineHandler:
        name = check_label(statement.one("a name"), "userlist")
        if name in self.user_lists:
            statement.warn(f"ignoring duplicated userlist '{name}'.")
            return _skip
        draft = self.user_lists[name] = UserListDraft(name, statement.origin)

        def handle(inner: Statement) -> None:
            _check_known(inner.keyword, "userlist", USER_LIST_WORDS)
            act(inner, draft, USER_LIST_WORDS, f"'{inner.keyword}'", inner.keyword)

        return handle

    def _open_mailers(self, statement: Statement) -> LineHandler:
        if not statement.arguments or not statement.arguments[0]:
            raise ConfigError("missing name for mailers section.")
        name = check_label(statement.pass_over(1, "'mailers'").words[1], "mailers")
        known = self.mailers.get(name)
        if known is not None:
            raise ConfigError(
                f"mailers section '{name}' has the same name as another mailers section declared "
                f"at {known.file}:{known.line}."
            )
        self.mailers[name] = statement.origin
        statement.notice(f"section 'mailers' has no effect here: {INSTEAD}")

        def handle(inner: Statement) -> None:
            _check_known(inner.keyword, "mailers", MAILERS_WORDS)
            act(inner, statement.origin, MAILERS_WORDS, f"'{inner.keyword}'", inner.keyword)

        return handle

    def _open_peers(self, statement: Statement) -> LineHandler:
        if not statement.arguments or not statement.arguments[0]:
            raise ConfigError("missing name for peers section.")
        name = check_label(statement.one("a name"), "peers")
        known = self.peers.get(name)
        if known is not None:
            raise ConfigError(
                f"peers section '{name}' has the same name as another peers section declared at "
                f"{known.origin.file}:{known.origin.line}."
            )
        draft = self.peers[name] = PeersDraft(name, statement.origin)

        def handle(inner: Statement) -> None:
            _check_known(inner.keyword, "peers", PEERS_WORDS)
            act(inner, draft, PEERS_WORDS, f"'{inner.keyword}'", inner.keyword)

        return handle

    def _open_proxy(self, statement: Statement, kind: ProxyKind) -> LineHandler:
        words = list(statement.arguments)
        parent = self._last_defaults
        if "from" in words[:2]:
            position = words.index("from")
            parent = self._find_defaults(words[position + 1 : position + 2])
            del words[position : position + 2]
        elif kind is ProxyKind.DEFAULTS:
            parent = ProxyDraft("", ProxyKind.DEFAULTS, Origin())
        if len(words) > 1:
            raise ConfigError(
                f"'{kind.value}' cannot handle unexpected argument '{words[1]}'"
                + (": write addresses on 'bind' lines" if kind.accepts else "")
            )
        name = words[0] if words else ""
        if name or kind is not ProxyKind.DEFAULTS:
            check_label(name, kind.value)
        if parent.rules.lines:
            self._check_heir(parent, kind)
        draft = inherit(parent, name, kind, statement.origin)
        self._keep(draft)

        def handle(inner: Statement) -> None:
            _check_known(inner.keyword, kind.value, PROXY_WORDS)
            if "if" in inner.words or "unless" in inner.words:
                draft.http.named.update(_in_condition(inner.words))
            act_on_proxy_line(inner, draft)

        return handle

    def _check_heir(self, parent: ProxyDraft, kind: ProxyKind) -> None:
        """Rules of a `defaults` section are for frontends or for backends, as in HAProxy."""
        if kind is ProxyKind.LISTEN:
            raise ConfigError(
                "a listen section cannot inherit from a defaults section defining TCP/HTTP rules."
            )
        first = self._heirs.setdefault(parent.origin, kind)
        if ProxyKind.DEFAULTS not in (kind, first) and kind is not first:
            raise ConfigError(
                "frontends and backends cannot inherit from the same defaults section if it "
                f"defines TCP/HTTP rules (defaults section at {parent.origin.file}:"
                f"{parent.origin.line})."
            )

    def _keep(self, draft: ProxyDraft) -> None:
        if draft.kind is not ProxyKind.DEFAULTS:
            self.proxies.append(draft)
            return
        self._last_defaults = draft
        if draft.name:
            self._ambiguous |= {draft.name} & self._defaults.keys()
            self._defaults[draft.name] = draft
            self._defaults_names.add(draft.name)

    def named_defaults(self) -> Iterator[tuple[str, ProxyDraft]]:
        """The `defaults` sections that `from` finds."""
        for name, draft in self._defaults.items():
            if name not in self._ambiguous:
                yield name, draft

    def _find_defaults(self, names: list[str]) -> ProxyDraft:
        if not names:
            raise ConfigError("'from' expects the name of a defaults section")
        if names[0] not in self._defaults:
            suggestion = self._defaults_names.hint(names[0])
            raise ConfigError(f"unknown defaults section '{names[0]}'{suggestion}")
        if names[0] in self._ambiguous:
            raise ConfigError(f"several defaults sections are named '{names[0]}'")
        return self._defaults[names[0]]


def _as_text(word: str) -> str:
    """The word as text; ConfigError unless it is UTF-8, in which settings are passed on."""
    if word.isascii():
        return word
    try:
        return word.encode(errors="surrogateescape").decode()
    except UnicodeDecodeError:
        raise ConfigError(f"word '{word}' is not UTF-8") from None


def _skip(_statement: Statement) -> None:
    """Skip a line of a section that is not supported."""


HOMES: dict[str, Mapping[str, object]] = {  # where a word is known that stands elsewhere
    "a 'global' section": GLOBAL_WORDS,
    "a 'resolvers' section": RESOLVERS_WORDS,
    "a 'defaults', 'frontend', 'backend' or 'listen' section": PROXY_WORDS,
}


def _check_known(keyword: str, section: str, table: Mapping[str, object]) -> None:
    if keyword not in table:
        home = next((name for name, words in HOMES.items() if keyword in words), None)
        near = hint(keyword, (*table, *SECTIONS))
        suggestion = near if home is None else f"; it belongs in {home}"
        raise ConfigError(f"unknown keyword '{keyword}' in '{section}' section{suggestion}")


def _in_condition(words: tuple[str, ...]) -> Iterator[str]:
    """The words that may name a list, behind `if` or `unless`."""
    start = next((at for at, word in enumerate(words) if word in BEGINNINGS), len(words))
    return (word.lstrip("!") for word in words[start + 1 :])


def _unprefixed(statement: Statement) -> Statement:
    """`no option x` and `default option x` become `option x` with a prefix."""
    if statement.keyword not in (Prefix.NO.value, Prefix.DEFAULT.value):
        return statement
    if not statement.arguments:
        raise ConfigError(f"'{statement.keyword}' expects the word that it is about")
    prefix = Prefix(statement.keyword)
    if prefix is Prefix.DEFAULT and statement.words[1] != "option":
        raise ConfigError(f"'default' cannot stand before '{statement.words[1]}'")
    return Statement(statement.origin, statement.arguments, statement.context, prefix)
