"""`peers` sections: HAProxy's verdict, but where other hosts would get tables."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

import pytest

from proxy.config.loader import load
from proxy.config.report import summarize
from tests.support.common import PATIENCE_SECONDS, require_program
from tests.support.config.loading import only_alert

HEAD = (
    "listen a\n mode tcp\n bind 127.0.0.1:1111\n timeout client 1s\n timeout server 1s\n"
    " timeout connect 1s\n server w 127.0.0.1:80\n"
)
TABLE = " stick-table type ip size 1k peers p\n stick on src\n"
LOCAL = "global\n localpeer here\n"
SAME = {
    "nobody is here": f"peers p\n peer a 127.0.0.1:1\n peer b 127.0.0.1:2\n{HEAD}{TABLE}",
    "here alone": f"{LOCAL}peers p\n peer here 127.0.0.1:1\n{HEAD}{TABLE}",
    "an address of its own": f"{LOCAL}peers p\n bind 127.0.0.1:1\n server here\n{HEAD}{TABLE}",
    "nobody": f"peers p\n{HEAD}{TABLE}",
    "unused": f"{LOCAL}peers p\n peer here 127.0.0.1:1\n peer b 127.0.0.1:2\n{HEAD}",
    "disabled": f"peers p\n disabled\n peer a 127.0.0.1:1\n{HEAD}{TABLE}",
    "enabled again": f"peers p\n disabled\n enabled\n peer a 127.0.0.1:1\n{HEAD}{TABLE}",
    "no section": f"{HEAD}{TABLE}",
    "without a name": f"peers\n{HEAD}",
    "twice": f"peers p\npeers p\n{HEAD}",
    "here twice": f"{LOCAL}peers p\n peer here 127.0.0.1:1\n peer here 127.0.0.1:2\n{HEAD}",
    "another twice": f"peers p\n peer a 127.0.0.1:1\n peer a 127.0.0.1:2\n{HEAD}",
    "a word that is none": f"peers p\n foo\n{HEAD}",
    "named too late": f"peers p\n peer a 127.0.0.1:1\n{LOCAL}{HEAD}",
    "named before": f"{LOCAL}peers p\n peer a 127.0.0.1:1\n{HEAD}",
}


def verdict(texts: list[str], path: Path) -> set[str]:
    """Messages as both programs say them, without places and suggestions."""
    plain = (re.sub(r"^\[.*?\] *\(\d+\) : (config : )?", "", text) for text in texts)
    placeless = (re.sub(rf"^parsing \[{path}:\d+\] ?: ", "", text, flags=re.I) for text in plain)
    return {re.sub(r"; did you mean .*|, did you mean .*", "", text).strip() for text in placeless}


@pytest.mark.parametrize("name", SAME)
def test_a_section_is_judged_as_by_haproxy(name: str, tmp_path: Path) -> None:
    path = tmp_path / "t.cfg"
    path.write_text(SAME[name])
    command = [require_program("haproxy"), "-c", "-f", str(path)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    # where a line is wrong HAProxy looks no further
    wanted = "WARNING|ALERT" if done.returncode == 0 else "ALERT"
    told = [line for line in done.stderr.splitlines() if re.match(rf"\[({wanted})\]", line)]
    theirs = verdict([line for line in told if "found in conf" not in line], path)
    outcome = load([str(path)], environ={"HAPROXY_LOCALPEER": socket.gethostname()})
    status = summarize(outcome.messages, check=True).exit_status
    found = [m.text for m in outcome.messages if m.severity.name in wanted]
    assert (status, verdict(found, path)) == (done.returncode, theirs)


def test_a_table_for_other_hosts_is_refused_where_they_are_named() -> None:
    peers = "peers p\n peer here 127.0.0.1:1\n peer b 127.0.0.1:2\n"
    line, text = only_alert(f"{LOCAL}{peers}{HEAD}{TABLE}")
    assert line == 5
    assert "peer 'b' is another host" in text
