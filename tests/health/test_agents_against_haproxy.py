"""`agent-check`: the same lines of an agent mean to Millrace what they mean to Debian's HAProxy."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest

from tests.health.agent_peers import Agent, Answer, idle_row, running, stat_rows, told
from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.differential.one_program import OneProgram

Seen = dict[str, str]
COLUMNS = (
    *("status", "weight", "slim", "agent_status", "agent_code", "agent_desc", "last_agt"),
    *("agent_rise", "agent_fall", "agent_health", "chkfail", "chkdown", "act"),
)
FIELDS = (
    *("srv_op_state", "srv_admin_state", "srv_uweight", "srv_iweight", "srv_check_status"),
    *("srv_check_result", "srv_check_state", "srv_agent_addr"),
)


def reset(connection: socket.socket) -> None:
    """Say nothing, and break the connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


LINES: tuple[Answer, ...] = (
    # one word
    *(b"up\n", b"75%\n", b"drain\n", b"ready\n", b"maint\n", b"ready\n", b"down\n", b"up\n"),
    *(b"fail\n", b"UP\n", b"stopped\n", b"Up\r\n", b"maxconn:30\n", b"maxconn:0\n"),
    # a server that is down keeps its agent's other words
    *(b"down # going home \n", b"50%\n", b"maint\n", b"ready\n", b"drain\n", b"up # x\n"),
    *(b"ready\n", b"maint\n", b"down\n", b"ready up\n", b"maint\n", b"ready down\n", b"up\n"),
    # several, in any order and with any delimiter
    *(b"50%,drain\tdown maxconn:7 # bla, bla #x\n", b" \t,ready,,up 100% \n", b"up down\n"),
    *(b"down up\n", b"1% 3%\n", b"MAXCONN:3,maxconn:9\n", b"drain ready\n", b"up\rdown\n"),
    # weights
    *(b"300%\n", b"100000%\n", b"7.5%\n", b"5%%\n", b"-5%\n", b"0%\n", b"up 1% 77%x\n"),
    *(b"5#%\n", b"75\n", b"100%\n"),
    # garbage, and lines that say nothing
    *(b"maxconn:abc\n", b"maxconn:5x\n", b"garbage\n", b"up garbage foo\n"),
    *(b"down,garbage\n", b"up\n", b"50% maxconn:q garb\n", b"50% maxconn:q\n", b"stopped#x\n"),
    *(b"\n", b" # only\n", b"up\t#\tdesc\n", b"down # \n", b"down #x,y\tz  \n", b"up\n"),
    *(b"up " + b"x" * 300 + b"\n", b"down # " + b"y" * 300 + b"\n", b'down # "q" <&>,;\n'),
    # no line: HAProxy reads on into what its buffer had before, so parts of one are not compared
    *(b"\n", b"", b"up\0down\n", reset, b"up\n", b"", b"ready up 100% maxconn:50\n"),
)


def seen(made: OneProgram, name: str) -> Seen:
    row, fields = idle_row(made, name), made.rows()[name]
    found = {column: row[column] for column in COLUMNS}
    agent_state = int(fields["srv_agent_state"]) & ~1  # whether a check is under way
    return found | {field: fields[field] for field in FIELDS} | {"agent": str(agent_state)}


def answers(program: str, folder: Path, options: str, balance: str) -> list[Seen]:
    with Agent() as agent:
        servers = {"s": f"weight 40 maxconn 50 agent-inter 60ms {options}"}
        with running(program, folder, agent, servers, f"balance {balance}") as made:
            found = []
            for line in LINES:
                agent.say({"s": line})
                found.append(seen(made, "s"))
            return found


@pytest.mark.parametrize("options", ["", "disabled", "agent-addr 127.0.0.1 addr 127.0.0.9"])
def test_lines_mean_the_same(tmp_path: Path, options: str) -> None:
    ours = answers("millrace", tmp_path, options, "roundrobin")
    theirs = answers("haproxy", tmp_path, options, "roundrobin")
    for line, mine, other in zip(LINES, ours, theirs, strict=True):
        if options == "disabled":  # HAProxy computes a weight, and ends a pause, of what was in use
            mine |= {column: other[column] for column in ("weight", "srv_check_state")}
        assert mine == other, line


def test_a_static_balance_takes_no_part_of_a_weight(tmp_path: Path) -> None:
    shown = {}
    for program in ("millrace", "haproxy"):
        with (
            Agent() as agent,
            running(
                program, tmp_path, agent, {"s": "weight 40 agent-inter 60ms"}, "balance source"
            ) as made,
        ):
            rows = []
            for line in (b"50%\n", b"0%\n", b"100%\n", b"80% up\n"):
                agent.say({"s": line})
                row = idle_row(made, "s")
                # HAProxy has the end of a line in the text
                rows.append((row["weight"], row["last_agt"].replace("\n", "")))
            shown[program] = rows
    assert shown["millrace"] == shown["haproxy"]
    assert [weight for weight, _ in shown["millrace"]] == ["40", "0", "40", "40"]


LIFE = (
    *(b"up\n", b"drain\n", b"maint\n", b"ready\n", b"maint\n", b"ready\n", b"down # a\n"),
    *(b"maint\n", b"ready\n", b"drain\n", b"ready\n", b"up\n", b"0%\n", b"100%\n", b"stopped\n"),
    *(b"ready up\n", b"drain\n", b"ready\n", b"fail\n", b"garbage\n", b"up\n"),
)


@pytest.mark.parametrize("option", ["no option log-health-checks", "option log-health-checks"])
def test_lines_of_the_log_are_the_same(tmp_path: Path, option: str) -> None:
    logged = {}
    for program in ("millrace", "haproxy"):
        with Agent() as agent:
            servers = {"s": "weight 40 agent-inter 60ms"}
            with running(program, tmp_path, agent, servers, option) as made:
                for line in LIFE:
                    agent.say({"s": line})
                logged[program] = told(made)
    assert logged["millrace"] == logged["haproxy"]
    assert len(logged["millrace"]) > len(LIFE)


WORDS = (b"ready\n", b"drain\n", b"maint\n", b"up\n", b"down\n", b"50%\n", b"maxconn:7\n")
ORDERS = {
    "ready": "set server be/{} state ready",
    "drain": "set server be/{} state drain",
    "maint": "set server be/{} state maint",
    "healthy": "set server be/{} health up",
    "unhealthy": "set server be/{} health down",
    "stopping": "set server be/{} health stopping",
    "agent-up": "set server be/{} agent up",
    "agent-down": "set server be/{} agent down",
    "agent-off": "disable agent be/{}",
    "weight": "set server be/{} weight 10",
    "percent": "set weight be/{} 25%",
    "maxconn": "set maxconn server be/{} 9",
}
CASES = {
    f"{first}-{word.decode().strip().rstrip('%').replace(':', '')}-{order}": (first, word, order)
    for first in ("agent", "operator")
    for word in WORDS
    for order in ORDERS
}
LAST = ("srv_op_state", "srv_admin_state", "srv_uweight", "srv_agent_state")


def order(made: OneProgram, names: list[str]) -> None:
    """Give each of these servers its order."""
    commands = [ORDERS[CASES[name][2]].format(name) for name in names]
    for at in range(0, len(commands), 20):
        made.ask(";".join(commands[at : at + 20]))


def last_words(program: str, folder: Path) -> dict[str, tuple[str, ...]]:
    """What is shown of each server after two words about it."""
    by_agent = [name for name, case in CASES.items() if case[0] == "agent"]
    by_operator = [name for name in CASES if name not in by_agent]
    servers = dict.fromkeys(CASES, "weight 40 maxconn 50 agent-inter 500ms")
    with Agent() as agent, running(program, folder, agent, servers) as made:
        agent.say_once({name: CASES[name][1] for name in by_agent})
        order(made, by_agent)
        order(made, by_operator)
        asked = [n for n in by_operator if CASES[n][2] != "agent-off"]
        agent.say_once({name: CASES[name][1] for name in asked})
        fields, rows = made.rows(), stat_rows(made)
        return {
            name: (
                *(fields[name][field] for field in LAST[:3]),
                str(int(fields[name]["srv_agent_state"]) & ~1),
                rows[name]["slim"],
                rows[name]["agent_health"],
                rows[name]["status"],
            )
            for name in CASES
        }


def test_the_last_word_counts_of_agent_and_operator(tmp_path: Path) -> None:
    ours, theirs = last_words("millrace", tmp_path), last_words("haproxy", tmp_path)
    wrong = {name: (ours[name], theirs[name]) for name in CASES if ours[name] != theirs[name]}
    assert not wrong, wrong


class Place:
    """The port of a server that is there or not."""

    def __init__(self) -> None:
        self.port = free_port()
        self.listening: socket.socket | None = None

    def open(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", self.port))

    def close(self) -> None:
        assert self.listening is not None
        self.listening.close()


def beside_checks(program: str, folder: Path) -> list[tuple[str, ...]]:
    """The life of a server that is checked and has an agent: what it shows after each step."""
    place = Place()
    place.open()
    found = []
    with Agent() as agent:
        options = f"check port {place.port} inter 60ms fall 1 rise 1 agent-inter 60ms"
        with running(program, folder, agent, {"s": options}) as made:

            def step(check: str, line: bytes = b"") -> None:
                if line:
                    agent.say({"s": line})

                def there() -> dict[str, str] | None:
                    row = idle_row(made, "s")
                    return row if row["check_status"] == check else None

                row = wait_for(there, PATIENCE_SECONDS, f"a check that ends as {check}")
                assert row is not None
                shown = ("status", "check_health", "agent_status", "agent_health", "chkdown")
                found.append(tuple(row[column] for column in shown))

            step("L4OK")
            step("L4OK", b"down\n")
            step("L4OK", b"\n")  # no check that passes brings it up
            place.close()
            step("L4CON")
            step("L4CON", b"up\n")  # nor an agent while it does not answer
            step("L4CON", b"50% drain\n")
            place.open()
            step("L4OK")
            step("L4OK", b"ready\n")
            step("L4OK", b"fail\n")
            made.ask("disable agent be/s")  # then the next check that passes brings it up
            wait_for(
                lambda: made.rows()["s"]["srv_op_state"] == "2", PATIENCE_SECONDS, "its return"
            )
            found.append((stat_rows(made)["s"]["status"],))
            place.close()
    return found


def test_checks_and_an_agent_have_to_agree(tmp_path: Path) -> None:
    ours = beside_checks("millrace", tmp_path)
    assert ours == beside_checks("haproxy", tmp_path)
    assert [row[0] for row in ours][:3] == ["UP", "DOWN (agent)", "DOWN (agent)"]
