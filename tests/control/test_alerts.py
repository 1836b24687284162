"""The alert rules: when they fire and when not, told by promtool; each has its paragraph."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.common import require_program

ROOT = Path(__file__).parent.parent.parent
RULES, CASES = (ROOT / "deploy" / "prometheus" / name for name in ("alerts.yml", "alerts_test.yml"))
ALERTS = re.findall(r"- alert: (\w+)", RULES.read_text())


def test_promtool_finds_each_rule_right() -> None:
    done = subprocess.run(
        [require_program("promtool"), "test", "rules", CASES.name],
        cwd=CASES.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_fires_in_a_case_and_has_a_paragraph(alert: str) -> None:
    fires = rf"alertname: {alert}\n +exp_alerts:\n +- exp_labels"
    assert re.search(fires, CASES.read_text()), "no case lets it fire"
    assert f"runbook: docs/alerts.md#{alert.lower()}\n" in RULES.read_text()
    assert f"\n## {alert}\n" in (ROOT / "docs" / "alerts.md").read_text()


@pytest.mark.parametrize(
    "alert", ["BackendWithoutServers", "ServersLiveOnAHold", "MillraceDown", "ReloadFailed"]
)
def test_what_must_wake_nobody_is_a_case_too(alert: str) -> None:
    assert re.search(rf"alertname: {alert}\n +exp_alerts: \[\]", CASES.read_text())
