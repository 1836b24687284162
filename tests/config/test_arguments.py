"""The command line as HAProxy's users write it."""

from __future__ import annotations

import pytest

from proxy.arguments import Arguments, UsageError, parse
from proxy.flags.table import COMMANDS, FLAGS, IDLE_FLAGS, RELOAD_SECONDS
from proxy.flags.usage import USAGE, label

AIDS = ("-dM", "-dM0x50", "-dA", "-dT", "-dc", "-dv", "-dl", "-dq", "-dt", "-dw")
F = ["-f", "x.cfg"]


def parsed(*words: str) -> Arguments:
    result = parse([*F, *words])
    assert isinstance(result, Arguments), result
    return result


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {}),
        (["-c"], {"check": True}),
        (["-c", "-V"], {"check": True, "verbose": True}),
        (["-q"], {"quiet": True}),
        (["-q", "-V"], {"verbose": True}),
        (["-d"], {"debug": True, "foreground": True}),
        (["-db"], {"foreground": True}),
        (["-D"], {"daemon": True}),
        (["-W"], {"master_worker": True}),
        (["-Ws"], {"master_worker": True, "notify_systemd": True}),
        (["-p", "/run/x.pid"], {"pidfile": "/run/x.pid"}),
        (["-C", "/etc"], {"folder": "/etc"}),
        (["-L", "me"], {"local_peer": "me"}),
        (["-n", "100"], {"maxconn": 100}),
        (["-N", "50"], {"proxy_maxconn": 50}),
        (["-sf", "12", "13", "-c"], {"finish_pids": (12, 13), "check": True}),
        (["-st", "12"], {"end_pids": (12,)}),
        (["-sf"], {}),
        (["-x", "/run/s.sock"], {"old_socket": "/run/s.sock"}),
        (["-cc", "streq(a,a)"], {"condition": "streq(a,a)"}),
        (["-h"], {"help": True}),
        (["--help"], {"help": True}),
        (["-v"], {"version": "-v"}),
        (["-vv"], {"version": "-vv"}),
        (["-vq"], {"version": "-vq"}),
        (["-4"], {"ipv4_only": True}),
        (["-dS"], {"splice": False}),
        (["-dWx", "-dbx"], {"warnings_fatal": True, "foreground": True}),
        (["-dW"], {"warnings_fatal": True}),
        (["-dD"], {"diagnose": True}),
        (["-dr"], {"ignore_unresolved": True}),
    ],
)
def test_a_flag_sets_what_it_says(words: list[str], expected: dict[str, object]) -> None:
    assert parsed(*words) == Arguments(files=("x.cfg",), **expected)


@pytest.mark.parametrize(
    ("words", "flag", "why"),
    [
        (["-dR"], "-dR", "SO_REUSEPORT"),
        (["-dG"], "-dG", "getaddrinfo"),
        (["-de"], "-de", "always epoll"),
        (["-dKall"], "-dKall", "keywords are not listed"),
        *((([flag], flag, "an aid for work on HAProxy")) for flag in AIDS),
    ],
)
def test_a_flag_without_effect_says_why(words: list[str], flag: str, why: str) -> None:
    [(named, reason)] = parsed(*words).idle_flags
    assert named == flag
    assert why in reason


def test_each_socket_of_the_master_is_kept() -> None:
    words = ("-W", "-S", "/run/m.sock,level,user", "-S", "127.0.0.1:9")
    assert parsed(*words).master_sockets == ("/run/m.sock,level,user", "127.0.0.1:9")


def test_files_come_in_the_order_of_the_line_and_the_rest_after_two_dashes() -> None:
    assert parsed("-c", "-f", "dir", "--", "a", "-b").files == ("x.cfg", "dir", "a", "-b")


@pytest.mark.parametrize("words", [["-h"], ["--help"], ["-v"], ["-vv"], ["-cc", ""], ["--", "x"]])
def test_some_command_lines_need_no_f(words: list[str]) -> None:
    assert isinstance(parse(words), Arguments)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "no configuration file"),
        (["-c"], "no configuration file"),
        (["--"], "no configuration file"),
        (["-f"], "-f expects a file or folder"),
        ([*F, "-z"], "unknown option: '-z'"),
        ([*F, "--check"], "unknown option: '--check'"),
        ([*F, "-6"], "unknown option: '-6'"),
        ([*F, "-m", "x"], "-m expects a number"),
        ([*F, "-S"], "-S expects an address"),
        ([*F, ""], "needs -f"),
        ([*F, "y.cfg"], "'y.cfg' is no command; a file needs -f"),
        ([*F, "-n", "x"], "-n expects a number"),
        ([*F, "-n", "-1"], "-n expects a number"),
        ([*F, "-n", "2147483648"], "-n expects a number"),
        ([*F, "-n"], "-n expects a number"),
        ([*F, "-p"], "-p expects an argument"),
        ([*F, "-sf", "0"], "expect process ids"),
        ([*F, "-st", "12", "abc"], "'abc' is no command; a file needs -f"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_answered(words: list[str], complaint: str) -> None:
    result = parse(words)
    assert isinstance(result, UsageError)
    assert complaint in result.text


def test_the_usage_names_every_flag_and_command_and_how_to_start() -> None:
    for flag in FLAGS:
        assert f"\n  {label(flag)}" in USAGE
    for command in COMMANDS:
        assert f"\n  {command.shown}" in USAGE
    assert "millrace -c -f haproxy.cfg" in USAGE


def test_each_flag_of_the_table_is_read_as_the_table_says() -> None:
    written = {
        "TEXT": "x",
        "FILE": "x",
        "FOLDER": "x",
        "CONFIGURATION": "x",
        "NUMBER": "7",
        "PIDS": "7",
        "SOCKET": "x",
    }
    for flag in (*FLAGS, *IDLE_FLAGS):
        for name in flag.names:
            words = [name, *([written[flag.takes.name]] if flag.takes.value else [])]
            if flag.field == "timeout_seconds":
                words.append("show")
            result = parse([*F, *words])
            assert isinstance(result, Arguments), (name, result)
            if flag.idle:
                assert result.idle_flags == ((" ".join(words), flag.idle),)
            elif flag.field != "files":
                assert result != Arguments(files=("x.cfg",)), name


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ping"], {"command": ("ping",)}),
        (
            ["-p", "x.pid", "--timeout", "2", "ping"],
            {"command": ("ping",), "pidfile": "x.pid", "timeout_seconds": 2},
        ),
        (["-f", "x", "show", "sess", "-v"], {"command": ("show", "sess", "-v"), "files": ("x",)}),
        (["--socket", "/s", "set", "server"], {"command": ("set", "server"), "socket": "/s"}),
        (["demo"], {"command": ("demo",)}),
        (
            ["-S", "/m", "reload"],
            {"command": ("reload",), "socket": "/m", "timeout_seconds": RELOAD_SECONDS},
        ),
        (
            ["--timeout", "9", "hard-reload"],
            {"command": ("hard-reload",), "timeout_seconds": 9},
        ),
    ],
)
def test_a_command_ends_the_flags(words: list[str], expected: dict[str, object]) -> None:
    assert parse(words) == Arguments(**expected)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["-D", "show", "info"], "'-D' is not for the command 'show'"),
        (["-S", "/s", "ping"], "'-S' is not for the command 'ping'"),
        (["-p", "/s", "demo"], "'-p' is not for the command 'demo'"),
        (["show rules"], "'show rules' is one word, and no command: write it without quotes"),
        (["-f", "x", "reload"], "'-f' is not for the command 'reload'"),
        (["reload", "now"], "nothing may follow 'reload', as 'now' does"),
        (["ping", "now"], "nothing may follow 'ping', as 'now' does"),
        (
            ["reload", "-S", "m"],
            "nothing may follow 'reload', as '-S' does: options precede 'reload'",
        ),
        (["--timeout", "0", "reload"], "--timeout expects at least 1 second, not '0'"),
        (["--timeout", "0", "show", "info"], "--timeout expects at least 1 second, not '0'"),
        ([*F, "--timeout", "3"], "--timeout is for commands"),
        (
            ["sohw", "info"],
            "'sohw' is no command; a file needs -f or -- before it; did you mean 'show'",
        ),
    ],
)
def test_a_command_that_makes_no_sense_is_answered(words: list[str], complaint: str) -> None:
    result = parse(words)
    assert isinstance(result, UsageError)
    assert complaint in result.text
