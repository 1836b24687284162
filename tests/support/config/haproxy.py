"""What HAProxy's `-c` says of a configuration."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.support.common import require_program


def normal(text: str) -> str:
    """Without spaces around colons, proposals, or a place."""
    text = re.sub(r"; did you mean.*", "", text)
    text = re.sub(r"^config : (parsing \[[^]]*\] ?: ?)?", "", text)
    return re.sub(r"\s*:\s*", ": ", text).strip().rstrip(".")


def haproxy_says(folder: Path, text: str, severity: str = "ALERT") -> list[str]:
    """Its alerts or warnings, without those that only sum up."""
    path = folder / "t.cfg"
    path.write_text(text)
    ran = subprocess.run(
        [require_program("haproxy"), "-c", "-f", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(rf"\[{severity}\]\s*\(\d+\) : (.*)", ran.stderr)
    return [normal(line) for line in found if "atal errors" not in line and "Error(s)" not in line]
