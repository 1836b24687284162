"""Writing state files: whole after a kill at any moment, never more often than needed."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import uvloop

from resolverd.config import StateFile
from resolverd.state_file import writer as state_writer
from resolverd.state_file.format import StateRow, parse, render
from resolverd.state_file.writer import (
    PAUSE_MS,
    RETRY_MS,
    ROWS_PER_TURN,
    SWEEP_MS,
    FileInFolder,
    StateWriter,
    replace,
)
from shm.segment import Segment
from shm.shape import Shape
from shm.slots import SlotTableWriter
from shm.states import Cause, StaticFlag, StaticState
from tests.support.dns.state_file import NAMED

NOW = 5_000


class Keeper:
    """A segment with one server, its file, and a writer whose clock the test sets."""

    def __init__(self, path: Path, folder: int | None) -> None:
        self.path = path
        self.segment = Segment.create(Shape(1, 1, 1, 1, 1, nameservers=1, resolutions=1))
        self.slots = SlotTableWriter(self.segment)
        self.slots.lay_backend(0, 0, 1)
        self.slots.place(0, StaticState(0, StaticFlag.RESOLVED, 10, 0, 2, 3, 1))
        self.loop = uvloop.new_event_loop()
        self.said: list[tuple[int, str]] = []
        file = StateFile(str(path), (NAMED,), folder)
        self.writer = StateWriter(
            file, self.segment, lambda *line: self.said.append(line), self.loop
        )

    def publish(self, address: str) -> None:
        self.slots.publish(0, address, 80, cause=Cause.DNS, now_ms=NOW)

    def look(self, at_ms: int) -> None:
        """Look, and let what that began come to its end."""
        self.writer.look(at_ms)

        async def idle() -> None:
            while self.writer.busy:
                await asyncio.sleep(0.001)

        self.loop.run_until_complete(idle())

    def address(self) -> str | None:
        return parse(self.path.read_bytes())["be", "s1"].address

    def close(self) -> None:
        self.writer.close()
        self.loop.close()
        self.segment.close()
        if self.writer.folder is not None:
            os.close(self.writer.folder)


Make = Callable[..., Keeper]


@pytest.fixture
def keep(tmp_path: Path) -> Iterator[Make]:
    made: list[Keeper] = []

    def make(path: Path | None = None, folder: int | None = -1) -> Keeper:
        path = path or tmp_path / "state"
        opened = os.open(path.parent, os.O_RDONLY) if folder == -1 else folder
        made.append(Keeper(path, opened))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_the_file_follows_the_servers_once_a_second(keep: Make) -> None:
    keeper = keep()
    keeper.publish("10.0.0.1")
    keeper.look(10_000)
    assert keeper.address() == "10.0.0.1"
    keeper.publish("10.0.0.2")
    keeper.look(10_000 + PAUSE_MS - 1)
    assert keeper.address() == "10.0.0.1"
    keeper.look(10_000 + PAUSE_MS)
    assert keeper.address() == "10.0.0.2"


def test_nothing_is_written_when_nothing_changed(keep: Make) -> None:
    keeper = keep()
    keeper.publish("10.0.0.1")
    keeper.look(10_000)
    before = keeper.path.stat().st_ino
    keeper.look(10_000 + SWEEP_MS)
    assert keeper.path.stat().st_ino == before
    successor = keep()  # another process, other records, the same state
    successor.publish("10.0.0.1")
    successor.look(10_000)
    assert keeper.path.stat().st_ino == before
    assert [path.name for path in keeper.path.parent.iterdir()] == ["state"]


def test_a_place_that_cannot_be_written_is_one_warning(keep: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    keeper = keep(tmp_path / "file" / "state", None)
    keeper.publish("10.0.0.1")
    for turn in range(4):
        keeper.look(10_000 + turn * RETRY_MS)
    assert keeper.said == [
        (4, f"server state file '{keeper.path}' cannot be written: Not a directory.")
    ]
    (tmp_path / "file").unlink()
    (tmp_path / "file").mkdir()
    keeper.look(10_000 + 5 * RETRY_MS)
    assert keeper.address() == "10.0.0.1"
    assert len(keeper.said) == 2


def test_a_folder_that_was_made_anew_is_found_again(keep: Make, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    keeper = keep(folder / "state")
    folder.rmdir()
    keeper.publish("10.0.0.1")
    keeper.look(10_000)
    assert len(keeper.said) == 1
    folder.mkdir()
    keeper.look(10_000 + RETRY_MS)
    assert keeper.address() == "10.0.0.1"


def test_a_device_or_a_pipe_is_never_replaced(keep: Make, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "state")
    keeper = keep()
    keeper.publish("10.0.0.1")
    keeper.look(10_000)
    assert keeper.path.is_fifo()
    assert keeper.said == [
        (4, f"server state file '{keeper.path}' cannot be written: Not a regular file.")
    ]


def test_what_a_predecessor_left_half_written_is_in_nobodys_way(keep: Make, tmp_path: Path) -> None:
    (tmp_path / ".state.new").write_text("half a li")
    keeper = keep()
    keeper.publish("10.0.0.1")
    keeper.look(10_000)
    assert keeper.address() == "10.0.0.1"
    assert not (tmp_path / ".state.new").exists()


@pytest.mark.slow
def test_many_servers_are_rendered_in_portions_on_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that renders would keep the interpreter from DNS for as long."""
    count = 10 * ROWS_PER_TURN
    segment = Segment.create(Shape(count, 1, 1, 1, 1, nameservers=1, resolutions=1))
    slots = SlotTableWriter(segment)
    slots.lay_backend(0, 0, count)
    for slot in range(count):
        slots.place(slot, StaticState(0, StaticFlag.RESOLVED, 10, 0, 2, 3, 1))
    named = tuple(
        msgspec.structs.replace(NAMED, slot=slot, name=f"s{slot}") for slot in range(count)
    )
    loop = uvloop.new_event_loop()
    path = tmp_path / "state"
    writer = StateWriter(StateFile(str(path), named), segment, lambda *_: None, loop)
    turns, rendered = 0, Counter[int]()

    def counted(row: StateRow, age_s: int) -> str:
        assert threading.current_thread() is threading.main_thread()
        rendered[turns] += 1
        return render(row, age_s)

    async def until_idle() -> None:
        nonlocal turns
        while writer.busy:
            turns += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(state_writer, "render", counted)
    writer.look(NOW)
    loop.run_until_complete(until_idle())
    writer.close()
    loop.close()
    segment.close()
    assert len(parse(path.read_bytes())) == count
    assert sum(rendered.values()) == count
    assert max(rendered.values()) <= ROWS_PER_TURN


@pytest.mark.parametrize("kind", ["link", "hard link", "fifo", "socket", "dangling link"])
def test_what_another_put_beside_the_file_is_neither_written_nor_waited_for(
    tmp_path: Path, kind: str
) -> None:
    """Who may write to the folder shall not choose what is overwritten with resolverd's rights."""
    place = tmp_path / "folder"
    place.mkdir()
    victim, beside = tmp_path / "victim", place / ".state.new"
    if kind != "dangling link":
        victim.write_text("not to be touched\n")
    if kind in ("link", "dangling link"):
        beside.symlink_to(victim)
    elif kind == "hard link":
        beside.hardlink_to(victim)
    elif kind == "fifo":
        os.mkfifo(beside)
    else:
        os.mknod(beside, stat.S_IFSOCK | 0o600)
    folder = os.open(place, os.O_RDONLY)
    try:
        replace(FileInFolder(folder, "state"), b"servers\n")
    finally:
        os.close(folder)
    assert (place / "state").read_bytes() == b"servers\n"
    assert [entry.name for entry in place.iterdir()] == ["state"]
    if kind == "dangling link":
        assert not victim.exists()
    else:
        assert victim.read_text() == "not to be touched\n"
        assert victim.stat().st_nlink == 1


def test_a_writer_killed_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    """Each child writes as fast as it can and is killed; what it leaves is one of its files."""
    path = tmp_path / "state"
    wholes = [bytes([65 + number]) * 300_000 for number in range(4)]
    folder = os.open(tmp_path, os.O_RDONLY)
    replace(FileInFolder(folder, "state"), wholes[0])
    for turn in range(25):
        pid = os.fork()
        if pid == 0:
            while True:
                for whole in wholes:
                    replace(FileInFolder(folder, "state"), whole)
        try:
            deadline = time.monotonic() + 0.01 + turn * 0.0011
            while time.monotonic() < deadline:
                assert path.read_bytes() in wholes, "a reader sees whole files only"
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        assert path.read_bytes() in wholes
    os.close(folder)
