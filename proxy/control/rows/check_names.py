"""HAProxy's check statuses: number, short name, description (management manual 9.1)."""

from __future__ import annotations

import os

CHECK_NAMES = (
    ("UNK", "Unknown"),
    ("INI", "Initializing"),
    ("START", "Check started"),
    ("CHECKED", "No status change"),
    ("HANA", "Health analyze"),
    ("SOCKERR", "Socket error"),
    ("L4OK", "Layer4 check passed"),
    ("L4TOUT", "Layer4 timeout"),
    ("L4CON", "Layer4 connection problem"),
    ("L6OK", "Layer6 check passed"),
    ("L6TOUT", "Layer6 timeout"),
    ("L6RSP", "Layer6 invalid response"),
    ("L7TOUT", "Layer7 timeout"),
    ("L7RSP", "Layer7 invalid response"),
    ("L57DATA", "Layer5-7 data"),
    ("L7OK", "Layer7 check passed"),
    ("L7OKC", "Layer7 check conditionally passed"),
    ("L7STS", "Layer7 wrong status"),
    ("PROCERR", "External check error"),
    ("PROCTOUT", "External check timeout"),
    ("PROCOK", "External check passed"),
)
IN_PROGRESS = 1  # bit of the check state
REPORTED = (4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18, 19, 20)  # states of the metrics


def status_name(status: int) -> str:
    """The short name, `UNK` for a number that is none."""
    return CHECK_NAMES[status][0] if status < len(CHECK_NAMES) else CHECK_NAMES[0][0]


def status_description(status: int) -> str:
    """The description beside it."""
    return CHECK_NAMES[status][1] if status < len(CHECK_NAMES) else CHECK_NAMES[0][1]


def cause(code: int) -> str:
    """What the kernel said when the connect failed; empty for nothing."""
    return os.strerror(code) if code else ""
