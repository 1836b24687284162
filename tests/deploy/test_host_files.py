"""What a host is set up with: the programs that read these files understand them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.support.common import require_program

DEPLOY = Path(__file__).parents[2] / "deploy"


def told(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_logrotate_understands_its_file(tmp_path: Path) -> None:
    file = tmp_path / "millrace"
    shutil.copyfile(DEPLOY / "logrotate" / "millrace", file)
    file.chmod(0o644)
    result = told(require_program("logrotate"), "--debug", "--state", tmp_path / "state", file)
    assert result.returncode == 0
    assert "rotating pattern: /var/log/millrace/*.log" in result.stderr
    assert "error" not in result.stderr


def test_rsyslog_understands_its_file() -> None:
    result = told(require_program("rsyslogd"), "-N1", "-f", DEPLOY / "rsyslog" / "millrace.conf")
    lines = [
        line
        for line in result.stderr.splitlines()
        if "validation run" not in line and "End of config" not in line
    ]
    assert lines == []
    assert result.returncode == 0


def test_the_kernel_knows_each_setting(tmp_path: Path) -> None:
    """One that is of no network namespace cannot be seen in every one."""
    text = (DEPLOY / "sysctl.d" / "millrace.conf").read_text()
    names = re.findall(r"^([\w.-]+) = [\d ]+$", text, re.MULTILINE)
    said = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(names) == len(said)
    for name in names:
        assert Path("/proc/sys", *name.split(".")).exists(), name


def test_the_limit_is_the_units() -> None:
    unit = (DEPLOY / "systemd" / "millrace.service").read_text()
    (limit,) = re.findall(r"^LimitNOFILE=(\d+)$", unit, re.MULTILINE)
    lines = (DEPLOY / "limits" / "millrace.conf").read_text().splitlines()
    fields = [line.split() for line in lines if not line.startswith("#")]
    assert fields == [["millrace", kind, "nofile", limit] for kind in ("soft", "hard")]


def test_user_and_paths_are_the_same_everywhere() -> None:
    unit = (DEPLOY / "systemd" / "millrace.service").read_text()
    users = (DEPLOY / "systemd" / "millrace.sysusers").read_text()
    script = (DEPLOY / "debian" / "postinst").read_text()
    assert "\nUser=millrace\n" in unit
    assert "\nu millrace " in users
    assert "useradd" in script
    assert "PIDFILE=/run/millrace/millrace.pid" in unit
