"""The words of the `global` section with an effect (manual section 3).

Owns the handler of each; others.py lists the words without effect. Log lines and stats sockets have
files of their own.
"""

from __future__ import annotations

import re

from msgspec.structs import replace

from proxy.config.drafts import GlobalDraft
from proxy.config.lines.handlers import flag, number, text, time
from proxy.config.lines.log import global_log, log_send_hostname
from proxy.config.lines.process.environment import ENVIRONMENT_WORDS
from proxy.config.lines.process.others import GLOBAL_OTHERS
from proxy.config.lines.process.peers import GLOBAL_PEER_WORDS
from proxy.config.lines.process.shared_variables import SHARED_VARIABLE_WORDS
from proxy.config.lines.process.stats import stats
from proxy.config.lines.process.tls import TLS_WORDS
from proxy.config.lines.process.unix_bind import unix_bind
from proxy.config.lines.shapes import ALONE, AT_MOST_ONE, one_of
from proxy.config.lines.state_files import global_path
from proxy.config.lines.table import Statement, Table, without_effect, works
from proxy.config.model.settings import SPARE_BACKENDS_MAX
from proxy.config.text.context import find_group, find_user
from proxy.config.text.messages import ConfigError
from resolverd.config import Family
from shm.shape import SLOTS_MAX, WORKERS_MAX

MAXCONN_MAX = 2_147_483_647
DESCRIPTORS_MAX = 2_147_483_647
ID_MAX = 4_294_967_294  # uid_t and gid_t without the value that means "none"
SPREAD_CHECKS_MAX = 50  # percent

_FAMILIES = {"ipv4": Family.IPV4, "ipv6": Family.IPV6}
_DEFAULT_PATHS = ("current", "config", "parent", "origin")


def _user(statement: Statement, draft: GlobalDraft) -> None:
    _identity(statement, draft, "uid", find_user(statement.one("a user name")))


def _group(statement: Statement, draft: GlobalDraft) -> None:
    _identity(statement, draft, "gid", find_group(statement.one("a group name")))


def _uid(statement: Statement, draft: GlobalDraft) -> None:
    _identity(statement, draft, "uid", statement.number(0, ID_MAX, "a user id"))


def _gid(statement: Statement, draft: GlobalDraft) -> None:
    _identity(statement, draft, "gid", statement.number(0, ID_MAX, "a group id"))


def _identity(statement: Statement, draft: GlobalDraft, field: str, value: int) -> None:
    """Store a user or group; like HAProxy, the first one given counts."""
    if getattr(draft, field) is None:
        setattr(draft, field, value)
    else:
        statement.notice(f"'{statement.keyword}' is ignored: it was given before")


def _node(statement: Statement, draft: GlobalDraft) -> None:
    name = statement.one("a name")
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        raise ConfigError("'node' expects a name of letters, digits, '.', '-' and '_'")
    draft.node = name


def _product_name(statement: Statement, draft: GlobalDraft) -> None:
    name = statement.one("a name")
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        raise ConfigError("'product-name' expects a name of letters, digits, '.', '-' and '_'")
    draft.product_name = name


def _description(statement: Statement, draft: GlobalDraft) -> None:
    text = " ".join(statement.arguments)
    if not text:
        raise ConfigError("'description' expects a text")
    draft.description = text


def _master_worker(statement: Statement, draft: GlobalDraft) -> None:
    if statement.arguments not in ((), ("no-exit-on-failure",)):
        raise ConfigError("'master-worker' knows only 'no-exit-on-failure'")
    draft.master_worker = True


def _spread_checks(statement: Statement, draft: GlobalDraft) -> None:
    draft.spread_checks_percent = abs(statement.number(-SPREAD_CHECKS_MAX, SPREAD_CHECKS_MAX))


def _accept_family(statement: Statement, draft: GlobalDraft) -> None:
    words = statement.one("ipv4, ipv6 or auto").split(",")
    if words == ["auto"]:
        draft.accept_families = None
        return
    unknown = [word for word in words if word not in _FAMILIES]
    if unknown:
        raise ConfigError(f"'dns-accept-family' knows ipv4, ipv6 and auto, not '{unknown[0]}'")
    draft.accept_families = tuple(sorted({_FAMILIES[word] for word in words}))


def _default_path(statement: Statement, _draft: GlobalDraft) -> None:
    """`default-path`: where the relative names of files with certificates start from."""
    mode = statement.words[1] if statement.arguments else ""
    if mode not in _DEFAULT_PATHS:
        raise ConfigError(f"'default-path' expects one of {', '.join(_DEFAULT_PATHS)}")
    if mode == "origin" and len(statement.arguments) < 2:
        raise ConfigError("'default-path origin' expects a folder")
    count = 2 if mode == "origin" else 1
    statement.pass_over(count, "'default-path'")
    path = " ".join(statement.arguments[:count])
    statement.context.default_path = "" if mode == "current" else path


def _external_check(statement: Statement, draft: GlobalDraft) -> None:
    """`external-check [preserve-env]`; programs have no environment but their own without it."""
    keep = bool(statement.arguments)
    draft.programs = replace(draft.programs, allowed=True, keep_environment=keep)


RELOADS_MAX = 2**31 - 1  # of `mworker-max-reloads`: an int, as in HAProxy


GLOBAL_WORDS: Table[GlobalDraft] = {
    **GLOBAL_OTHERS,
    **ENVIRONMENT_WORDS,
    **SHARED_VARIABLE_WORDS,
    **GLOBAL_PEER_WORDS,
    **TLS_WORDS,
    "daemon": works(flag("daemon")),
    "user": works(_user),
    "group": works(_group),
    "uid": works(_uid),
    "gid": works(_gid),
    "chroot": works(text("chroot", "a folder")),
    "pidfile": works(text("pidfile", "a file")),
    "maxconn": works(number("maxconn", 0, MAXCONN_MAX)),
    "maxconnrate": works(number("connection_rate", 0, MAXCONN_MAX)),
    "maxsessrate": works(number("session_rate", 0, MAXCONN_MAX)),
    "nbthread": works(number("nbthread", 1, WORKERS_MAX)),
    "log": works(global_log, negatable=True),
    "log-send-hostname": works(log_send_hostname, shape=AT_MOST_ONE),
    "log-tag": works(text("log_tag", "a tag")),
    "stats": works(stats),
    "hard-stop-after": works(time("hard_stop_after_ms"), shape=AT_MOST_ONE),
    "grace": works(time("grace_ms"), shape=AT_MOST_ONE),
    "mworker-max-reloads": works(number("reloads_max", 0, RELOADS_MAX)),
    "master-worker": works(_master_worker),
    "description": works(_description),
    "node": works(_node),
    "product-name": works(_product_name),
    "dns-accept-family": works(_accept_family),
    "default-path": works(_default_path),
    "spread-checks": works(_spread_checks),
    "max-spread-checks": works(time("max_spread_checks_ms")),
    "pp2-never-send-local": works(flag("checks_never_local")),
    "ulimit-n": works(number("ulimit_n", 1, DESCRIPTORS_MAX)),
    "spare-backends": works(number("spare_backends", 0, SPARE_BACKENDS_MAX)),
    "spare-servers": works(number("spare_servers", 0, SLOTS_MAX)),
    "maxpipes": works(number("pipes_max", 0, DESCRIPTORS_MAX)),
    "fd-hard-limit": works(number("fd_hard_limit", 1, DESCRIPTORS_MAX)),
    "zero-warning": works(flag("zero_warning")),
    "strict-limits": works(flag("strict_limits"), negatable=True),
    "quiet": works(flag("quiet")),
    "server-state-file": works(global_path("server_state_file", "a file"), shape=AT_MOST_ONE),
    "server-state-base": works(global_path("server_state_base", "a folder"), shape=AT_MOST_ONE),
    "unix-bind": works(unix_bind),
    "external-check": works(_external_check, shape=one_of("preserve-env", least=0)),
    "insecure-fork-wanted": works(flag("programs.fork"), negatable=True),
    "insecure-setuid-wanted": works(flag("programs.gain")),
    "nosplice": works(flag("splice", False)),
    "busy-polling": without_effect(
        "workers sleep in epoll when there is nothing to do", shape=ALONE, negatable=True
    ),
}
