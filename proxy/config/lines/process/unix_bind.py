"""`unix-bind` of the global section: the defaults for Unix sockets of later lines (manual 3.1).

Owns its options. A line holds for the lines after it, as in HAProxy; the options of a `bind` or
`stats socket` line take precedence.
"""

from __future__ import annotations

from msgspec.structs import replace

from proxy.config.drafts import GlobalDraft
from proxy.config.lines.proxy.bind import OWNER_MAX, parse_mode
from proxy.config.lines.table import Statement
from proxy.config.text.context import UnixBind, find_group, find_user
from proxy.config.text.messages import ConfigError

_OPTIONS = ("prefix", "mode", "uid", "gid", "user", "group")


def unix_bind(statement: Statement, _draft: GlobalDraft) -> None:
    """`unix-bind [prefix <path>] [mode <mode>] [user <name>] [uid <id>] [group ...] [gid ...]`."""
    found = statement.context.unix_bind
    rest = statement.skip(1)
    while rest.words:
        piece = Statement(statement.origin, rest.words[:2], statement.context)
        if rest.keyword not in _OPTIONS:
            raise ConfigError(f"'unix-bind' only supports the options {', '.join(_OPTIONS)}")
        try:
            found = _with(found, piece)
        except ConfigError as error:
            raise ConfigError(f"'unix-bind' : {error}") from error
        rest = rest.skip(2)
    statement.context.unix_bind = found


def _with(found: UnixBind, piece: Statement) -> UnixBind:
    keyword = piece.keyword
    if keyword == "prefix":
        return replace(found, prefix=piece.one("a path"))
    if keyword == "mode":
        return replace(found, mode=parse_mode(piece))
    if keyword == "user":
        return replace(found, user=find_user(piece.one("a user name")))
    if keyword == "group":
        return replace(found, group=find_group(piece.one("a group name")))
    number = piece.number(0, OWNER_MAX)
    return replace(found, user=number) if keyword == "uid" else replace(found, group=number)
