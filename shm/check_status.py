"""HAProxy's check statuses: the numbers in health records, and what each says.

Owns the one table of them: number, short name (the member's), description, layer, result. Knows
neither how a check is made nor what its result does to a server.
"""

from __future__ import annotations

import enum
import os

LAYER_CONNECT = 4
CODES = 1 << 16  # that a record has room for
KILLED_CODE = CODES - 1  # in a record: of a program that a signal ended, -1 for HAProxy


class CheckResult(enum.IntEnum):
    """HAProxy's srv_check_result."""

    UNKNOWN = 0
    NEUTRAL = 1
    FAILED = 2
    PASSED = 3
    CONDITIONAL = 4  # passed, for the sessions that the server has already


class CheckStatus(enum.IntEnum):
    """HAProxy's srv_check_status; the numbers that it shows as UNK itself (2, 14) are not here.

    `layer` is 0 where the status speaks of none.
    """

    description: str
    layer: int
    result: CheckResult

    UNK = 0, "Unknown", 0, CheckResult.UNKNOWN
    INI = 1, "Initializing", 0, CheckResult.UNKNOWN
    CHECKED = 3, "No status change", 0, CheckResult.NEUTRAL
    HANA = 4, "Health analyze", 0, CheckResult.FAILED  # sessions could not connect
    SOCKERR = 5, "Socket error", 0, CheckResult.FAILED
    L4OK = 6, "Layer4 check passed", 4, CheckResult.PASSED
    L4TOUT = 7, "Layer4 timeout", 4, CheckResult.FAILED
    L4CON = 8, "Layer4 connection problem", 4, CheckResult.FAILED
    L6OK = 9, "Layer6 check passed", 6, CheckResult.PASSED
    L6TOUT = 10, "Layer6 timeout", 6, CheckResult.FAILED
    L6RSP = 11, "Layer6 invalid response", 6, CheckResult.FAILED
    L7TOUT = 12, "Layer7 timeout", 7, CheckResult.FAILED
    L7RSP = 13, "Layer7 invalid response", 7, CheckResult.FAILED
    L7OK = 15, "Layer7 check passed", 7, CheckResult.PASSED
    L7OKC = 16, "Layer7 check conditionally passed", 7, CheckResult.CONDITIONAL
    L7STS = 17, "Layer7 wrong status", 7, CheckResult.FAILED
    PROCERR = 18, "External check error", 0, CheckResult.FAILED
    PROCTOUT = 19, "External check timeout", 0, CheckResult.FAILED
    PROCOK = 20, "External check passed", 0, CheckResult.PASSED

    def __new__(cls, number: int, description: str, layer: int, result: CheckResult) -> CheckStatus:
        """One row of the table."""
        status = int.__new__(cls, number)
        status._value_ = number
        status.description = description
        status.layer = layer
        status.result = result
        return status

    @classmethod
    def of(cls, number: int) -> CheckStatus:
        """The status of a record; UNK, as HAProxy shows it, for a number that is none."""
        return BY_NUMBER.get(number, UNK)

    @property
    def coded(self) -> bool:
        """Whether it comes with a code of the server's protocol, 0 among them."""
        return self >= FIRST_CODED

    def shown_code(self, code: int) -> int:
        """The code of a record as log lines have it: one of a protocol has a sign."""
        return code - CODES if self.coded and code >= CODES // 2 else code

    @property
    def failed(self) -> bool:
        """Whether a check that ends like this counts against the server."""
        return self.result is CheckResult.FAILED

    def cause(self, code: int) -> str:
        """The kernel's reason, an errno, where no connection came about; empty for none."""
        connects = self.layer <= LAYER_CONNECT and not self.coded
        return os.strerror(code) if code and connects else ""


# A member of an enumeration is looked up more slowly than it is compared.
UNK, FIRST_CODED = CheckStatus.UNK, int(CheckStatus.L7OK)
BY_NUMBER = {int(status): status for status in CheckStatus}
TIMEOUTS = frozenset(  # a check that ends like this took all of its time
    int(status)
    for status in (CheckStatus.L4TOUT, CheckStatus.L6TOUT, CheckStatus.L7TOUT, CheckStatus.PROCTOUT)
)


def escaped(text: str) -> str:
    """Text of a server for a line of the log: no byte of it ends a field, a line or a colour.

    What was not UTF-8 is a surrogate of it (PEP 383).
    """
    return "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"<>' else f"<{byte:02X}>"
        for byte in text.encode(errors="surrogateescape")
    )
