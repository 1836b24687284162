"""The options that say how servers are checked (manual section 4.2); the last of a section holds.

Owns their arguments. What each sends and expects is known where checks are made.
"""

from __future__ import annotations

from proxy.config.drafts import ProxyDraft
from proxy.config.lines.handlers import store
from proxy.config.lines.proxy.http_check import httpchk
from proxy.config.lines.shapes import ALONE, ArgumentShape
from proxy.config.lines.table import Handler, Statement, Table, Word, works
from proxy.config.model.checks import (
    CheckRules,
    ExternalCheck,
    LdapCheck,
    MysqlCheck,
    MysqlLogin,
    PgsqlCheck,
    RedisCheck,
    SmtpCheck,
    SslHelloCheck,
    TcpCheck,
)
from proxy.config.text.messages import ConfigError

HELLOS = ("HELO", "EHLO")


def _checks(rules: CheckRules) -> Handler[ProxyDraft]:
    """A handler for an option without arguments."""

    def handle(_statement: Statement, draft: ProxyDraft) -> None:
        draft.check_option = rules

    return handle


def _smtp(statement: Statement, draft: ProxyDraft) -> None:
    """`option smtpchk [<hello> <domain>]`: HAProxy says the usual one where these are not right."""
    hello, domain = (*statement.arguments, "", "")[:2]
    if hello in HELLOS and domain:
        draft.check_option = SmtpCheck(hello, domain)
        return
    usual = draft.check_option = SmtpCheck()
    if hello:
        words = " ".join(statement.arguments)
        statement.warn(
            f"'option smtpchk' expects 'HELO' or 'EHLO' and a name: '{words}' is ignored "
            f"for '{usual.hello} {usual.domain}'"
        )


def _mysql(statement: Statement, draft: ProxyDraft) -> None:
    """`option mysql-check [user <name> [post-41|pre-41|post-80]]`; ConfigError."""
    word, user, version = (*statement.arguments, "", "", "")[:3]
    if not word:
        statement.warn(
            "'option mysql-check' without 'user' logs in nowhere: MySQL counts each check as a "
            "connection error, and blocks this host after 'max_connect_errors'; write 'user <name>'"
        )
        draft.check_option = MysqlCheck()
        return
    if word != "user":
        raise ConfigError(f"'option mysql-check' only supports 'user', but got '{word}'")
    if not user:
        raise ConfigError("'option mysql-check user' expects <username>")
    if version and version not in tuple(MysqlLogin):
        raise ConfigError(
            "'option mysql-check user' only supports 'post-41', 'pre-41' and 'post-80' behind the "
            f"name, but got '{version}'"
        )
    draft.check_option = MysqlCheck(user, version or MysqlLogin.SINCE_41)


def _pgsql(statement: Statement, draft: ProxyDraft) -> None:
    """`option pgsql-check user <name>`; ConfigError."""
    word, user = (*statement.arguments, "", "")[:2]
    if word != "user" or not user:
        raise ConfigError("'option pgsql-check' expects 'user <username>'")
    draft.check_option = PgsqlCheck(user)


def _external(statement: Statement, draft: ProxyDraft) -> None:
    draft.check_option = ExternalCheck()
    draft.external_origin = statement.origin


def _external_word(statement: Statement, draft: ProxyDraft) -> None:
    """`external-check command|path <value>`; ConfigError."""
    if not statement.arguments:
        raise ConfigError("missing argument after 'external-check': 'command' or 'path'")
    word, value = (*statement.arguments, "")[:2]
    if word not in ("command", "path"):
        raise ConfigError(f"'external-check' only supports 'command' and 'path'. but got '{word}'.")
    if not value:
        raise ConfigError(f"missing argument after '{word}'")
    store(draft, f"external_check.{word}", value)
    draft.external_origin = statement.origin


EXTERNAL_WORD: Word[ProxyDraft] = works(_external_word, shape=ArgumentShape(most=2))
CHECK_OPTIONS: Table[ProxyDraft] = {
    "tcp-check": works(_checks(TcpCheck(())), shape=ALONE),
    "httpchk": works(httpchk),
    "redis-check": works(_checks(RedisCheck()), shape=ALONE),
    "ldap-check": works(_checks(LdapCheck()), shape=ALONE),
    "ssl-hello-chk": works(_checks(SslHelloCheck()), shape=ALONE),
    "external-check": works(_external, shape=ALONE),
    "smtpchk": works(_smtp, shape=ArgumentShape(most=2)),
    "mysql-check": works(_mysql, shape=ArgumentShape(most=3)),
    "pgsql-check": works(_pgsql, shape=ArgumentShape(most=2)),
}
