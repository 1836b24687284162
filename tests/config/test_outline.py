"""Lines as they were loaded: kept, written again, compared, and shown without secrets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.loader import load
from proxy.config.model.settings import Origin
from proxy.config.outline.kept import LineKeeper
from proxy.config.outline.outcome import ADDED, RENAMED, Fate, RunningOrder, outcome
from proxy.config.outline.reading import lines_now
from proxy.config.outline.secrets import hide, hide_in_text
from proxy.config.outline.sections import sections_of, written
from proxy.config.outline.telling import told_difference
from proxy.config.text.lexer import split_line
from proxy.config.text.messages import Messages
from proxy.config.text.sources import SourceLine
from tests.support.generated import examples

TEXTS = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\0\x0b\x0c"), max_size=12
)


def lines_of(text: str) -> list[SourceLine]:
    """The lines of a text, each with its number."""
    split = ((number, split_line(line, {})) for number, line in enumerate(text.split("\n"), 1))
    return [SourceLine(Origin("f", number), words) for number, words in split if words]


def differences(old: str, new: str) -> list[str]:
    """What differs, with the number of the line."""
    found = outcome(lines_of(old), lines_of(new), ()).differences
    return [f"{each.origin.line} {each.change.value} {each.section}: {each.text}" for each in found]


@settings(max_examples=examples(200))
@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_words_are_written_so_that_they_are_read_again(words: list[str]) -> None:
    assert split_line(written(words), {"x": "y"}) == tuple(words)


@settings(max_examples=examples(50))
@given(st.lists(st.tuples(st.sampled_from("ab"), st.lists(TEXTS, min_size=1)), max_size=8))
def test_what_is_kept_is_what_was_read(rows: list[tuple[str, list[str]]]) -> None:
    lines = [
        SourceLine(Origin(file, number), tuple(words)) for number, (file, words) in enumerate(rows)
    ]
    keeper = LineKeeper()
    for line in lines:
        keeper.add(line)
    kept = keeper.kept(("a", "b"), "/folder")
    assert list(kept.lines()) == lines
    assert (kept.sources, kept.folder) == (("a", "b"), "/folder")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("global\n maxconn 1", "global\n maxconn 1 # more", []),
        ("global\n a 1\nglobal\n b 2", "global\n a 1\n b 2", []),
        ("global\n maxconn 1", "global\n maxconn 2", ["2 ~ global: maxconn: 1 -> 2"]),
        (
            "defaults\n a 1\ndefaults\n a 1",
            "defaults\n a 1\ndefaults\n a 2",
            ["4 ~ defaults #2: a: 1 -> 2"],
        ),
        (
            "backend b from x\n a 1",
            "backend b from y\n a 1",
            ["1 ~ backend b: backend b: from x -> from y"],
        ),
        (
            "listen l\n option tcplog\n option redispatch",
            "listen l\n no option tcplog",
            [
                "2 ~ listen l: option tcplog: (none) -> no option tcplog",
                "3 - listen l: option redispatch",
            ],
        ),
        (
            "listen l\n tcp-request connection a\n tcp-request connection b",
            "listen l\n tcp-request connection b\n tcp-request connection a",
            ["2 order listen l: other order of 'tcp-request' lines"],
        ),
        ("listen l\n timeout client 1s\n mode tcp", "listen l\n mode tcp\n timeout client 1s", []),
        (
            "backend b\n server s 1.1.1.1:1 check inter 2s\n server t 1.1.1.2:1",
            "backend b\n server s 1.1.1.1:2 check inter 3s source 1.1.1.9\n server t 1.1.1.2:1",
            [
                "2 ~ backend b: server s: 1.1.1.1:1 -> 1.1.1.1:2",
                "2 ~ backend b: server s inter: 2s -> 3s",
                "2 ~ backend b: server s source: (none) -> 1.1.1.9",
            ],
        ),
        (
            "backend b\n server s 1.1.1.1:1 check backup",
            "backend b\n server s 1.1.1.1:1 backup check",
            ["2 ~ backend b: server s: 1.1.1.1:1 check backup -> 1.1.1.1:1 backup check"],
        ),
        ("stray 1\nglobal", "global", ["0 - : section (1 line)"]),
        (
            "userlist u\n user a password one",
            "userlist u\n user a password two",
            ["2 ~ userlist u: user a: another secret (password *****)"],
        ),
    ],
)
def test_differences(old: str, new: str, told: list[str]) -> None:
    assert differences(old, new) == told
    assert differences(old, old) == differences(new, new) == []


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("user a password $5$abc groups g", "user a password ***** groups g"),
        ("user a groups g insecure-password x", "user a groups g insecure-password *****"),
        ("stats auth admin:secret", "stats auth admin:*****"),
        ("setenv PASSWORD a", "setenv PASSWORD *****"),
        ("presetenv X y", "presetenv X *****"),
        ("tcp-check send AUTH\\ me", "tcp-check send *****"),
        ("tcp-check send-binary 00ff comment x", "tcp-check send-binary ***** comment x"),
        ("tcp-check expect string OK", "tcp-check expect string OK"),
        ("http-check send meth GET hdr X-Api-Key k hdr Host h", None),
        ("http-check send meth POST body secret", "http-check send meth POST body *****"),
        ("http-request set-header Authorization Basic\\ x", None),
        ("option httpchk GET / HTTP/1.1\\r\\nAuthorization:\\ Basic\\ abc\\r\\nHost:\\ h", None),
        ("server s 1.1.1.1:80 agent-send key:1", "server s 1.1.1.1:80 agent-send *****"),
        (
            "acl a req.hdr(authorization) -i -m str abc secret",
            "acl a req.hdr(authorization) -i -m str ***** *****",
        ),
        (
            "use-server s if { req.cook(token) abc } || { src 1.1.1.1 }",
            "use-server s if { req.cook(token) ***** } || { src 1.1.1.1 }",
        ),
        ("tcp-request content set-var(txn.token) str(abc) if TRUE", None),
        ("set-var proc.token_name str(abc)", "set-var proc.token_name *****"),
        ("acl a req.hdr(host) -m str example", "acl a req.hdr(host) -m str example"),
        ("log http://me:secret@1.1.1.1", "log http://me:*****@1.1.1.1"),
        ("server s 1.1.1.1:80 check weight 10", "server s 1.1.1.1:80 check weight 10"),
    ],
)
def test_secrets_are_hidden(line: str, shown: str | None) -> None:
    words = split_line(line, {})
    found = hide(words)
    assert len(found) == len(words)
    if shown is not None:
        assert found == split_line(shown, {})
    for secret in ("secret", "abc", "Basic", "AUTH", " k"):
        assert secret not in " ".join(found)


def test_secrets_in_a_text_are_hidden() -> None:
    text = "order of uid 0: set server b/s agent-send hush [x]\nparsing 'user a password hush'\n"
    assert "hush" not in hide_in_text(text)
    assert "order of uid 0: set server b/s agent-send ***** [x]" in hide_in_text(text)


FATES = """global
 maxconn {maxconn}
defaults
 default-server weight {inherited}
frontend f
 maxconn 50
backend b
 server s 1.1.1.1:1 weight {weight} {state}
 server-template t 2-4 1.1.1.2:1
"""
BEFORE = {"maxconn": 10, "inherited": 1, "weight": 5, "state": ""}


@pytest.mark.parametrize(
    ("order", "edits", "fate"),
    [
        (("backend b", "weight", "5", "7", "s"), {}, Fate.KEPT),
        (("backend b", "weight", "5", "7", "s"), {"weight": 6}, Fate.FILE),
        (("backend b", "weight", "5", "7", "s"), {"weight": 7}, Fate.SAID),
        (("backend b", "weight", "5", "7", "s"), {"state": "disabled"}, Fate.KEPT),
        (("backend b", "state", "ready", "maint", "s"), {"state": "disabled"}, Fate.FILE),
        (("backend b", "check-addr", "its own", "1.1.1.9", "s"), {"weight": 6}, Fate.KEPT),
        (
            ("backend b", "check-addr", "its own", "1.1.1.9", "s"),
            {"state": "addr 1.1.1.8"},
            Fate.FILE,
        ),
        (
            ("backend b", "check-addr", "its own", "1.1.1.9", "s"),
            {"state": "addr 1.1.1.9"},
            Fate.SAID,
        ),
        (("backend b", "check-port", "its own", "9", "s"), {"state": "addr 1.1.1.8"}, Fate.FILE),
        (("backend b", "weight", "1", "7", "t3"), {}, Fate.KEPT),
        (("backend b", "weight", "1", "7", "t3"), {"inherited": 3}, Fate.FILE),
        (("backend b", "weight", "1", "7", "t5"), {}, Fate.LOST),
        (("backend b", "weight", "1", "7", "t1"), {}, Fate.LOST),
        (("backend gone", "weight", "1", "7", "s"), {}, Fate.LOST),
        (("backend b", ADDED, "", "x 1.1.1.9:1", "x"), {}, Fate.LOST),
        (("backend b", ADDED, "", "t4 1.1.1.2:1", "t4"), {}, Fate.SAID),
        (("backend b", ADDED, "", "t4 1.1.1.9:1", "t4"), {}, Fate.FILE),
        (("backend b", ADDED, "", "s 1.1.1.1:1 weight 7", "s"), {}, Fate.SAID),
        (("backend b", ADDED, "", "s 1.1.1.9:1", "s"), {}, Fate.FILE),
        (("global", "maxconn", "10", "20"), {}, Fate.LOST),
        (("global", "maxconn", "10", "20"), {"maxconn": 20}, Fate.SAID),
        (("frontend f", "state", "OPEN", "PAUSED"), {}, Fate.LOST),
    ],
)
def test_what_a_reload_does_to_an_order(
    order: tuple[str, ...], edits: dict[str, object], fate: Fate
) -> None:
    old = lines_of(FATES.format(**BEFORE))
    new = lines_of(FATES.format(**{**BEFORE, **edits}))
    ordered = RunningOrder(*order)
    assert outcome(old, new, [ordered]).orders == [(ordered, fate)]


NAMED = """defaults
 default-server name a weight 3
backend b
 default-server name a maxconn 2
 default-server name b weight 5
 server s 1.1.1.1:1 from a
 server own 1.1.1.2:1 from a weight 4
"""
CHANGED_ORDER = (
    " default-server name b weight 5\n server s 1.1.1.1:1 from a",
    " server s 1.1.1.1:1 from a\n default-server name b weight 5",
)


@pytest.mark.parametrize(
    ("order", "edits", "fate"),
    [
        (("weight", "3", "9", "s"), [("s 1.1.1.1:1 from a", "s 1.1.1.1:1 from b")], Fate.FILE),
        (("weight", "3", "9", "s"), [("s 1.1.1.1:1 from a", "s 1.1.1.1:1")], Fate.FILE),
        (
            ("weight", "3", "9", "s"),
            [("s 1.1.1.1:1 from a", "s 1.1.1.1:1 from b"), ("b weight 5", "b weight 3")],
            Fate.KEPT,
        ),
        (("weight", "3", "9", "s"), [("a maxconn 2", "a maxconn 8 weight 3")], Fate.KEPT),
        (("weight", "3", "9", "s"), [("a weight 3", "a weight 7")], Fate.FILE),
        (("weight", "3", "9", "s"), [("a weight 3", "a weight 9")], Fate.SAID),
        (("weight", "3", "9", "s"), [("a weight 3", "c weight 3")], Fate.FILE),
        (("weight", "4", "9", "own"), [("a weight 3", "a weight 7")], Fate.KEPT),
        (("weight", "3", "9", "s"), [("default-server name b", "default-server")], Fate.KEPT),
        (("weight", "3", "9", "s"), [CHANGED_ORDER], Fate.KEPT),
        (("state", "ready", "maint", "s"), [("a maxconn 2", "a disabled")], Fate.FILE),
        (("state", "ready", "maint", "s"), [("a maxconn 2", "a disabled enabled")], Fate.KEPT),
        (("check-port", "its own", "9", "s"), [("a maxconn 2", "a port 8")], Fate.FILE),
    ],
)
def test_an_order_about_a_server_with_a_template_holds_as_long_as_that_says_the_same(
    order: tuple[str, ...], edits: list[tuple[str, str]], fate: Fate
) -> None:
    text = NAMED
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    ordered = RunningOrder("backend b", *order)
    assert outcome(lines_of(NAMED), lines_of(text), [ordered]).orders == [(ordered, fate)]


PAIR = """backend b
 server s 1.1.1.1:1 weight 3
 server t 1.1.1.2:1
"""


@pytest.mark.parametrize(
    ("names", "text", "renamed", "weight"),
    [
        (("s", "x"), PAIR, Fate.LOST, Fate.KEPT),  # it goes on by its former name
        (("s", "x"), PAIR.replace("weight 3", "weight 5"), Fate.LOST, Fate.FILE),
        (("s", "x"), PAIR.replace("server s", "server x"), Fate.SAID, Fate.KEPT),
        (("s", "x"), PAIR.replace("s 1.1.1.1", "x 1.1.1.9"), Fate.FILE, Fate.KEPT),
        (("s", "x"), PAIR + " server x 1.1.1.1:1 weight 4\n", Fate.SAID, Fate.FILE),
        (("s", "x"), PAIR + " server x 1.1.1.9:1 weight 4\n", Fate.LOST, Fate.KEPT),
        (("s", "x"), PAIR.replace(" server s", "#server s"), Fate.LOST, Fate.LOST),
        (("s", "t"), PAIR, Fate.LOST, Fate.KEPT),  # where t has its name
    ],
)
def test_an_order_about_a_renamed_server_holds_by_the_name_under_which_it_goes_on(
    names: tuple[str, str], text: str, renamed: Fate, weight: Fate
) -> None:
    former, name = names
    order = RunningOrder("backend b", "weight", "3", "9", name)
    orders = [order, RunningOrder("backend b", RENAMED, former, name, former)]
    if name == "t":
        orders.append(RunningOrder("backend b", RENAMED, "t", "s", "t"))
    found = outcome(lines_of(PAIR), lines_of(text), orders)
    assert [fate for _, fate in found.orders[:2]] == [weight, renamed]
    if weight is not Fate.LOST:
        line = text.splitlines()[found.place(order).line - 1]
        assert line.split()[1] == (name if renamed in (Fate.SAID, Fate.FILE) else former)


@pytest.mark.parametrize(
    ("line", "edits", "fate"),
    [
        ("n 1.1.1.9:1 from a", "from a", Fate.KEPT),
        ("n 1.1.1.9:1 from a", "from b", Fate.FILE),
        ("n 1.1.1.9:1 weight 5", "from b", Fate.KEPT),
        ("n 1.1.1.9:1", "weight 1", Fate.KEPT),
        ("n 1.1.1.9:1 from a", "weight 9", Fate.SAID),
        ("n 1.1.1.9:1", None, Fate.LOST),
    ],
)
def test_an_order_about_an_added_server_holds_where_the_files_say_the_same(
    line: str, edits: str | None, fate: Fate
) -> None:
    text = NAMED if edits is None else NAMED + f" server n 1.1.1.9:1 {edits}\n"
    added = RunningOrder("backend b", ADDED, "", line, "n")
    weight = RunningOrder("backend b", "weight", "3", "9", "n")
    _, found = outcome(lines_of(NAMED), lines_of(text), [added, weight]).orders
    assert found == (weight, fate)


def test_another_order_of_servers_and_their_defaults_is_told() -> None:
    old, new = lines_of(NAMED), lines_of(NAMED.replace(*CHANGED_ORDER))
    told = [each.text for each in outcome(old, new, ()).differences]
    assert told == ["other order of 'server' lines"]


def test_a_template_of_defaults_is_for_sections_that_add_to_it() -> None:
    result = outcome(lines_of(NAMED), lines_of(NAMED.replace("a weight 3", "a weight 7")), ())
    told = [told_difference(result, each) for each in result.differences]
    assert told == ["f:2: defaults: default-server name a: weight 3 -> weight 7; for backend b"]


DEFAULTS = """defaults one
 timeout client 1s
defaults two from one
 mode tcp
frontend f from two
 bind :1
backend b from one
backend c from one
 timeout client 3s
backend d
"""


def test_a_line_of_defaults_names_the_sections_that_it_is_for() -> None:
    old, new = lines_of(DEFAULTS), lines_of(DEFAULTS.replace("client 1s", "client 2s"))
    result = outcome(old, new, ())
    told = "f:2: defaults one: timeout client: 1s -> 2s; for frontend f, backend b, backend d"
    assert [told_difference(result, each) for each in result.differences] == [told]
    more = new + lines_of("backend e\nbackend g")
    result = outcome(old, more, ())
    assert told_difference(result, result.differences[0]).endswith("; for 5 sections")


def test_reading_again_finds_what_a_load_has_kept(tmp_path: Path) -> None:
    file = tmp_path / "a.cfg"
    file.write_text(
        "global\n setenv A 1\n presetenv A 2\n setenv B 3\n unsetenv B\n localpeer here\n"
        'defaults\n mode tcp\n timeout client "${A}s"\n.if defined(B)\n retries 7\n.endif\n'
        'listen l\n description "$HAPROXY_LOCALPEER ${.SECTION} ${C-none}"\n bind 127.0.0.1:1\n'
    )
    environ = {"HAPROXY_LOCALPEER": "host", "PATH": os.environ["PATH"]}
    loaded = load([str(tmp_path)], environ=environ)
    assert loaded.settings is not None, loaded.messages
    again = list(lines_now([str(tmp_path)], dict(environ), Messages()))
    assert list(loaded.kept.lines()) == again
    assert any(line.words == ("description", "here listen none") for line in again)
    text = "".join(
        f"{written(line.words)}\n"
        for section in sections_of(again).values()
        for line in (section.header, *section.lines)
    )
    read_again = (split_line(line, {}) for line in text.splitlines())
    assert list(read_again) == [line.words for line in again]
