"""Writes what is made of the table: `python -m proxy.flags deploy` (make manual)."""

from __future__ import annotations

import sys
from pathlib import Path

from proxy.flags.completion import BASH, ZSH
from proxy.flags.manual import MANUAL

MADE = {
    "man/millrace.1": MANUAL,
    "completion/millrace.bash": BASH,
    "completion/_millrace": ZSH,
}


def main(folder: str) -> None:
    """Write each file below the folder; raises OSError."""
    for name, text in MADE.items():
        (Path(folder) / name).write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
