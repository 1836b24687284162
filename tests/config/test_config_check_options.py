"""The options that say how servers are checked, and what they do not take."""

from __future__ import annotations

import msgspec
import pytest

from proxy.config.model.checks import (
    CheckRules,
    LdapCheck,
    MysqlCheck,
    MysqlLogin,
    PgsqlCheck,
    RedisCheck,
    SmtpCheck,
    SslHelloCheck,
    TcpCheck,
)
from proxy.config.text.messages import Severity
from tests.support.config.loading import LISTEN, load_text, said, settings_of


def rules_of(*options: str) -> CheckRules | None:
    lines = "".join(f"    option {option}\n" for option in options)
    return settings_of(f"{LISTEN}{lines}    server s 127.0.0.2:80 check\n").proxies[0].check_rules


@pytest.mark.parametrize(
    ("option", "rules"),
    [
        ("smtpchk", SmtpCheck("HELO", "localhost")),
        ("smtpchk EHLO me.test", SmtpCheck("EHLO", "me.test")),
        ("smtpchk HELO me.test", SmtpCheck("HELO", "me.test")),
        ("smtpchk EHLO", SmtpCheck()),
        ("smtpchk ehlo me.test", SmtpCheck()),
        ('smtpchk "" me.test', SmtpCheck()),
        ("mysql-check", MysqlCheck()),
        ('mysql-check ""', MysqlCheck()),
        ("mysql-check user u", MysqlCheck("u")),
        ("mysql-check user u post-41", MysqlCheck("u")),
        ("mysql-check user u pre-41", MysqlCheck("u", MysqlLogin.BEFORE_41)),
        ("mysql-check user u post-80", MysqlCheck("u", MysqlLogin.SINCE_80)),
        ("pgsql-check user u", PgsqlCheck("u")),
        ("ldap-check", LdapCheck()),
        ("ssl-hello-chk", SslHelloCheck()),
    ],
)
def test_an_option_has_its_arguments(option: str, rules: CheckRules) -> None:
    assert rules_of("redis-check", option) == rules
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(rules), type=CheckRules)
    assert kept == rules


@pytest.mark.parametrize("words", ["EHLO", "ehlo me.test", "FOO"])
def test_a_hello_that_is_ignored_is_warned_of(words: str) -> None:
    loaded = load_text(f"{LISTEN}    option smtpchk {words}\n")
    [warning] = [text for _, text in said(loaded, Severity.WARNING) if "smtpchk" in text]
    assert f"'{words.strip()}" in warning
    assert "'HELO localhost'" in warning


@pytest.mark.parametrize(("words", "count"), [("", 1), ('""', 1), ("user u", 0)])
def test_a_check_of_mysql_without_a_login_is_warned_of(words: str, count: int) -> None:
    loaded = load_text(f"{LISTEN}    option mysql-check {words}\n")
    warnings = [text for _, text in said(loaded, Severity.WARNING)]
    assert sum("'max_connect_errors'" in text for text in warnings) == count


def test_the_last_option_holds() -> None:
    assert rules_of("smtpchk", "ldap-check", "redis-check") == RedisCheck()
    assert rules_of("smtpchk EHLO a", "smtpchk") == SmtpCheck()
    assert rules_of("smtpchk", "tcp-check") == TcpCheck(())


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("smtpchk HELO a b", "'option smtpchk' cannot handle unexpected argument 'b'"),
        ("mysql-check u", "'option mysql-check' only supports 'user', but got 'u'"),
        ("mysql-check user", "'option mysql-check user' expects <username>"),
        ('mysql-check user ""', "'option mysql-check user' expects <username>"),
        ("mysql-check user u post-50", "but got 'post-50'"),
        ("mysql-check user u pre-41 x", "cannot handle unexpected argument 'x'"),
        ("pgsql-check", "'option pgsql-check' expects 'user <username>'"),
        ("pgsql-check user", "'option pgsql-check' expects 'user <username>'"),
        ("pgsql-check u v", "'option pgsql-check' expects 'user <username>'"),
        ("pgsql-check user u x", "cannot handle unexpected argument 'x'"),
        ("ldap-check x", "cannot handle unexpected argument 'x'"),
        ("ssl-hello-chk x", "cannot handle unexpected argument 'x'"),
    ],
)
def test_a_wrong_argument_is_an_error(option: str, complaint: str) -> None:
    [(line, text)] = said(load_text(f"{LISTEN}    option {option}\n"))
    assert line == LISTEN.count("\n") + 1
    assert complaint in text


@pytest.mark.parametrize("prefix", ["no", "default"])
@pytest.mark.parametrize(
    "option", ["smtpchk", "mysql-check", "pgsql-check user u", "ldap-check", "ssl-hello-chk"]
)
def test_none_is_negated(prefix: str, option: str) -> None:
    [(_, text)] = said(load_text(f"{LISTEN}    {prefix} option {option}\n"))
    assert text == f"'{prefix}' cannot stand before 'option {option.split(maxsplit=1)[0]}'"
