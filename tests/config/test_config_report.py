"""How messages look and what `-c` prints and returns."""

from __future__ import annotations

from proxy.config.model.settings import Origin
from proxy.config.report import render, render_tagged, summarize
from proxy.config.text.messages import Message, Severity
from tests.support.config.loading import load_text

ORIGIN = Origin("edge.cfg", 17)
NOTICE = Message(Severity.NOTICE, "n", ORIGIN)
WARNING = Message(Severity.WARNING, "w", ORIGIN)
ALERT = Message(Severity.ALERT, "a")
DIAG = Message(Severity.DIAG, "d")


def test_a_message_is_rendered_as_haproxy_renders_it() -> None:
    text = "unknown keyword 'blance' in 'listen' section; did you mean 'balance' maybe ?"
    assert render(Message(Severity.ALERT, text, ORIGIN), 1234) == (
        f"[ALERT]    (1234) : config : parsing [edge.cfg:17] : {text}"
    )
    assert render(ALERT, 7) == "[ALERT]    (7) : config : a"


def test_process_ids_of_all_severities_start_in_one_column() -> None:
    columns = {render_tagged(severity, 1, "x").index("(") for severity in Severity}
    assert columns == {11}


def test_bytes_that_are_no_text_are_shown_escaped() -> None:
    assert render(Message(Severity.ALERT, "a\udcffb"), 1) == "[ALERT]    (1) : config : a\\udcffb"


def test_a_misspelt_word_is_reported_with_file_line_and_the_word_meant() -> None:
    outcome = load_text("listen x\n    blance roundrobin\n")
    lines = summarize(outcome.messages, check=True, pid=1234).lines
    assert lines[0].endswith(
        "t.cfg:2] : unknown keyword 'blance' in 'listen' section; did you mean 'balance' maybe ?"
    )
    assert lines[0].startswith("[ALERT]    (1234) : config : parsing [")
    assert lines[-1] == "[ALERT]    (1234) : config : Fatal errors found in configuration."


def test_a_valid_file_is_said_to_be_that_unless_quiet() -> None:
    report = summarize([], check=True)
    assert (report.lines, report.exit_status) == (("Configuration file is valid",), 0)
    assert summarize([], check=True, quiet=True).lines == ()
    assert summarize([], check=False).lines == ()


def test_warnings_are_counted_at_the_end_and_fatal_on_request() -> None:
    report = summarize([NOTICE, WARNING], check=True, pid=1)
    assert report.lines[2:] == ("Warnings were found.", "Configuration file is valid")
    assert report.exit_status == 0
    fatal = summarize([WARNING], check=True, warnings_fatal=True, pid=1)
    assert fatal.exit_status == 1
    assert "zero-warning" in fatal.lines[-1]
    assert summarize([NOTICE], warnings_fatal=True).exit_status == 0


def test_errors_end_with_status_1() -> None:
    assert summarize([ALERT]).exit_status == 1
    assert summarize([ALERT], has_listener=False).exit_status == 1


def test_nothing_that_listens_is_status_2_as_in_haproxy() -> None:
    assert summarize([], check=True, has_listener=False).exit_status == 2


def test_quiet_leaves_errors_and_diagnosis_needs_a_flag() -> None:
    everything = [NOTICE, WARNING, DIAG, ALERT]
    assert len(summarize(everything, quiet=True).lines) == 2
    assert len(summarize(everything).lines) == 4
    assert len(summarize(everything, diagnose=True).lines) == 5
    assert summarize([WARNING], check=True, quiet=True).lines == ()
