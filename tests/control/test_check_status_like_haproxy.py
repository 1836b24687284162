"""The table of check statuses, asked of Debian's HAProxy: a state file may have any number."""

from __future__ import annotations

import csv
import re
import urllib.request
from pathlib import Path

import pytest

from proxy.control.metrics.servers import CHECKS_REPORTED
from shm.check_status import TIMEOUTS, CheckStatus
from tests.support.common import free_port
from tests.support.control.site import ask, haproxy

NUMBERS = range(max(CheckStatus) + 1)
STATE = (
    "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight"
    " srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health"
    " srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord"
    " srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n"
)
ROW = "9 be {id} s{number} 127.0.0.1 2 0 1 1 5 {number} 3 4 6 0 0 0 - 9 - 0 0 - - 0\n"
CONFIGURATION = """
global
  server-state-file {folder}/state
defaults
  mode tcp
  timeout connect 2s
  timeout client 60s
  timeout server 60s
listen metrics
  mode http
  bind 127.0.0.1:{port}
  http-request use-service prometheus-exporter
backend be
  id 9
  load-server-state-from-file global
  server checked-at-once 127.0.0.1:9 check inter 24h
"""


@pytest.mark.slow
def test_names_descriptions_and_reported_statuses_are_haproxy_s(tmp_path: Path) -> None:
    rows = "".join(ROW.format(id=number + 2, number=number) for number in NUMBERS)
    (tmp_path / "state").write_text(STATE + rows)
    port = free_port()
    servers = "".join(f"  server s{n} 127.0.0.1:9 check inter 24h\n" for n in NUMBERS)
    configuration = CONFIGURATION.format(folder=tmp_path, port=port) + servers
    with haproxy(configuration, tmp_path) as path:
        table = csv.DictReader(ask(path, "show stat").lstrip("# ").splitlines())
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            metrics = answer.read().decode()
    theirs = {r["svname"]: (r["check_status"], r["check_desc"]) for r in table if r["svname"]}
    for number in NUMBERS:
        status = CheckStatus.of(number)
        assert theirs[f"s{number}"] == (status.name, status.description), number
    label = r'haproxy_server_check_status{proxy="be",server="s6",state="(\w+)"}'
    assert re.findall(label, metrics) == [name for _, name in CHECKS_REPORTED]


def test_results_follow_from_names() -> None:
    endings = {"TOUT": True, "CON": True, "RSP": True, "STS": True, "ERR": True, "OK": False}
    for status in CheckStatus:
        ending = next((e for e in endings if status.name.endswith(e)), None)
        if ending is not None and status is not CheckStatus.SOCKERR:
            assert status.failed == endings[ending], status
        assert (status in TIMEOUTS) == status.name.endswith("TOUT")
        layer = status.name[1] if status.name[0] == "L" else "0"
        assert status.layer == int(layer)
        assert f"Layer{status.layer} " in status.description or status.layer == 0


def test_a_code_is_an_errno_only_where_no_connection_came_about() -> None:
    assert CheckStatus.L4CON.cause(111) == "Connection refused"
    assert CheckStatus.SOCKERR.cause(24) == "Too many open files"
    assert (CheckStatus.L7STS.cause(111), CheckStatus.L4TOUT.cause(0)) == ("", "")
