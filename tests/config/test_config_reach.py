"""Warnings about rules that never act: each is true, and none is given where a client may differ."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from proxy.config.loader import load
from proxy.config.text.messages import Severity
from tests.support.common import PATIENCE_SECONDS, require_program
from tests.support.config.loading import load_text, said

HEAD = """defaults
  mode tcp
  timeout client 1s
  timeout server 1s
  timeout connect 1s
listen l
  bind 127.0.0.1:7001
  server s 127.0.0.1:1
"""
FIRST = HEAD.count("\n") + 1
TAIL = "backend b\n  server s 127.0.0.1:1\nbackend c\n  server s 127.0.0.1:1\n"
NOOP = "previous '{}' action is final and has no condition attached, further entries are NOOP."
ACCEPT, REJECT = "tcp-request content accept", "tcp-request content reject"


def warned(*lines: str) -> dict[int, list[str]]:
    """What these lines of a section are warned of, by their number from 0."""
    found: dict[int, list[str]] = {}
    text = HEAD + "".join(f"  {line}\n" for line in lines) + TAIL
    outcome = load_text(text)
    assert outcome.settings is not None, outcome.messages
    for line, what in said(outcome, Severity.WARNING):
        found.setdefault(line - FIRST, []).append(re.sub(r"/\S*t\.cfg", "t.cfg", what))
    return found


@pytest.mark.parametrize("family", ["tcp-request connection", "tcp-request session"])
@pytest.mark.parametrize("action", ["accept", "reject", "silent-drop"])
def test_no_rule_acts_behind_one_that_always_decides(family: str, action: str) -> None:
    lines = (f"{family} {action}", f"{family} reject if {{ src 127.0.0.1 }}", f"{family} accept")
    assert warned(*lines) == {1: [NOOP.format(family)], 2: [NOOP.format(family)]}


def test_each_ruleset_ends_by_itself() -> None:
    assert not warned(
        "tcp-request connection expect-proxy layer4",
        "tcp-request connection accept",
        "tcp-request session accept",
        f"{ACCEPT} if {{ src 127.0.0.1 }}",
        ACCEPT,
        "tcp-response content close",
    )
    behind = "tcp-response content reject if { res.len 3 }"
    assert warned("tcp-response content close", behind) == {
        1: [NOOP.format("tcp-response content")]
    }
    later = "use_backend c if { src 127.0.0.1 }"
    for first in ((later, "use_backend b"), ("use_backend b",)):
        found = warned(*first, later)
        assert found.pop(len(first)) == [NOOP.format("use_backend")]


def test_the_same_rule_twice() -> None:
    lines = (
        f"{REJECT} if {{ src 127.0.0.9 }}",
        f"{ACCEPT} if here",
        f"{REJECT} if {{ src 127.0.0.9 }}",
    )
    same = "this 'tcp-request content' rule never acts: it is the same as the one at t.cfg:10"
    assert warned("acl here src 127.0.0.1", *lines) == {3: [same]}


@pytest.mark.parametrize(
    "lines",
    [
        (f"{REJECT} if {{ src 127.0.0.9 }}", f"{REJECT} unless {{ src 127.0.0.9 }}"),
        (f"{REJECT} if {{ src 127.0.0.9 }}", f"{ACCEPT} if {{ src 127.0.0.9 }}"),
        ("tcp-request session reject if { src 127.0.0.9 }", f"{REJECT} if {{ src 127.0.0.9 }}"),
        ("use_backend b if { src 127.0.0.1 }", "use_backend c if { src 127.0.0.1 }"),
        (f"{REJECT} if {{ be_conn(b) gt 3 }}", f"{REJECT} if {{ be_conn(b) gt 3 }}"),
        (f"{REJECT} if {{ nbsrv(b) 1 }}", f"{REJECT} if {{ nbsrv(c) 1 }}"),
        (
            "stick-table type ip size 9 store gpc0",
            f"{REJECT} if {{ src,table_gpc0(l) gt 3 }}",
            "tcp-request content track-sc0 src",
            f"{REJECT} if {{ src,table_gpc0(l) gt 3 }}",
        ),
    ],
)
def test_rules_that_only_look_alike(lines: tuple[str, ...]) -> None:
    assert not warned(*lines)


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        *(("if TRUE", True), ("if FALSE", False), ("unless FALSE", True), ("unless TRUE", False)),
        *(("if !TRUE", False), ("if { src 127.0.0.1 } or TRUE", True)),
        *(("if { src 127.0.0.1 } FALSE", False), ("if { src 127.0.0.1 } TRUE", None)),
        *(("if { always_false -m found }", None), ("if { src 0.0.0.0/0 }", None)),
        *(("if { src 127.0.0.1 } or !{ src 127.0.0.1 }", None), ("if WAIT_END", None)),
        ("if FALSE or { src 127.0.0.1 }", None),
    ],
)
def test_conditions_of_constants(condition: str, told: bool | None) -> None:
    always = "the condition of this 'tcp-request content' rule always holds: it can be left out"
    never = "this 'tcp-request content' rule never acts: its condition never holds"
    behind = NOOP.format("tcp-request content").replace(
        "no condition attached", "a condition that always holds"
    )
    found = warned(f"{REJECT} {condition}", f"{ACCEPT} if {{ src 127.0.0.5 }}")
    wanted = {None: {}, True: {0: [always], 1: [behind]}, False: {0: [never]}}
    assert found == wanted[told]


def test_lists_without_a_use() -> None:
    found = warned(
        "acl used src 127.0.0.1",
        "acl negated src 127.0.0.2",
        "acl unused src 127.0.0.3",
        "acl unused src 127.0.0.4",
        "acl ignored src 127.0.0.5",
        f"{REJECT} if used or {{ src 127.0.0.9 }} !!!negated",
        "redirect location / if ignored",
        "use_backend b unless { src 127.0.0.1 } used",
    )
    found.pop(6)  # it needs mode http
    assert found == {2: ["acl 'unused' of listen 'l' is never used"]}


def test_haproxy_warns_of_the_same_rules_for_http(tmp_path: Path) -> None:
    actions = ("allow", "deny", "auth", "redirect location /", "return status 200", "tarpit")
    rest = ("set-header a b", "deny if TRUE", "set-nice 1", "silent-drop", "reject")
    lines = [f"  http-request {action}\n  http-request deny if TRUE\n" for action in actions + rest]
    path = tmp_path / "t.cfg"
    path.write_text(HEAD + "".join(lines) + "  redirect location /\n  http-request deny\n")
    command = (require_program("haproxy"), "-c", "-f", str(path))
    told = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    theirs = re.findall(r":(\d+)\] ?: (previous .*NOOP\.)", told.stderr)
    ours = [
        (str(message.origin.line if message.origin else 0), message.text)
        for message in load([str(path)], environ={}).messages
        if message.text.startswith("previous")
    ]
    assert theirs
    assert ours == theirs
