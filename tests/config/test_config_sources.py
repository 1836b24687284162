"""Files, folders, `.if` blocks and messages that files give."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.loader import load
from proxy.config.text.messages import Messages, Severity
from proxy.config.text.sources import expand_sources, read_lines
from tests.support.config.loading import load_text, only_alert, said


def lines_of(text: str, tmp_path: Path, environment: dict[str, str] | None = None) -> list[str]:
    path = tmp_path / "x.cfg"
    path.write_text(text)
    messages = Messages()
    found = [" ".join(line.words) for line in read_lines(str(path), environment or {}, messages)]
    assert not messages.failed, messages.all()
    return found


def test_a_folder_stands_for_its_cfg_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.cfg", "a.cfg", "B.cfg", ".hidden.cfg", "readme.txt", "ä.cfg"):
        (tmp_path / name).write_text("")
    (tmp_path / "folder.cfg").mkdir()
    messages = Messages()
    found = expand_sources(["first", str(tmp_path), "last"], messages)
    assert [Path(file).name for file in found] == [
        *("first", "B.cfg", "a.cfg", "b.cfg", "ä.cfg", "last"),
    ]
    assert messages.all() == ()


def test_files_are_read_in_order_and_defaults_reach_the_next_file(tmp_path: Path) -> None:
    (tmp_path / "1.cfg").write_text("defaults\n timeout client 7s\n")
    (tmp_path / "2.cfg").write_text("frontend f\n bind 127.0.0.1:1\n")
    outcome = load([str(tmp_path)], environ={})
    assert outcome.settings is not None
    assert outcome.settings.proxies[0].timeouts.client_ms == 7_000


def test_a_section_ends_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "1.cfg").write_text("global\n")
    (tmp_path / "2.cfg").write_text("daemon\n")
    assert said(load([str(tmp_path)], environ={})) == [
        (1, "unknown keyword 'daemon' out of section")
    ]


def test_a_file_that_is_not_there_is_an_alert_and_the_others_are_read(tmp_path: Path) -> None:
    (tmp_path / "2.cfg").write_text("foo\n")
    outcome = load([str(tmp_path / "1.cfg"), str(tmp_path / "2.cfg")], environ={})
    texts = [text for _, text in said(outcome)]
    assert "cannot open configuration file" in texts[0]
    assert texts[1] == "unknown keyword 'foo' out of section"


def test_a_last_line_without_line_end_is_taken_for_a_cut_file() -> None:
    assert only_alert("global\n    daemon") == (
        2,
        "last line has no line end: is the file cut off?",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (".if 1\na\n.else\nb\n.endif\nc\n", ["a", "c"]),
        (".if 0\na\n.else\nb\n.endif\n", ["b"]),
        (".if 0\na\n.elif 1\nb\n.elif 1\nc\n.else\nd\n.endif\n", ["b"]),
        (".if 0\n.if 1\na\n.else\nb\n.endif\n.else\nc\n.endif\n", ["c"]),
        (".if 1\n.if 0\na\n.else\nb\n.endif\n.endif\n", ["b"]),
        (".if 0\n.if nonsense(\n.endif\n.endif\na\n", ["a"]),
        ('.if streq("$NAME",value)\na\n.endif\n', ["a"]),
        ('.if streq("$NAME", value)\na\n.endif\nb\n', ["b"]),
        ('.if 0\n"unclosed\n.endif\na\n', ["a"]),
        ('"$NOSUCH" a\nb\n', ["b"]),
        ('x "${.LINE}"\n\ny "${.LINE}"\n', ["x 1", "y 3"]),
    ],
)
def test_only_the_taken_branch_is_read(text: str, expected: list[str], tmp_path: Path) -> None:
    assert lines_of(text, tmp_path, {"NAME": "value"}) == expected


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        (".if 1\n", 1, "without '.endif'"),
        ("\n.endif\n", 2, "'.endif' without '.if'"),
        (".else\n", 1, "'.else' without '.if'"),
        (".elif 1\n", 1, "'.elif' without '.if'"),
        (".if 0\n.else\n.elif 1\n.endif\n", 3, "after '.else'"),
        (".if 0\n.else\n.else\n.endif\n", 3, "after '.else'"),
        (".if 1\n.endif x\n", 2, "takes no argument"),
        (".if foo(1)\nfoo\n.endif\n", 1, "unknown predicate"),
        (".foo\n", 1, "unknown keyword '.foo'"),
        (".alert 'stop here'\n", 1, "'stop here'"),
    ],
)
def test_wrong_blocks_are_named(text: str, line: int, complaint: str) -> None:
    outcome = load_text(text)
    assert [found for found, words in said(outcome) if complaint in words] == [line]


def test_a_file_can_speak_with_four_severities() -> None:
    text = ".notice 'a b'\n.warning b\n.diag c\n.if 0\n.alert d\n.endif\n"
    outcome = load_text(text)
    assert [(message.severity, message.text) for message in outcome.messages] == [
        (Severity.NOTICE, "'a b'"),
        (Severity.WARNING, "'b'"),
        (Severity.DIAG, "'c'"),
    ]


def test_blocks_may_be_nested_to_a_limit_only() -> None:
    nested = ".if 1\n" * 1_024 + ".endif\n" * 1_024
    assert said(load_text(nested)) == []
    line, text = said(load_text(".if 1\n" * 1_025 + ".endif\n" * 1_025))[0]
    assert (line, "more than 1024" in text) == (1_025, True)


def test_what_setenv_sets_is_seen_by_the_lines_after_it_and_by_nobody_else() -> None:
    environ = {"A": "1", "KEEP": "k"}
    text = (
        "global\n setenv B 2\n presetenv A 9\n presetenv C 3\n unsetenv KEEP\n"
        ' description "$A$B$C${KEEP-gone}"\n resetenv A\n node "x$A${B-reset}"\n'
    )
    outcome = load_text(text, environ=environ)
    assert outcome.settings is not None
    assert outcome.settings.globals.description == "123gone"
    assert outcome.settings.globals.node == "x1reset"
    assert environ == {"A": "1", "KEEP": "k"}
