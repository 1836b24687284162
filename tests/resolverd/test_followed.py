"""Rows of nameservers that come and go with resolv.conf, and reading it through links (M15)."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from resolverd.config import Followed, LinkedFile, Nameserver, ResolversSection
from resolverd.resolv_conf.file import ResolvConf
from resolverd.resolv_conf.inotify import FolderWatch
from resolverd.resolv_conf.linked_file import LINKS_MAX, OPEN_FOLDER, LinkedFileReader, find_folders
from resolverd.resolv_conf.nameserver_rows import follow, in_use
from shm.states import NameState
from tests.support.common import own_descriptors

FIXED = Nameserver("ns1", "127.0.0.1", index=0)
SECTION = ResolversSection("r1", (FIXED,), search=("own.test",), followed=Followed("/x", 1, rows=4))


class Rows:
    """The names in a segment, without one."""

    def __init__(self) -> None:
        self.states = {row: NameState("", 0) for row in range(1, 5)}
        self.now_ms = 0

    def nameserver(self, nameserver: int) -> NameState:
        return self.states[nameserver]

    def take(self, section: ResolversSection) -> None:
        """Note the names of a section as the follower does."""
        self.now_ms += 1
        names = {each.index: each.name for each in section.nameservers}
        for row, state in self.states.items():
            if names.get(row, "") != state.name:
                self.states[row] = NameState(names.get(row, ""), self.now_ms)


def test_a_nameserver_that_stays_keeps_its_row_and_a_new_one_takes_the_longest_free() -> None:
    rows, section = Rows(), SECTION
    seen: list[dict[str, int]] = []
    for names in (("a", "b"), ("b", "c"), ("b", "d"), ("e", "b")):
        section = follow(section, ResolvConf(names), rows.states)
        rows.take(section)
        assert section.nameservers[0] is FIXED
        seen.append({each.name: each.index for each in section.nameservers[1:]})
    assert seen == [{"a": 1, "b": 2}, {"b": 2, "c": 3}, {"b": 2, "d": 4}, {"b": 2, "e": 1}]
    assert {each.name for each in in_use(section, rows)} == {"ns1", "b", "e"}


def test_all_rows_can_change_at_once_and_the_first_ones_count() -> None:
    rows = Rows()
    section = follow(SECTION, ResolvConf(tuple("abcdef")), rows.states)
    rows.take(section)
    assert [each.name for each in section.nameservers] == ["ns1", *"abcd"]
    section = follow(section, ResolvConf(tuple("wxyz")), rows.states)
    assert {each.name for each in section.nameservers} == {"ns1", *"wxyz"}
    assert len({each.index for each in section.nameservers}) == 5


def test_a_nameserver_of_the_section_is_not_taken_twice() -> None:
    section = follow(SECTION, ResolvConf(("ns1", "a")), Rows().states)
    assert [each.name for each in section.nameservers] == ["ns1", "a"]


def test_own_lines_of_the_list_stay() -> None:
    found = ResolvConf(("a",), ("file.test",), 5)
    section = follow(SECTION, found, Rows().states)
    assert (section.search, section.ndots) == (("file.test",), 5)
    own = msgspec.structs.replace(SECTION, followed=Followed("/x", 1, 4, search=False, ndots=False))
    section = follow(own, found, Rows().states)
    assert (section.search, section.ndots) == (("own.test",), 1)


def test_any_history_of_files_keeps_rows_and_names_apart() -> None:
    for seed in range(300):
        dice, rows, section = random.Random(seed), Rows(), SECTION
        for _ in range(20):
            names = tuple(dice.sample("abcdefgh", dice.randint(1, 6)))
            before = {each.name: each.index for each in section.nameservers}
            section = follow(section, ResolvConf(names), rows.states)
            rows.take(section)
            now = {each.name: each.index for each in section.nameservers[1:]}
            assert set(now) == set(names[:4]), f"seed {seed}"
            assert len(set(now.values())) == len(now), f"seed {seed}"
            assert all(before[each] == now[each] for each in before.keys() & now.keys())
            assert set(in_use(section, rows)) == set(section.nameservers), f"seed {seed}"


@contextmanager
def reader_of(path: Path, *, confined: bool = False) -> Iterator[LinkedFileReader]:
    folders = find_folders(str(path))
    try:
        yield LinkedFileReader(LinkedFile(str(path), folders, confined))
    finally:
        for _, folder in folders:
            os.close(folder)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with two others, each with a file of its name."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    return tmp_path


def test_a_file_is_read_again_after_it_was_renamed_over(place: Path) -> None:
    with reader_of(place / "one" / "file", confined=True) as reader:
        assert reader.read(100) == b"one"
        (place / "one" / "new").write_text("other")
        (place / "one" / "new").rename(place / "one" / "file")
        assert reader.read(100) == b"other"
        assert reader.read(2) == b"ot"


@pytest.mark.parametrize("absolute", [True, False])
def test_links_are_followed_to_the_end(place: Path, absolute: bool) -> None:
    (place / "link").symlink_to(place / "one/next" if absolute else "one/next")
    (place / "one" / "next").symlink_to("../two/file")
    with reader_of(place / "link", confined=True) as reader:
        assert reader.read(100) == b"two"
        assert list(reader.passed) == [str(place), str(place / "one"), str(place / "two")]
        (place / "two" / "new").write_text("newer")
        (place / "two" / "new").rename(place / "two" / "file")
        assert reader.read(100) == b"newer"


def test_a_link_that_points_elsewhere_is_followed_unless_confined(place: Path) -> None:
    link = place / "link"
    link.symlink_to("one/file")
    with reader_of(link) as free, reader_of(link, confined=True) as confined:
        assert (free.read(9), confined.read(9)) == (b"one", b"one")
        link.unlink()
        link.symlink_to("two/file")
        assert free.read(9) == b"two"
        with pytest.raises(OSError, match="outside of the chroot"):
            confined.read(9)
        opened = own_descriptors()
        link.unlink()
        link.symlink_to("one/file")
        assert (free.read(9), confined.read(9)) == (b"one", b"one")
        assert own_descriptors() == opened - 1  # the folder that was left


def test_a_folder_that_is_a_link_itself_or_is_made_again_is_followed(place: Path) -> None:
    (place / "now").symlink_to("one")
    (place / "link").symlink_to("now/file")
    opened = own_descriptors()
    with reader_of(place / "link") as reader:
        for _ in range(3):  # as the kubelet does with `..data`
            for name in ("one", "two"):
                (place / "next").symlink_to(name)
                (place / "next").rename(place / "now")
                assert reader.read(9) == name.encode()
        assert own_descriptors() == opened + 3  # two given, one since
        (place / "two").rename(place / "former")
        assert reader.read(9) == b"two"  # nothing else is there
        (place / "two").mkdir()
        (place / "two" / "file").write_text("again")
        assert reader.read(9) == b"again"


def test_a_folder_in_the_place_of_the_file_costs_no_descriptor(place: Path) -> None:
    (place / "file").mkdir()
    with reader_of(place / "file") as reader:
        opened = own_descriptors()
        for _ in range(3):
            with pytest.raises(IsADirectoryError):
                reader.read(9)
        assert own_descriptors() == opened


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_folders_are_watched_though_the_working_folder_is_closed_to_the_user(
    tmp_path: Path,
) -> None:
    closed, watched = tmp_path / "closed", tmp_path / "watched"
    closed.mkdir(mode=0o700)
    watched.mkdir(mode=0o755)
    folder = os.open(watched, OPEN_FOLDER)
    child = os.fork()
    if child == 0:  # as a program that root starts there, and that has a `user`
        os.chdir(closed)
        os.setuid(65_534)
        watch = FolderWatch()
        try:
            watch.watch({folder})
        finally:
            os._exit(0 if watch._watches else 1)
    os.close(folder)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_what_is_not_there_and_circles_are_errors(place: Path) -> None:
    with reader_of(place / "one" / "gone") as reader:
        with pytest.raises(FileNotFoundError):
            reader.read(9)
        assert list(reader.passed) == [str(place / "one")]
        (place / "one" / "gone").symlink_to("gone")
        with pytest.raises(OSError, match="symbolic links") as caught:
            reader.read(9)
        assert caught.value.errno == errno.ELOOP


def test_the_longest_chain_of_links(place: Path) -> None:
    (place / "0").write_text("end")
    for number in range(LINKS_MAX):
        (place / str(number + 1)).symlink_to(str(number))
    with reader_of(place / str(LINKS_MAX - 1)) as reader:
        assert reader.read(9) == b"end"
    with reader_of(place / str(LINKS_MAX)) as reader, pytest.raises(OSError, match="links"):
        reader.read(9)
