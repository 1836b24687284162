"""`show config` and `show config diff`: what runs, what was ordered since, what the files say now."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.health.agent_peers import NEUTRAL, Agent
from tests.support.common import free_port, wait_for
from tests.support.program.program import Program

ME = f"uid {os.getuid()} (pid {os.getpid()})"
BY = rf"by {re.escape(ME)}, \d\d/\w{{3}}/\d{{4}}:\d\d:\d\d:\d\d\.\d{{3}}"
CONFIGURATION = """global
  stats socket {socket} level admin
  maxconn 200
  nbthread 1
  setenv TOKEN hush-variable
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  option tcplog
frontend web
  bind 127.0.0.1:@port@
  tcp-request connection reject if { src -f @folder@/bad.lst }
  use_backend other if { src 127.9.9.9 }
  default_backend be
backend be
  balance roundrobin
  server s1 127.0.0.1:10 weight 10
  server s2 127.0.0.1:11 weight 10 check inter 1h
  server-template t 3 127.0.0.1:12
backend other
  server o1 127.0.0.1:13
listen pages
  mode http
  bind 127.0.0.1:@pages@
  stats enable
  stats uri /
  stats auth admin:hush-credential
userlist people
  user boss insecure-password hush-password
"""
ORDERS = (
    "set weight be/s1 20",
    "set server be/t2 state drain; set maxconn server be/s2 7; disable health be/s2",
    "set server be/s2 addr 127.0.0.9 port 99",
    "set server be/s2 check-addr 127.0.0.8 port 98",
    "set maxconn frontend web 50; set maxconn global 100; set rate-limit sessions global 5",
    "disable frontend web",
    "add server be/s9 127.0.0.1:14 weight 3",
    "add acl @folder@/bad.lst 10.9.9.9; add acl @folder@/bad.lst 10.9.9.8",
    "del acl @folder@/bad.lst 10.0.0.1",
)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    (tmp_path / "bad.lst").write_text("# bad\n10.0.0.1\n10.0.0.2\n")
    text = CONFIGURATION.replace("@folder@", str(tmp_path)).replace("@port@", str(free_port()))
    with Program(tmp_path, text.replace("@pages@", str(free_port()))) as made:
        yield made


def told(program: Program, words: str = "diff") -> list[str]:
    """The lines of `show config`, but for those about when it was loaded."""
    lines = program.ask(f"show config {words}").splitlines()
    head, last = lines.pop(0), lines.pop()
    assert head.startswith("# loaded ") or not last, lines
    return [line.replace(str(program.file), "F") for line in lines]


def edited(program: Program, *pairs: tuple[str, str]) -> None:
    """Replace texts of the file; the program goes on with what it has read."""
    text = program.file.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    program.file.write_text(text)


def test_all_lines_are_shown_without_secrets(program: Program) -> None:
    shown = told(program, "")
    read = [line.strip() for line in program.file.read_text().splitlines()]
    assert [re.sub(r"  # F:\d+$", "", line).strip() for line in shown] == [
        re.sub(r"hush-\w+", "*****", line) for line in read
    ]
    assert "backend be  # F:17" in shown
    assert told(program, "other") == ["backend other  # F:22", "    server o1 127.0.0.1:13"]
    assert program.ask("show config nothing").startswith("No such section.\n")
    assert "expects nothing" in program.ask("show config diff be")
    assert "hush" not in program.ask("show config json") + program.ask("show config diff")


def test_it_is_for_operators(program: Program) -> None:
    assert program.ask("user; show config diff").startswith("\nPermission denied")
    assert program.ask("operator; show config diff").startswith("\n# loaded")


def test_nothing_differs(program: Program) -> None:
    expected = [
        "# the files say what the program was loaded from",
        "# nothing was changed at run time",
    ]
    assert told(program) == expected
    program.file.write_text(program.file.read_text().replace("  mode", "\n# more\n    mode"))
    assert told(program) == expected


def test_what_was_ordered_stands_beside_its_line(program: Program) -> None:
    for order in ORDERS:
        program.ask(order.replace("@folder@", str(program.folder)))
    shown = told(program, "")
    beside = {
        "global  # F:1": ["maxconn 200 -> 100", "maxsessrate 0 -> 5"],
        "frontend web  # F:12": ["maxconn 200 -> 50", "state OPEN -> PAUSED"],
        "    server s1 127.0.0.1:10 weight 10": ["server s1 weight 10 -> 20"],
        "    server s2 127.0.0.1:11 weight 10 check inter 1h": [
            "server s2 checks on -> off",
            "server s2 maxconn 0 -> 7",
            "server s2 address 127.0.0.1:11 -> 127.0.0.9:99",
            "server s2 check-addr its own -> 127.0.0.8",
            "server s2 check-port its own -> 98",
        ],
        "    server-template t 3 127.0.0.1:12": ["server t2 state ready -> drain"],
    }
    for line, orders in beside.items():
        at = shown.index(line) + 1
        for number, order in enumerate(orders):
            expected = rf"    # now: {re.escape(order)}, {BY}"
            assert re.fullmatch(expected, shown[at + number]), shown[at + number]
    added = [line for line in shown if "server s9" in line]
    assert len(added) == 1
    assert re.fullmatch(rf"    server s9 127.0.0.1:14 weight 3  # added {BY}", added[0])
    assert f"# acl {program.folder}/bad.lst: entries: 2 added, 1 removed" in shown


def test_a_diff_tells_files_from_orders_and_what_a_reload_does(program: Program) -> None:
    for order in ORDERS:
        program.ask(order.replace("@folder@", str(program.folder)))
    edited(
        program,
        ("client 30s", "client 60s"),
        ("s1 127.0.0.1:10 weight 10", "s1 127.0.0.1:10 weight 30 backup"),
        ("server o1", "server o2"),
        ("hush-password", "hush-other"),
        ("  option tcplog\n", ""),
        ("frontend web\n", "frontend web\n  maxconn 50\n"),
        ("balance roundrobin", "balance leastconn"),
        ("\nbackend other", "\nbackend more\n  server m1 127.0.0.1:15\nbackend other"),
    )
    lines = [re.sub(BY, "BY", line) for line in told(program)]
    lists = f"acl {program.folder}/bad.lst: entries: 2 added, 1 removed; a reload loses it"
    assert lines == [
        "# changed in the files since then:",
        "F:9: defaults: timeout client: 30s -> 60s; for 5 sections",
        "F:11: defaults: - option tcplog; for 4 sections",
        "F:12: frontend web: + maxconn 50",
        "F:18: backend be: balance: roundrobin -> leastconn",
        "F:19: backend be: server s1 weight: 10 -> 30",
        "F:19: backend be: server s1: (none) -> backup",
        "F:22: backend more: + section (1 line)",
        "F:25: backend other: + server o2 127.0.0.1:13",
        "F:23: backend other: - server o1 127.0.0.1:13",
        "F:33: userlist people: user boss: another secret (insecure-password *****)",
        "# changed at run time:",
        "F:1: global: maxconn 200 -> 100, BY; a reload loses it",
        "F:1: global: maxsessrate 0 -> 5, BY; a reload loses it",
        "F:11: frontend web: maxconn 200 -> 50, BY; the files say so by now",
        "F:11: frontend web: state OPEN -> PAUSED, BY; a reload loses it",
        "F:19: backend be: server s1 weight 10 -> 20, BY; the files say something else than "
        "before: a reload goes by them",
        "F:20: backend be: server s2 checks on -> off, BY; a reload keeps it",
        "F:20: backend be: server s2 maxconn 0 -> 7, BY; a reload keeps it",
        "F:20: backend be: server s2 address 127.0.0.1:11 -> 127.0.0.9:99, BY; a reload keeps it",
        "F:20: backend be: server s2 check-addr its own -> 127.0.0.8, BY; a reload keeps it",
        "F:20: backend be: server s2 check-port its own -> 98, BY; a reload keeps it",
        "F:21: backend be: server t2 state ready -> drain, BY; a reload keeps it",
        "backend be: server s9 127.0.0.1:14 weight 3 added BY; a reload loses it",
        lists,
    ]


def test_a_reload_does_what_was_said(program: Program) -> None:
    for order in ORDERS:
        program.ask(order.replace("@folder@", str(program.folder)))
    edited(program, ("s1 127.0.0.1:10 weight 10", "s1 127.0.0.1:10 weight 30"))
    said = told(program)
    kept = [line.split(",")[0] for line in said if line.endswith("a reload keeps it")]
    assert len(kept) == 6
    program.process.send_signal(signal.SIGUSR2)
    reloaded = "generation 2"
    wait_for(lambda: reloaded in program.ask("show config other"), 60, "the reload")
    after = told(program)
    assert after[0] == "# the files say what the program was loaded from"
    assert [line.split(",")[0] for line in after[2:]] == kept


def test_edited_files_of_patterns_are_named_and_entries_written_to_them_are_not_lost(
    program: Program,
) -> None:
    patterns = program.folder / "bad.lst"
    program.ask(f"add acl {patterns} 10.9.9.9")
    title, same = f"acl {patterns}", "# the files say what the program was loaded from"
    assert told(program) == [
        same,
        "# changed at run time:",
        f"{title}: entries: 1 added; a reload loses it",
    ]
    changed = ["# changed in the files since then:", f"{title}: the file has changed"]
    patterns.write_text("10.0.0.2\n10.9.9.9\n# more\n10.0.0.1\n")
    entries = f"{title}: entries: 1 added"
    assert told(program) == [
        *changed,
        "# changed at run time:",
        f"{entries}; the files say so by now",
    ]
    patterns.write_text("10.0.0.2\n")
    other = "the files say something else than before: a reload goes by them"
    assert told(program)[2:] == ["# changed at run time:", f"{entries}; {other}"]
    patterns.unlink()
    lines = told(program)
    assert lines[0] == same
    assert lines[-1] == f"# cannot be read: {patterns}: No such file or directory"


def test_files_that_cannot_be_read_or_are_wrong(program: Program) -> None:
    text = program.file.read_text()
    program.file.write_text(text + 'backend b\n  server "x\n')
    assert told(program)[-1] == "# cannot be read: F:33: unmatched quote at position 10"
    program.file.unlink()
    answer = program.ask("show config diff")
    assert answer.startswith("The files cannot be read by this process: cannot open")
    assert "--against" in answer
    assert "server o1 127.0.0.1:13" in program.ask("show config")


def test_conditions_and_variables_are_as_in_a_load(tmp_path: Path) -> None:
    more = """backend more
  .if streq("$SITE",north)
  server n "127.0.0.1:$PORT"
  .else
  server s 127.0.0.1:2
  .endif
"""
    variables = {"SITE": "north"}
    text = CONFIGURATION.replace("@folder@", str(tmp_path)).replace("@port@", str(free_port()))
    text = text.replace("@pages@", str(free_port())).replace("TOKEN hush-variable", "PORT 17")
    (tmp_path / "bad.lst").write_text("10.0.0.1\n")
    with Program(tmp_path, text + more, environ=variables) as program:
        assert told(program, "more")[1:] == ["    server n 127.0.0.1:17"]
        assert told(program)[0] == "# the files say what the program was loaded from"
        edited(program, ("PORT 17", "PORT 18"))
        assert told(program)[1:3] == [
            "F:5: global: setenv PORT: another secret (*****)",
            "F:34: backend more: server n: 127.0.0.1:17 -> 127.0.0.1:18",
        ]


def test_what_agents_say_and_variables_that_were_ordered_are_told(tmp_path: Path) -> None:
    """An agent's word until a later order, and the other way; rules set variables without one."""
    (tmp_path / "bad.lst").write_text("10.0.0.1\n")
    port = free_port()
    text = CONFIGURATION.replace("@folder@", str(tmp_path)).replace("@port@", str(port))
    text = text.replace("@pages@", str(free_port()))
    text = text.replace(
        "  nbthread 1\n",
        "  nbthread 1\n  set-var proc.x int(1)\n  set-var proc.y str(a)\n  set-var proc.z int(3)\n",
    )
    rule = "  tcp-request connection set-var(proc.z) int(4)\n  use_backend other"
    text = text.replace("  use_backend other", rule)
    with Agent() as agent:
        line = "  server a{0} 127.0.0.1:14 maxconn 9 agent-check agent-port {1} agent-inter 100ms"
        line += ' agent-send "a{0}\\n"\n'
        text += "backend asked\n" + line.format(1, agent.port) + line.format(2, agent.port)
        with Program(tmp_path, text) as program:
            said = "# changed at run time:"

            def orders() -> list[str]:
                lines = [re.sub(BY, "BY", line) for line in told(program)]
                return [line.partition(": ")[2] for line in lines[lines.index(said) + 1 :]]

            agent.say({"a1": b"50% maxconn:3 drain\n", "a2": b"40%\n"})
            wait_for(lambda: said in told(program) and len(orders()) == 4, 60, "the agents' words")
            keeps = "by its agent; a reload keeps it"
            assert orders() == [
                f"backend asked: server a1 state ready -> drain, {keeps}",
                f"backend asked: server a1 weight 1 -> 0, {keeps}",
                f"backend asked: server a1 maxconn 9 -> 3, {keeps}",
                f"backend asked: server a2 weight 1 -> 0, {keeps}",
            ]
            agent.say({"a1": b"ready 100%\n", "a2": NEUTRAL})
            program.ask("set weight asked/a2 7")
            with socket.create_connection(("127.0.0.1", port), 60) as client:
                assert client.recv(1) == b""  # a rule has set proc.z
            experimental = "experimental-mode on; set var proc."
            program.ask(f"{experimental}y str(b); {experimental}new int(5)")
            wait_for(lambda: len(orders()) == 4, 60, "the orders")
            loses = "BY; a reload loses it"
            assert orders() == [
                f"global: set-var proc.y str(a) -> b, {loses}",
                f"global: set-var proc.new unset -> 5, {loses}",
                f"backend asked: server a1 maxconn 9 -> 3, {keeps}",
                "backend asked: server a2 weight 1 -> 7, BY; a reload keeps it",
            ]
            beside = [line for line in told(program, "asked") if "now: server a1" in line]
            assert beside == ["    # now: server a1 maxconn 9 -> 3, by its agent"]


def test_a_metric_says_that_the_files_are_not_what_was_loaded(tmp_path: Path) -> None:
    patterns, port = tmp_path / "bad.lst", free_port()
    patterns.write_text("10.0.0.1\n")
    text = CONFIGURATION.replace("@folder@", str(tmp_path)).replace("@port@", str(free_port()))
    text = text.replace("@pages@", str(free_port()))
    text += f"frontend metrics\n  mode http\n  bind 127.0.0.1:{port}\n"
    text += "  http-request use-service prometheus-exporter\n"
    with Program(tmp_path, text) as program:

        def told(value: int) -> bool:
            with urlopen(f"http://127.0.0.1:{port}/metrics?scope=millrace", timeout=60) as said:
                return f"\nmillrace_config_changed_since_load {value}\n" in said.read().decode()

        def becomes(value: int, why: str) -> None:
            wait_for(lambda: told(value), 60, why)

        becomes(0, "the files are as they were")
        edited(program, ("s1 127.0.0.1:10 weight 10", "s1 127.0.0.1:10 weight 30"))
        becomes(1, "a line was edited")
        edited(program, ("s1 127.0.0.1:10 weight 30", "s1 127.0.0.1:10  weight 10 # as it was"))
        becomes(0, "it says what it said")
        patterns.write_text("10.0.0.2\n")
        becomes(1, "patterns were edited")
        program.process.send_signal(signal.SIGUSR2)
        becomes(0, "a reload has read them")
        program.file.write_text(program.file.read_text() + 'backend b\n  server "x\n')
        becomes(1, "a line is wrong")
        program.file.unlink()
        unknown = lambda: not told(0) and not told(1)  # noqa: E731
        wait_for(unknown, 60, "nobody knows")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change the root directory")
def test_behind_a_chroot_it_says_what_reads_the_files(tmp_path: Path) -> None:
    (tmp_path / "bad.lst").write_text("10.0.0.1\n")
    (tmp_path / "jail").mkdir()
    text = CONFIGURATION.replace("@folder@", str(tmp_path)).replace("@port@", str(free_port()))
    text = text.replace("@pages@", str(free_port()))
    jailed = f"global\n  chroot {tmp_path}/jail\n  uid 65534\n  gid 65534\n"
    with Program(tmp_path, jailed + text, executed=True) as program:
        program.ask("set weight #3/#1 20")
        answer = program.ask("show config diff")
        assert answer.startswith("The files cannot be read by this process: cannot open")
        shown = program.ask("show config be")
        assert re.search(rf"# now: server s1 weight 10 -> 20, {BY}", shown), shown
