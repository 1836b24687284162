"""The words of external checks: what programs are, and what the global section lets them do."""

from __future__ import annotations

import msgspec
import pytest

from proxy.config.model.checks import CheckRules, ExternalCheck, ProgramRights
from proxy.config.text.messages import Severity
from proxy.server_table import ServerTable
from tests.support.config.loading import LISTEN, load_text, said, settings_of

GLOBAL = "global\n    external-check\n    insecure-fork-wanted\n"
OPTION = "    option external-check\n"
COMMAND = "    external-check command /bin/true\n"
SERVER = "    server s 127.0.0.2:80 check\n"


def test_a_section_has_its_program() -> None:
    path = "    external-check path /bin:/usr/bin\n"
    proxy = settings_of(f"{GLOBAL}{LISTEN}{OPTION}{COMMAND}{path}{SERVER}").proxies[0]
    assert proxy.check_rules == ExternalCheck("/bin/true", "/bin:/usr/bin")
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(proxy.check_rules), type=CheckRules)
    assert kept == proxy.check_rules


def test_words_of_defaults_are_replaced_one_by_one() -> None:
    defaults = f"defaults\n    external-check path /bin\n{OPTION}{COMMAND}"
    own = "    external-check command false\n"
    proxy = settings_of(f"{GLOBAL}{defaults}{LISTEN}{own}{SERVER}").proxies[0]
    assert proxy.check_rules == ExternalCheck("false", "/bin")


@pytest.mark.parametrize(
    ("text", "programs"),
    [
        (f"{GLOBAL}{LISTEN}{OPTION}{COMMAND}{SERVER}", True),
        (f"{GLOBAL}{LISTEN}{OPTION}{COMMAND}    server s 127.0.0.2:80\n", False),
        (f"{GLOBAL}{LISTEN}{OPTION}{COMMAND}    option tcp-check\n{SERVER}", False),
        (f"{GLOBAL}{LISTEN}    disabled\n{OPTION}{COMMAND}{SERVER}", False),
        (f"{LISTEN}{SERVER}", False),
    ],
)
def test_there_is_a_runner_where_a_program_checks_a_server(text: str, programs: bool) -> None:
    assert ServerTable(settings_of(text)).has_programs is programs


def rights_of(*lines: str, environ: dict[str, str] | None = None) -> ProgramRights:
    text = "global\n" + "".join(f"    {line}\n" for line in lines) + f"{LISTEN}{SERVER}"
    outcome = load_text(text, environ)
    assert outcome.settings is not None, outcome.messages
    assert not said(outcome, Severity.NOTICE)
    return outcome.settings.globals.programs


def test_the_global_section_grants_what_programs_may() -> None:
    assert rights_of() == ProgramRights()
    assert rights_of("external-check") == ProgramRights(allowed=True)
    assert rights_of("insecure-fork-wanted") == ProgramRights(fork=True)
    assert rights_of("insecure-fork-wanted", "no insecure-fork-wanted") == ProgramRights()
    assert rights_of("insecure-setuid-wanted") == ProgramRights(gain=True)


def test_the_environment_is_kept_as_it_is_behind_the_last_line() -> None:
    lines = ("setenv B 1", "external-check preserve-env", "setenv B 2", "unsetenv C")
    environ = {"A": "caf\udce9", "C": "gone"}
    rights = rights_of(*lines, environ=environ)
    assert rights.environment == ((b"A", b"caf\xe9"), (b"B", b"2"))
    assert rights_of("external-check", environ=environ).environment == ()


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        (f"{LISTEN}{OPTION}{COMMAND}{SERVER}", 8, "required 'global.external-check': write"),
        (f"{GLOBAL}{LISTEN}{OPTION}{SERVER}", 10, "required 'external-check command': write"),
        (
            f"{GLOBAL}{LISTEN}{OPTION}    external-check command true\n{SERVER}",
            11,
            "does not have a leading '/' and 'external-check path' is not set",
        ),
        (f"{LISTEN}    external-check foo bar\n", 7, "only supports 'command' and 'path'"),
        (f"{LISTEN}    external-check\n", 7, "missing argument after 'external-check'"),
        (f"{LISTEN}    external-check command\n", 7, "missing argument after 'command'"),
        (f"{LISTEN}    external-check path /a b\n", 7, "unexpected argument 'b'"),
        (f"global\n    external-check foo\n{LISTEN}", 2, "expects one of 'preserve-env'"),
    ],
)
def test_what_is_missing_is_named_with_its_line(text: str, line: int, complaint: str) -> None:
    alerts = said(load_text(text))
    assert [number for number, text in alerts if complaint in text] == [line], alerts


def test_that_only_root_may_fork_is_a_warning() -> None:
    text = f"global\n    external-check\n{LISTEN}{OPTION}{COMMAND}{SERVER}"
    [warning] = [text for _, text in said(load_text(text), Severity.WARNING) if "fork" in text]
    assert "will likely fail" in warning


def test_words_without_their_option_are_warned_of() -> None:
    path = "    external-check path /bin\n"
    warnings = [
        text for _, text in said(load_text(f"{LISTEN}{COMMAND}{path}{SERVER}"), Severity.WARNING)
    ]
    assert [text for text in warnings if "external-check" in text] == [
        f"'external-check {word}' will be ignored for listen 'edge' "
        "(requires 'option external-check')."
        for word in ("command", "path")
    ]
