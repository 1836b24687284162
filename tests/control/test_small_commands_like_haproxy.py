"""Commands about the conversation and the process: the same orders at HAProxy and at Millrace."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from proxy.control.rows.stat_columns import COLUMNS
from proxy.control.rows.stat_texts import TEXTS
from tests.support.differential.one_program import PROGRAMS, OneProgram, one_program

CONFIGURATION = """
global
  stats socket {folder}/s level admin
  stats socket {folder}/low mode 600 level user
  stats socket abns@millrace-test-{folder}
  setenv MILLRACE_TEST "two words"
defaults
  mode tcp
  timeout connect 5s
  timeout client 5s
frontend fe
  bind unix@{folder}/fe
  maxconn 10
  default_backend be
listen li
  bind unix@{folder}/li
  server l1 127.0.0.1:9 disabled
backend be
  server s1 127.0.0.1:9 backup
  server s2 127.0.0.1:9
  server s3 127.0.0.1:9 disabled
"""
EQUAL = (
    *("show env MILLRACE_TEST", "show env HAPROXY_NOPE", "operator;show env MILLRACE_TEST"),
    *("user;show env", "show errors", "show errors -1", "show errors nope", "show errors fe"),
    *("show errors fe request", "user;show errors", "show cli sockets", "user;show cli sockets"),
    *("user;show startup-logs", "user;show cli level", "show cli level"),
    *("expert-mode", "expert-mode on", "expert-mode on;expert-mode;experimental-mode"),
    *("experimental-mode on;experimental-mode off;experimental-mode", "operator;expert-mode"),
    *("user;experimental-mode on", "prompt;expert-mode on;expert-mode;quit"),
    *("set severity-output", "set severity-output loud", "user;set severity-output number"),
    "set severity-output number;set severity-output string;show cli level;get weight be/nope",
    "set severity-output number;show env HAPROXY_NOPE;show errors nope;expert-mode;show cli level",
    "set severity-output number;operator;disable server be/s1;set severity-output none;get weight x",
    "set severity-output string;get weight be/s1;set weight be/s1 1000;set weight be/s1 10",
    "set severity-output string;set server be/s3 addr 127.0.0.2;set server be/s3 addr 127.0.0.2",
    "set severity-output number;set server be/s3 addr x;set server be/s3 state bla",
    "set severity-output number;enable health be/s3;enable agent be/s3;set timeout cli",
    "set server be/s3 addr 127.0.0.2 port 9;set server be/s3 addr 127.0.0.2 port 10",
    "set server be/s3 addr 127.0.0.3 port 10",
    *("set timeout", "set timeout cli", "set timeout cli x", "set timeout cli 0"),
    *("set timeout cli 5s", "set timeout cli 500ms", "set timeout client 5s"),
    *("user;show fd", "user;show libs", "user;add server help"),
    *("get var proc.x", "get var", "get var sess.x", "user;get var proc.x"),
)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, OneProgram]]:
    folder = tmp_path_factory.mktemp("small")
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(one_program(command(), folder / name, CONFIGURATION, {}))
            for name, command in PROGRAMS.items()
        }


def plain(made: OneProgram, text: str) -> str:
    """Without what differs from run to run."""
    text = text.replace(str(made.folder), "<folder>")
    return re.sub(r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d\.\d{3}\]", "[<moment>]", text)


@pytest.mark.parametrize("orders", EQUAL)
def test_orders_are_answered_in_the_same_text(programs: dict[str, OneProgram], orders: str) -> None:
    theirs, ours = (plain(made, made.ask(orders)) for made in programs.values())
    assert ours == theirs


@pytest.mark.parametrize(
    "words",
    ["", "up", "no-maint", "-1 4 -1 up", "#3 -1 -1", "be 2 -1 no-maint", "li -1 -1", "be 4 2",
     "domain proxy up", "bla", "nope -1 -1"],
)  # fmt: skip
def test_filters_of_show_stat_choose_the_same_rows(
    programs: dict[str, OneProgram], words: str
) -> None:
    theirs, ours = (
        [
            [cells[0], cells[1], cells[17]] if len(cells := line.split(",")) > 20 else cells[:1]
            for line in made.ask(f"show stat {words}").splitlines()
        ]
        for made in programs.values()
    )
    assert ours == theirs


def test_desc_and_float_change_the_same_lines(programs: dict[str, OneProgram]) -> None:
    def shape(text: str) -> dict[str, str]:
        """Type of each value that both have, and whether there is a description."""
        lines = (line.split(":", 4) for line in text.splitlines() if line)
        return {parts[0]: parts[2] + "+" * (':"' in ":".join(parts[3:])) for parts in lines}

    for command in ("show info typed desc float", "show stat typed desc", "show info typed float"):
        theirs, ours = (shape(made.ask(command)) for made in programs.values())
        both = theirs.keys() & ours.keys()
        assert len(both) > 30
        assert {key: ours[key] for key in both} == {key: theirs[key] for key in both}
    ours_text = programs["millrace"].ask("show info float")
    assert re.search(r"^Uptime_sec: \d+\.\d+$", ours_text, re.M)


def test_every_column_that_can_have_a_value_is_described(programs: dict[str, OneProgram]) -> None:
    shown = programs["millrace"].ask("show stat typed desc")
    assert not [line for line in shown.splitlines() if line and not line.endswith('"')]
    assert TEXTS.keys() <= {column.name for column in COLUMNS}


def test_startup_logs_are_the_messages_of_the_files(programs: dict[str, OneProgram]) -> None:
    told = [
        [line for line in made.ask("show startup-logs").splitlines() if "missing timeouts" in line]
        for made in programs.values()
    ]
    strip = [  # HAProxy calls a `listen` section a proxy
        [line.split(" : ", 1)[1].replace("listen", "proxy") for line in lines] for lines in told
    ]
    assert strip[1]
    assert strip[1] == strip[0]


def test_a_silent_client_is_let_go_after_its_own_time(programs: dict[str, OneProgram]) -> None:
    answer = programs["millrace"].ask("prompt;set timeout cli 200ms")  # and then nothing
    assert answer == "\n> \n> "


def test_echo_says_its_words(programs: dict[str, OneProgram]) -> None:
    """Management manual 3.1, section 9.3: `echo`."""
    ask = programs["millrace"].ask
    assert ask("echo now  the\\;rest;echo") == "now the;rest\n\n\n\n"
    assert ask("set severity-output number;echo x") == "\n[6]: x\n\n"


def test_words_that_mean_nothing_are_refused(programs: dict[str, OneProgram]) -> None:
    ask = programs["millrace"].ask
    assert ask("expert-mode maybe") == "'expert-mode' expects 'on' or 'off'.\n\n"
    assert ask("show stat be many -1") == "Integer value expected.\n\n"


def test_activity_counts_what_workers_do(programs: dict[str, OneProgram]) -> None:
    found = []
    for made in programs.values():
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(made.folder / "fe"))
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""  # no server is there
        lines = [line.partition(": ")[::2] for line in made.ask("show activity").splitlines()]
        found.append({name: text for name, text in lines if text})
    theirs, ours = found
    assert ours.keys() <= theirs.keys()
    for name in ("loops", "accepted"):
        total, workers = ours[name].split(" [ ")
        assert int(total) == sum(map(int, workers.removesuffix(" ]").split())) > 0


# -- the schema ---------------------------------------------------------------------------------


def _resolve(schema: Any, root: Any) -> Any:
    while "$ref" in schema:
        found = root
        for name in schema["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        schema = found
    return schema


def conforms(value: Any, schema: Any, root: Any) -> bool:
    """The part of JSON Schema draft 4 that the schema uses."""
    schema = _resolve(schema, root)
    kinds: dict[str, Callable[[Any], bool]] = {
        "object": lambda v: isinstance(v, dict),
        "array": lambda v: isinstance(v, list),
        "string": lambda v: isinstance(v, str),
        "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
        "number": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool),
    }
    if "type" in schema and not kinds[schema["type"]](value):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if isinstance(value, (int, float)) and not (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
    ):
        return False
    if isinstance(value, list) and "items" in schema:
        return all(conforms(item, schema["items"], root) for item in value)
    if isinstance(value, dict) and not (
        all(name in value for name in schema.get("required", ()))
        and all(
            conforms(value[name], part, root)
            for name, part in schema.get("properties", {}).items()
            if name in value
        )
    ):
        return False
    return (
        sum(conforms(value, part, root) for part in schema["oneOf"]) == 1
        if ("oneOf" in schema)
        else True
    )


def test_answers_in_json_conform_to_the_schema(programs: dict[str, OneProgram]) -> None:
    ask = programs["millrace"].ask
    schema = json.loads(ask("show schema json"))
    theirs = json.loads(programs["haproxy"].ask("show schema json"))
    assert schema["$schema"] == theirs["$schema"]
    assert [part["title"] for part in schema["oneOf"]] == [
        part["title"] for part in theirs["oneOf"]
    ]
    assert theirs["definitions"].keys() == schema["definitions"].keys()
    for command in ("show info json", "show info json float", "show stat json"):
        answer = json.loads(ask(command))
        assert conforms(answer, schema, schema), command
        broken = answer[0] if isinstance(answer[0], dict) else answer[0][0]
        broken["value"]["type"] = "u128"
        assert not conforms(answer, schema, schema), command
