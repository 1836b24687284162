"""The format of state files: rows survive the way through text; damaged files are refused whole."""

from __future__ import annotations

import ipaddress
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolverd.state_file.format import COLUMNS, HEADER, StateFileError, StateRow, parse, render

ROW = StateRow(3, "be", 1, "s1", "10.0.0.1", fqdn="app.test", port=8_080)
OF_HAPROXY = (
    "3 be 1 s1 10.0.0.1 2 64 50 100 86400 6 3 4 6 0 0 0 h1.test 8080 _web._tcp.app.test 0 0 - - 0\n"
)

numbers = st.integers(0, 10**15)
names = st.from_regex(r"[A-Za-z0-9_:.-]{1,40}", fullmatch=True).filter(lambda text: text != "-")
addresses = st.none() | st.ip_addresses().map(
    lambda address: None if "%" in str(address) else str(ipaddress.ip_address(int(address)))
)
ports = st.integers(0, 65_535)
weights = st.integers(0, 256)
rows = st.builds(
    StateRow,
    backend_id=numbers,
    backend=names,
    server_id=numbers,
    server=names,
    address=addresses,
    operational=st.integers(0, 3),
    admin=st.integers(0, 0x7F),
    weight=weights,
    configured_weight=weights,
    check_status=numbers,
    check_result=numbers,
    check_health=numbers,
    check_state=numbers,
    agent_state=numbers,
    backend_id_given=st.integers(0, 1),
    server_id_given=st.integers(0, 1),
    fqdn=st.none() | names,
    port=ports,
    service=st.none() | names,
    ssl=st.integers(0, 1),
    check_port=ports,
    check_address=addresses,
    agent_address=addresses,
    agent_port=ports,
)


def file_of(*lines: str) -> bytes:
    return (HEADER + "".join(lines)).encode()


@given(st.lists(rows, max_size=5, unique_by=lambda row: (row.backend, row.server)), numbers)
def test_rows_survive_the_way_through_text(written: list[StateRow], age_s: int) -> None:
    content = file_of(*(render(row, age_s) for row in written))
    assert list(parse(content).values()) == written


@given(st.binary(max_size=400) | st.text(max_size=200).map(lambda text: f"1\n{text}\n".encode()))
def test_any_bytes_are_rows_or_refused(content: bytes) -> None:
    with suppress(StateFileError):
        assert parse(content) is not None


@given(st.lists(rows, min_size=1, max_size=3), st.data())
def test_a_file_with_other_bytes_in_it_is_rows_or_refused(
    written: list[StateRow], data: st.DataObject
) -> None:
    content = bytearray(file_of(*(render(row, 1) for row in written)))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    with suppress(StateFileError):
        assert parse(bytes(content)) is not None


def test_a_file_cut_off_anywhere_is_refused_or_ends_with_a_whole_line() -> None:
    content = file_of(render(ROW, 1), render(ROW, 1).replace("s1", "s2"))
    for length in range(len(content)):
        part = content[:length]
        if part.endswith(b"\n") or not part:
            assert len(parse(part)) == max(0, part.count(b"\n") - 2)
        else:
            with pytest.raises(StateFileError):
                parse(part)


def test_the_columns_are_those_of_version_1() -> None:
    assert len(COLUMNS.split()) == 25
    assert HEADER.startswith("1\n# be_id be_name srv_id srv_name srv_addr ")
    row = parse(file_of(OF_HAPROXY))["be", "s1"]
    assert row.address == "10.0.0.1"
    assert (row.fqdn, row.port, row.service) == ("h1.test", 8080, "_web._tcp.app.test")
    assert (row.weight, row.configured_weight, row.admin) == (50, 100, 64)
    assert render(row, 86_400) == OF_HAPROXY


def test_lines_of_older_versions_have_twenty_fields() -> None:
    old = " ".join(OF_HAPROXY.split()[:20]) + "\n"
    assert parse(file_of(old))["be", "s1"] == parse(file_of(OF_HAPROXY))["be", "s1"]


def test_comments_and_empty_lines_say_nothing() -> None:
    assert len(parse(file_of("\n", "  \n", "# be s2\n", OF_HAPROXY, "\n"))) == 1


def test_an_empty_file_has_no_rows() -> None:
    assert parse(b"") == {}
    assert parse(HEADER.encode()) == {}


def test_of_two_lines_for_one_server_the_first_counts() -> None:
    rows = parse(file_of(OF_HAPROXY, OF_HAPROXY.replace("10.0.0.1", "10.0.0.2")))
    assert [row.address for row in rows.values()] == ["10.0.0.1"]


def test_an_address_that_nobody_can_connect_to_is_none() -> None:
    for address in ("-", "/run/app.sock", "fe80::1%eth0"):
        assert parse(file_of(OF_HAPROXY.replace("10.0.0.1", address)))["be", "s1"].address is None


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"\n", 1),
        (b"2\n", 1),
        (b"be s1\n", 1),
        (file_of("3 be 1 s1\n"), 3),
        (file_of(OF_HAPROXY, OF_HAPROXY.strip() + " 0\n"), 4),
        (file_of("# a comment\n", OF_HAPROXY.replace(" 8080 ", " 80800 ")), 4),
        (file_of(OF_HAPROXY.replace(" 50 ", " 257 ")), 3),
        (file_of(OF_HAPROXY.replace(" 2 64 ", " 4 64 ")), 3),
        (file_of(OF_HAPROXY.replace(" 2 64 ", " 2 128 ")), 3),
        (file_of(OF_HAPROXY.replace(" 86400 ", " -1 ")), 3),
        (file_of(OF_HAPROXY.replace("h1.test", "h" * 2_000)), 3),
        (file_of(OF_HAPROXY.replace("h1.test", "hé.test")), 3),
        (file_of(OF_HAPROXY)[:-1], 3),
    ],
)
def test_a_line_that_makes_no_sense_is_named(content: bytes, line: int) -> None:
    with pytest.raises(StateFileError) as caught:
        parse(content)
    assert caught.value.line == line
    assert str(line) in str(caught.value)
