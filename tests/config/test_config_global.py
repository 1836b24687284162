"""The words of the global section, at their limits."""

from __future__ import annotations

import grp
import os
import pwd

import msgspec
import pytest

from proxy.config.model.settings import Endpoint, Global, LogTarget, SocketFamily
from proxy.config.text.messages import Severity
from resolverd.config import Family
from tests.support.config.loading import load_text, only_alert, said, settings_of


def globals_of(*lines: str) -> Global:
    return settings_of("global\n" + "".join(f"    {line}\n" for line in lines)).globals


def alert_of(line: str) -> str:
    place, text = only_alert(f"global\n    {line}\n")
    assert place == 2
    return text


def test_every_word_of_the_global_section_arrives_in_the_settings() -> None:
    me = pwd.getpwuid(os.getuid()).pw_name
    group = grp.getgrgid(os.getgid()).gr_name
    found = globals_of(
        *("daemon", f"user {me}", f"group {group}", "chroot /var/empty", "pidfile /run/x.pid"),
        *("maxconnrate 30", "maxsessrate 20"),
        *("maxconn 4096", "nbthread 4", "log-tag edge", "hard-stop-after 30s", "grace 5s"),
        *("master-worker", "node n-1", "description two words", "spread-checks 5"),
        *("max-spread-checks 2s", "ulimit-n 20000", "fd-hard-limit 30000", "zero-warning"),
        *("quiet", "stats timeout 2m", "strict-limits", "default-path config"),
    )
    assert found == Global(
        daemon=True,
        master_worker=True,
        zero_warning=True,
        quiet=True,
        uid=os.getuid(),
        gid=os.getgid(),
        chroot="/var/empty",
        pidfile="/run/x.pid",
        maxconn=4096,
        connection_rate=30,
        session_rate=20,
        nbthread=4,
        log_tag="edge",
        hard_stop_after_ms=30_000,
        grace_ms=5_000,
        node="n-1",
        description="two words",
        spread_checks_percent=5,
        max_spread_checks_ms=2_000,
        ulimit_n=20_000,
        fd_hard_limit=30_000,
        stats_timeout_ms=120_000,
    )


def test_nothing_said_means_one_worker_for_each_core() -> None:
    assert globals_of() == Global()
    assert Global().nbthread == 0


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("nbthread 1", "nbthread 0"),
        ("nbthread 256", "nbthread 257"),
        ("maxconn 0", "maxconn -1"),
        ("maxconn 2147483647", "maxconn 2147483648"),
        ("spread-checks 50", "spread-checks 51"),
        ("spread-checks -50", "spread-checks -51"),
        ("uid 0", "uid -1"),
        ("gid 4294967294", "gid 4294967295"),
        ("ulimit-n 1", "ulimit-n 0"),
        ("hard-stop-after 24d", "hard-stop-after 25d"),
        ("log 127.0.0.1 len 80 local0", "log 127.0.0.1 len 79 local0"),
        ("log 127.0.0.1 len 65535 local0", "log 127.0.0.1 len 65536 local0"),
        ("stats socket /tmp/x mode 777", "stats socket /tmp/x mode 1000"),
        (f"stats socket /{'x' * 96}", f"stats socket /{'x' * 97}"),
        ("tune.bufsize 16k", "tune.bufsize 3g"),
        ("default-path origin /tmp", "default-path origin"),
        ("master-worker no-exit-on-failure", "master-worker foo"),
        ("node a_b.c-1", "node a:b"),
    ],
)
def test_values_are_accepted_up_to_their_limit(good: str, bad: str) -> None:
    globals_of(good)
    alert_of(bad)


@pytest.mark.parametrize(
    ("line", "target"),
    [
        (
            "log 127.0.0.1 local0",
            LogTarget(Endpoint(SocketFamily.IPV4, "127.0.0.1", 514), facility=16),
        ),
        (
            "log udp@[::1]:1514 len 4096 format rfc5424 daemon notice err",
            LogTarget(Endpoint(SocketFamily.IPV6, "::1", 1514), 3, 5, 3, "rfc5424", None, 4096),
        ),
        (
            "log /dev/log local7 info",
            LogTarget(Endpoint(SocketFamily.UNIX, "/dev/log"), facility=23, max_level=6),
        ),
        (
            "log stdout format raw daemon",
            LogTarget(None, facility=3, format="raw", descriptor=1),
        ),
        ("log stderr user", LogTarget(None, facility=1, descriptor=2)),
        ("log fd@5 user debug", LogTarget(None, facility=1, descriptor=5)),
        (
            "log logs.test:99 user",
            LogTarget(Endpoint(SocketFamily.IPV4, "127.9.9.9", 99), facility=1),
        ),
    ],
)
def test_a_log_line_names_its_target(line: str, target: LogTarget) -> None:
    assert globals_of(line).logs == (target,)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("log", "expects an address and a facility"),
        ("log 127.0.0.1", "expects an address and a facility"),
        ("log nowhere.test local0", "cannot resolve host name 'nowhere.test'"),
        ("log 127.0.0.1 local9", "unknown log facility 'local9'; did you mean"),
        ("log 127.0.0.1 local0 loud", "unknown log level"),
        ("log 127.0.0.1 format foo local0", "unknown log format"),
        ("log 127.0.0.1 local0 info err foo", "unexpected argument 'foo'"),
        ("log ring@x local0", "not supported"),
        ("log tcp@127.0.0.1:1 local0", "not supported yet"),
        ("log 127.0.0.1 sample 1-:3 local0", "wrong sample range '1-'"),
        ("log 127.0.0.1 sample 0:3 local0", "wrong sample range '0'"),
        ("log 127.0.0.1 sample x local0", "missing sample size"),
        ("log 127.0.0.1 sample 1,3:2 local0", "sample size 2 should be greater or equal to 3"),
        ("log 127.0.0.1 sample 1-2,2:3 local0", "ranges are overlapping"),
        ("log 127.0.0.1 sample 1:1001 local0", "between 1 and 1000"),
    ],
)
def test_a_log_line_that_cannot_work_is_an_alert(line: str, complaint: str) -> None:
    assert complaint in alert_of(line)


def test_no_log_forgets_the_targets_before_it() -> None:
    assert globals_of("log 127.0.0.1 local0", "no log", "log stdout user").logs == (
        LogTarget(None, facility=1, descriptor=1),
    )


def test_a_stats_socket_keeps_its_rights() -> None:
    found = globals_of(
        "stats socket /run/x.sock mode 660 user root group root level admin",
        "stats socket ipv4@127.0.0.1:9999",
        "stats socket fd@7 expose-fd listeners level user",
    ).stats_sockets
    assert [s.exposes for s in found] == [False, False, True]
    assert [(s.endpoint, s.level, s.mode, s.user, s.group) for s in found] == [
        (Endpoint(SocketFamily.UNIX, "/run/x.sock"), "admin", 0o660, 0, 0),
        (Endpoint(SocketFamily.IPV4, "127.0.0.1", 9999), "operator", None, None, None),
        (Endpoint(SocketFamily.DESCRIPTOR, "7"), "user", None, None, None),
    ]
    assert found[1].origin.line == 3


@pytest.mark.parametrize(
    ("line", "families"),
    [
        ("dns-accept-family ipv4", (Family.IPV4,)),
        ("dns-accept-family ipv6", (Family.IPV6,)),
        ("dns-accept-family ipv6,ipv4", (Family.IPV4, Family.IPV6)),
    ],
)
def test_families_are_those_that_the_file_names(line: str, families: tuple[Family, ...]) -> None:
    assert settings_of(f"global\n {line}\n", ipv6=False).resolverd.families == families


@pytest.mark.parametrize("text", ["global\n", "global\n dns-accept-family auto\n"])
def test_without_a_choice_ipv6_needs_a_route(text: str) -> None:
    assert settings_of(text, ipv6=True).resolverd.families == (Family.IPV4, Family.IPV6)
    assert settings_of(text, ipv6=False).resolverd.families == (Family.IPV4,)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("user no-such-user-x", "cannot find user id for 'no-such-user-x'"),
        ("group no-such-group-x", "cannot find group id for 'no-such-group-x'"),
        ("dns-accept-family ipv5", "not 'ipv5'"),
        ("maxcon 5", "did you mean 'maxconn' maybe ?"),
        ("nameserver a 127.0.0.1:53", "it belongs in a 'resolvers' section"),
        ("maxconn 5 6", "unexpected argument '6'"),
        ("daemon x", "unexpected argument 'x'"),
        ("pidfile", "expects a file"),
        ("no daemon", "'no' cannot stand before 'daemon'"),
        ("lua-load x.lua", "not supported: Millrace runs no Lua"),
        ("nbproc 2", "does not exist any more"),
        ("stats foo", "unknown stats 'foo'"),
        ("stats socket", "expects an address or a path"),
        ("stats socket /tmp/x level root", "knows user, operator and admin"),
        ("stats socket /tmp/x ssl", "is not supported"),
        ("unsetenv", "expects at least one name"),
        ("setenv A", "expects a name and a value"),
    ],
)
def test_what_cannot_work_says_what_to_do(line: str, complaint: str) -> None:
    assert complaint in alert_of(line)


def test_words_that_tune_something_else_get_one_notice_and_no_warning() -> None:
    lines = [
        "tune.bufsize 16384",
        "tune.foo 1",
        "cpu-map 1 0",
        "ssl-default-bind-options no-sslv3 no-tls-tickets",
    ]
    outcome = load_text("global\n" + "".join(f" {line}\n" for line in lines))
    notices = said(outcome, Severity.NOTICE)
    assert [place for place, _ in notices] == [2, 3, 4, 5]
    assert all("has no effect here" in text for _, text in notices)
    assert len(outcome.messages) == 4


def test_the_first_user_counts_as_in_haproxy() -> None:
    assert globals_of("uid 5", "uid 6").uid == 5


def test_settings_survive_being_sent_as_bytes() -> None:
    plain = settings_of("global\n description ä\n")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(plain), type=type(plain)) == plain


def test_a_word_that_is_no_utf8_is_an_alert_because_settings_are_sent_as_bytes() -> None:
    assert "is not UTF-8" in alert_of("description a\\xff")
    assert "is not UTF-8" in alert_of("description a\udcff")
