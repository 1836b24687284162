"""Server state files: HAProxy's format, version 1, from text to rows and back. Pure.

Owns the format (management manual 9.3, `show servers state`): a line `1`, a comment with the names
of the columns, then one line for each server. Knows no file, no segment, and no rule for a row
whose server is configured otherwise now.

A file is read whole or not at all: one malformed line may be the sign of a file that was truncated
or half edited, and half of a state is worse than none. An address to which no connection is
possible (`-`, the path of a socket) reads as None.
"""

from __future__ import annotations

import ipaddress

import msgspec

VERSION = "1"
COLUMNS = (
    "be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "
    "srv_time_since_last_change srv_check_status srv_check_result srv_check_health "
    "srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord "
    "srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port"
)
HEADER = f"{VERSION}\n# {COLUMNS}\n"
NOTHING = "-"
FIELDS_MIN = 20  # the oldest version 1 ends with the label of the SRV record
FIELDS_MAX = 25
LINE_BYTES_MAX = 2_000  # HAProxy's limit
FILE_BYTES_MAX = 64 << 20  # 100,000 servers with the longest names
NUMBER_DIGITS_MAX = 18  # more than any of HAProxy's numbers has

OPERATIONAL_MAX = 3
ADMIN_MASK = 0x7F
WEIGHT_MAX = 256
PORT_MAX = 65_535


class StateFileError(ValueError):
    """A malformed state file; `line` counts from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


class StateRow(msgspec.Struct, frozen=True):
    """One server's line in a state file without its age; the numbers are HAProxy's."""

    backend_id: int
    backend: str
    server_id: int
    server: str
    address: str | None = None
    operational: int = 2
    admin: int = 0
    weight: int = 1
    configured_weight: int = 1
    check_status: int = 0
    check_result: int = 0
    check_health: int = 0
    check_state: int = 0
    agent_state: int = 0
    backend_id_given: int = 0
    server_id_given: int = 0
    fqdn: str | None = None  # the host name that is resolved for it
    port: int = 0
    service: str | None = None  # the label of the SRV record that feeds it
    ssl: int = 0
    check_port: int = 0
    check_address: str | None = None
    agent_address: str | None = None
    agent_port: int = 0


def render(row: StateRow, age_s: int) -> str:
    """One line; `age_s` is the time since the server's state last changed, seconds."""
    fields = (
        *(row.backend_id, row.backend, row.server_id, row.server, row.address or NOTHING),
        *(row.operational, row.admin, row.weight, row.configured_weight, age_s),
        *(row.check_status, row.check_result, row.check_health, row.check_state, row.agent_state),
        *(row.backend_id_given, row.server_id_given, row.fqdn or NOTHING, row.port),
        *(row.service or NOTHING, row.ssl, row.check_port, row.check_address or NOTHING),
        *(row.agent_address or NOTHING, row.agent_port),
    )
    return " ".join(map(str, fields)) + "\n"


def parse(content: bytes) -> dict[tuple[str, str], StateRow]:
    """The rows by the names of backend and server; of two for one server the first counts.

    Raises StateFileError for a file with a malformed line. An empty file has no rows.
    """
    rows: dict[tuple[str, str], StateRow] = {}
    if not content:
        return rows
    if len(content) > FILE_BYTES_MAX:
        raise StateFileError(1, f"larger than {FILE_BYTES_MAX} bytes")
    lines = content.split(b"\n")
    if lines.pop() != b"":
        raise StateFileError(len(lines) + 1, "the last line is not complete")
    if lines[0].strip() != VERSION.encode():
        raise StateFileError(1, "not a server state file of version 1")
    for number, line in enumerate(lines[1:], 2):
        if line[:1] == b"#" or not line.strip():
            continue
        try:
            row = _parse_line(line)
        except ValueError as error:
            raise StateFileError(number, str(error)) from error
        rows.setdefault((row.backend, row.server), row)
    return rows


def _parse_line(line: bytes) -> StateRow:
    if len(line) > LINE_BYTES_MAX:
        raise ValueError(f"longer than {LINE_BYTES_MAX} bytes")
    try:
        fields = line.decode("ascii").split()
    except UnicodeDecodeError:
        raise ValueError("not ASCII") from None
    if not FIELDS_MIN <= len(fields) <= FIELDS_MAX:
        raise ValueError(f"{len(fields)} fields instead of {FIELDS_MIN} to {FIELDS_MAX}")
    fields += [NOTHING] * (FIELDS_MAX - len(fields))
    named = dict(zip(COLUMNS.split(), fields, strict=True))
    _number(named, "srv_time_since_last_change")  # only checked
    return StateRow(
        backend_id=_number(named, "be_id"),
        backend=named["be_name"],
        server_id=_number(named, "srv_id"),
        server=named["srv_name"],
        address=_address(named["srv_addr"]),
        operational=_number(named, "srv_op_state", OPERATIONAL_MAX),
        admin=_number(named, "srv_admin_state", ADMIN_MASK),
        weight=_number(named, "srv_uweight", WEIGHT_MAX),
        configured_weight=_number(named, "srv_iweight", WEIGHT_MAX),
        check_status=_number(named, "srv_check_status"),
        check_result=_number(named, "srv_check_result"),
        check_health=_number(named, "srv_check_health"),
        check_state=_number(named, "srv_check_state"),
        agent_state=_number(named, "srv_agent_state"),
        backend_id_given=_number(named, "bk_f_forced_id"),
        server_id_given=_number(named, "srv_f_forced_id"),
        fqdn=_text(named["srv_fqdn"]),
        port=_number(named, "srv_port", PORT_MAX),
        service=_text(named["srvrecord"]),
        ssl=_number(named, "srv_use_ssl"),
        check_port=_number(named, "srv_check_port", PORT_MAX),
        check_address=_address(named["srv_check_addr"]),
        agent_address=_address(named["srv_agent_addr"]),
        agent_port=_number(named, "srv_agent_port", PORT_MAX),
    )


def _number(fields: dict[str, str], name: str, largest: int = 10**NUMBER_DIGITS_MAX) -> int:
    """A number up to `largest`; `-`, or a field that older files lack, reads as 0."""
    text = fields[name]
    if text == NOTHING:
        return 0
    if not text.isdecimal() or len(text) > NUMBER_DIGITS_MAX or int(text) > largest:
        raise ValueError(f"{name} cannot be '{text}'")
    return int(text)


def _address(text: str) -> str | None:
    try:
        return None if "%" in text else str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _text(text: str) -> str | None:
    return None if text == NOTHING else text
