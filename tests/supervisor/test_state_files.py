"""Reading state files at a start: which are read, what is said of them, what `last` makes of it."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from proxy.config.model.settings import Check, Global, InitAddr, Origin, Proxy, Server, Settings
from proxy.config.text.messages import Severity
from proxy.server_table import Configured, ServerTable
from proxy.supervisor import state_files
from proxy.supervisor.fill import fill_restored, fill_segment, shape_of
from proxy.supervisor.initial import InitialAddress, decide, names_wanted
from proxy.supervisor.restore import Restored
from proxy.supervisor.state_files import (
    backends_by_file,
    close_state_files,
    open_state_files,
    read_regular,
    read_state,
)
from resolverd.config import Family, ResolutionSettings, ResolvedServer, ResolverdSettings
from resolverd.state_file import writer
from resolverd.state_file.format import HEADER, StateRow, render
from resolverd.state_file.writer import FileInFolder
from shm.files import PORTION_BYTES
from shm.names import NameReader
from shm.segment import Segment
from shm.slots import SlotTableReader
from shm.states import AdminFlag, Cause, Operational, SlotFlag

LAST, LIBC, NONE = InitAddr.LAST, InitAddr.LIBC, InitAddr.NONE
LABEL = "_web._tcp.app.test"
NOW = 7_000


def server(slot: int, host: str, *methods: str, backend: int = 0, **more: object) -> Server:
    named = {"srv_record": host} if host.startswith("_") else {"fqdn": host}
    base = Server(
        slot=slot,
        backend_index=backend,
        id=slot + 1,
        name=f"s{slot}",
        host=host,
        port=80,
        origin=Origin("edge.cfg", 5 + slot),
        init_addr=methods or (LAST, NONE),
        resolution_index=0,
        **named,
    )
    return msgspec.structs.replace(base, **more)


def table(*servers: Server, path: Path | None = None) -> ServerTable:
    return configured(*servers, path=path).servers


def configured(*servers: Server, path: Path | None = None) -> Configured:
    proxy = Proxy(
        "be",
        1,
        "backend",
        Origin(),
        backend_index=0,
        servers=servers,
        server_state_file=None if path is None else str(path),
    )
    resolved = tuple(ResolvedServer(each.slot, 0, "be", each.name, 80, 1) for each in servers)
    resolution = ResolutionSettings(0, "r1", "app.test", Family.IPV4, resolved)
    return Configured.of(Settings(Global(), (proxy,), ResolverdSettings(resolutions=(resolution,))))


def write(path: Path, *rows: StateRow) -> None:
    path.write_text(HEADER + "".join(render(row, 5) for row in rows))


def row(name: str, address: str | None, **more: object) -> StateRow:
    base = StateRow(1, "be", 1, name, address, fqdn="app.test", port=8_080)
    return msgspec.structs.replace(base, **more)


def test_rows_are_found_by_backend_and_server(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write(path, row("s1", "10.0.0.1"), row("s9", "10.0.0.9"), row("s0", "10.0.0.2", backend="x"))
    rows, messages = read_state(table(server(0, "a.test"), server(1, "a.test"), path=path))
    assert {slot: each.address for slot, each in rows.items()} == {1: "10.0.0.1"}
    assert messages == ()


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "224.0.0.1"])
def test_an_address_that_no_server_can_have_is_ignored_and_told(
    tmp_path: Path, address: str
) -> None:
    path = tmp_path / "state"
    write(path, row("s0", address), row("s1", address), row("s2", "10.0.0.1"), row("s3", address))
    given = server(3, "a.test", fqdn=None, address=address)
    servers = [server(slot, "a.test") for slot in range(3)]
    rows, (message,) = read_state(table(*servers, given, path=path))
    assert {slot: each.address for slot, each in rows.items() if slot < 3} == {
        0: None,
        1: None,
        2: "10.0.0.1",
    }
    assert message.severity is Severity.WARNING
    assert message.text.endswith(
        f": no server can be there: 'be/s0' at {address} and 1 more; ignored."
    )


def test_a_missing_or_empty_file_is_a_notice(tmp_path: Path) -> None:
    path = tmp_path / "state"
    wanted = table(server(0, "a.test"), path=path)
    rows, (message,) = read_state(wanted)
    assert rows == {}
    assert message.severity is Severity.NOTICE
    assert str(path) in message.text
    assert "No such file" in message.text
    path.write_text("")
    assert [said.severity for said in read_state(wanted)[1]] == [Severity.NOTICE]


def test_a_file_that_makes_no_sense_is_one_warning_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text(HEADER + render(row("s0", "10.0.0.1"), 1) + "half a line\n")
    rows, (message,) = read_state(table(server(0, "a.test"), path=path))
    assert rows == {}
    assert message.severity is Severity.WARNING
    assert f"[{path}:4]" in message.text


@pytest.mark.parametrize("kind", ["fifo", "folder"])
def test_what_is_no_file_neither_blocks_nor_ends_the_start(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "state"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    rows, (message,) = read_state(table(server(0, "a.test"), path=path))
    assert rows == {}
    assert message.severity is Severity.NOTICE


def peak_bytes(read: Callable[[], bytes]) -> int:
    """The memory that is taken meanwhile."""
    tracemalloc.start()
    try:
        read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_short_file_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write(path, row("s1", "10.0.0.1"))
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        assert peak_bytes(lambda: read_regular(str(path))) < 2 * PORTION_BYTES
        assert peak_bytes(lambda: writer.read(FileInFolder(folder, "state"))) < 2 * PORTION_BYTES
    finally:
        os.close(folder)


def test_a_file_is_read_to_its_end_or_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state"
    content = os.urandom(2 * PORTION_BYTES + 5)
    path.write_bytes(content)
    assert read_regular(str(path)) == content
    for limit in (PORTION_BYTES - 1, PORTION_BYTES, 2 * PORTION_BYTES + 3):
        monkeypatch.setattr(state_files, "FILE_BYTES_MAX", limit)
        assert read_regular(str(path)) == content[: limit + 1]


def test_a_reload_reads_only_for_servers_that_are_new(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text("damaged")
    wanted = table(server(0, "a.test"), path=path)
    assert read_state(wanted, known={0}) == ({}, ())
    assert len(read_state(wanted)[1]) == 1


def test_nothing_is_read_or_kept_for_backends_that_load_nothing(tmp_path: Path) -> None:
    wanted = table(server(0, "a.test"))
    assert read_state(wanted) == ({}, ())
    assert backends_by_file(wanted) == {}
    assert open_state_files(wanted) == ()


def test_a_link_leads_to_the_file_that_is_kept(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real" / "state")
    (tmp_path / "real").mkdir()
    files = open_state_files(table(server(0, "a.test"), path=tmp_path / "link"))
    assert files[0].path == str(tmp_path / "real" / "state")
    assert files[0].folder is not None
    assert Path(f"/proc/self/fd/{files[0].folder}").resolve() == tmp_path / "real"
    close_state_files(files)


def one(restored: Restored, *methods: str, libc: str | None = None) -> InitialAddress:
    host = LABEL if restored.target else "app.test"
    wanted = table(server(0, host, *methods))
    names = {} if libc is None else {"app.test": libc}
    return decide(wanted, names, (), {0: restored}, ignore_failures=True).addresses[0]


def test_last_takes_the_address_and_port_of_the_file() -> None:
    found = one(Restored(0, "10.0.0.1", 8_080), LAST, NONE)
    assert found == InitialAddress(0, "10.0.0.1", 8_080, Cause.STATE_FILE)


def test_the_order_of_the_methods_decides() -> None:
    restored = Restored(0, "10.0.0.1", 8_080)
    assert one(restored, NONE).address is None
    assert one(restored, LIBC, LAST, libc="10.0.0.7").cause is Cause.LIBC
    assert one(restored, LIBC, LAST).cause is Cause.STATE_FILE
    assert one(restored, LAST, LIBC, libc="10.0.0.7").cause is Cause.STATE_FILE
    assert one(Restored(0), LAST, LIBC, libc="10.0.0.7").cause is Cause.LIBC


def test_libc_is_not_asked_for_what_the_file_knows() -> None:
    wanted = table(server(0, "app.test", LAST, LIBC), server(1, "b.test", LIBC, LAST))
    last = {slot: Restored(slot, "10.0.0.1", 80) for slot in (0, 1)}
    assert names_wanted(wanted, (), last) == {"b.test"}
    assert names_wanted(wanted, ()) == {"app.test", "b.test"}


def test_a_slot_of_an_srv_record_starts_where_the_record_pointed() -> None:
    restored = Restored(0, "10.0.0.1", 8_080, "h1.test", slot_weight=3)
    found = one(restored, LAST, NONE)
    assert (found.port, found.weight, found.target) == (8_080, 3, "h1.test")
    assert found.flags == SlotFlag.FQDN_CHANGED
    waiting = one(msgspec.structs.replace(restored, address=None), LAST, NONE)
    assert (waiting.address, waiting.port, waiting.target) == (None, 8_080, "h1.test")
    assert waiting.flags == SlotFlag.FQDN_CHANGED | SlotFlag.RMAINT


def test_the_segment_begins_with_all_that_the_file_says() -> None:
    check = Check(rise=2, fall=3)
    wanted = configured(server(0, LABEL, check=check), server(1, "app.test", check=check))
    restored = (
        Restored(
            *(0, "10.0.0.1", 8_080, "h1.test"),
            slot_weight=3,
            health=0,
            check_status=8,
            admin_flags=AdminFlag.FDRAIN,
        ),
        Restored(1, "10.0.0.2", 80, order="other.test", admin_weight=7, health=4, check_status=6),
    )
    last = {each.slot: each for each in restored}
    segment = Segment.create(shape_of(wanted, 1, 1))
    fill_segment(segment, wanted, decide(wanted.servers, {}, (), last).addresses, (), NOW)
    fill_restored(segment, restored, NOW)
    reader, names = SlotTableReader(segment), NameReader(segment)
    assert reader.slot(0)[3:8] == ("10.0.0.1", 8_080, 3, 0x40, Cause.STATE_FILE)
    assert (names.target(0).name, names.order(1).name) == ("h1.test", "other.test")
    down, up = reader.server(0), reader.server(1)
    assert (down.operational, down.drain, down.weight) == (Operational.STOPPED, True, 3)
    assert (up.operational, up.eligible, up.weight) == (Operational.RUNNING, True, 7)
    segment.close()
