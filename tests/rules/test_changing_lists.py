"""Lists that change: look-ups find what a walk finds, and see what was before, or what is after."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.model.matching import Matcher
from proxy.lists.changing.images import ListFullError
from proxy.lists.pack import Packer
from shm.segment import Segment
from shm.shape import Shape
from tests.support.config.changing import NOTHING, ChangingMap, Row, wanted
from tests.support.generated import examples, sample
from tests.support.trace import SteppedChild, pause

LOOKS_MIN = 100  # of a reader beside a writer
STEPS_MAX = 5_000_000  # of a change, with a sanitizer, too
TEXTS = (Matcher.STR, Matcher.BEG, Matcher.END, Matcher.SUB)
OLD, NEW = b"old", b"new"


@pytest.fixture(scope="module")
def segment() -> Segment:
    return Segment.create(
        Shape(slots=1, backends=1, frontends=1, workers=1, sockets=1, nameservers=0, resolutions=0)
    )


class Model:
    """A changing map beside a list of its rows."""

    def __init__(self, segment: Segment, matchers: tuple[Matcher, ...], keys: list[bytes]) -> None:
        lines = [b"%s v%d" % (key, number) for number, key in enumerate(keys)]
        self.map = ChangingMap(segment, matchers, lines)
        self.rows = [Row(n, key, b"v%d" % n, 0) for n, key in enumerate(keys)]
        self.next = len(keys)
        self.version = self.prepared = 0

    def change(self, what: str, key: bytes, version: int) -> None:
        editor = self.map.editor
        order, value = self.next, b"w%d" % self.next
        if what == "add":
            self.map.add(key, value, version)
            self.rows.append(Row(order, key, value, version))
            self.next += 1
        elif what == "remove":
            gone = [row for row in self.rows if row.key == key]
            assert editor.remove(key) == len(gone)
            self.rows = [row for row in self.rows if row.key != key]
        elif what == "remove one" and self.rows:
            gone = [self.rows[version % len(self.rows)]]
            shown = editor.rows(gone[0].version).page(0, 1 << 30)
            same = [row for row in self.rows if row.version == gone[0].version]
            assert editor.remove(b"", shown[same.index(gone[0])][0]) == 1
            self.rows.remove(gone[0])
        elif what == "give":
            changed = [row._replace(value=value) if row.key == key else row for row in self.rows]
            assert editor.give(key, value) == sum(row.key == key for row in self.rows)
            self.rows = changed
        elif what == "prepare":
            self.prepared += 1
            assert editor.prepare() == self.prepared
        elif what == "commit":
            there = self.version < version <= self.prepared
            assert editor.commit(version) == there
            if there:
                self.version = version
                self.rows = [row for row in self.rows if row.version >= version]
        elif what == "clear":
            editor.clear(version)
            self.rows = [row for row in self.rows if row.version != version]

    def check(self, texts: list[bytes]) -> None:
        lookups = self.map.lookups()
        there = [row for row in self.rows if row.version == self.version]
        for number, matcher in enumerate(self.map.matchers):
            for text in texts:
                value = wanted(there, matcher, text)
                assert lookups.value(number, text) == value, (matcher, text, there)
                assert lookups.holds(number, text) == (value != NOTHING), (matcher, text)
        for version in range(self.prepared + 1):
            shown = self.map.editor.rows(version).page(0, 1 << 30)
            there = [row for row in self.rows if row.version == version]
            assert [each[1:] for each in shown] == [(row.key, row.value) for row in there]
            assert shown == sorted(set(shown))
        assert self.map.editor.patterns == len(self.rows)


CHANGES = st.tuples(
    st.sampled_from(
        ("add", "add", "add", "remove", "remove one", "give", "prepare", "commit", "clear")
    ),
    st.integers(0, 7),
    st.integers(0, 3),
    st.sampled_from(("publish", "publish", "publish", "publish", "die", "succeed")),
)
KEYS = {
    TEXTS: (b"a", b"ab", b"b", b"ba", b"aba", b"c", b"abab", b"bb"),
    (Matcher.IP,): (
        *(b"10.0.0.0/8", b"10.1.0.0/16", b"10.1.0.0/24", b"10.1.0.1", b"0.0.0.0/0"),
        *(b"10.1.0.0/25", b"9.0.0.0/8", b"10.1.0.1/32"),
    ),
    (Matcher.INT,): (b"1", b"1:5", b"3:4", b"0:100", b"5", b"7:8", b"4", b"2:9"),
}
ASKED = {
    TEXTS: [b"a", b"ab", b"abab", b"xabx", b"bb", b"z", b"ba"],
    (Matcher.IP,): [b"10.1.0.1", b"10.1.0.77", b"10.2.3.4", b"9.9.9.9", b"11.1.1.1"],
    (Matcher.INT,): [b"1", b"3", b"5", b"8", b"99", b"101"],
}


@pytest.mark.parametrize("matchers", KEYS, ids=lambda each: each[0].value)
@settings(max_examples=examples(60))
@given(
    first=st.lists(st.integers(0, 7), max_size=5),
    changes=st.lists(CHANGES, max_size=25),
)
def test_look_ups_find_what_a_walk_finds_after_any_changes(
    segment: Segment,
    matchers: tuple[Matcher, ...],
    first: list[int],
    changes: list[tuple[str, int, int, str]],
) -> None:
    keys = KEYS[matchers]
    model = Model(segment, matchers, [keys[number] for number in first])
    model.map.editor.publish()
    for what, key, number, ending in changes:
        before = (list(model.rows), model.next, model.version, model.prepared)
        version = min(number, model.prepared) if what == "add" else number
        model.change(what, keys[key], version)
        if ending == "die" and what != "prepare":  # a number that was given is not given again
            model.rows, model.next, model.version, model.prepared = before
            model.map.editor = model.map.successor()
        else:
            model.map.editor.publish()
        if ending == "succeed":
            model.map.editor = model.map.successor()
        model.map.area.look(0)
        model.check(ASKED[matchers])


@contextmanager
def pairs(segment: Segment) -> Iterator[ChangingMap]:
    """A map in which two keys have the same value, whatever its changes."""
    made = ChangingMap(segment, (Matcher.STR, Matcher.BEG), [b"one old", b"two old"])
    made.editor.publish()
    yield made


def replaced(made: ChangingMap) -> None:
    """In a child: give both keys another value by a new version, pausing before it is made."""
    pause()
    made.add(b"one", NEW, 1)
    made.add(b"two", NEW, 1)
    made.editor.commit(1)
    made.editor.publish()


def given_anew(made: ChangingMap) -> None:
    pause()
    made.editor.give(b"one", NEW)
    made.editor.publish()


WORKS: dict[str, Callable[[ChangingMap], None]] = {"commit": replaced, "give": given_anew}


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKS)
def test_a_look_up_sees_old_or_new_after_every_instruction_of_a_writer(
    segment: Segment, name: str
) -> None:
    with pairs(segment) as made:
        made.editor.prepare()
        made.editor.publish()
        lookups, seen, looks = made.lookups(), [OLD], 0
        with SteppedChild(lambda: WORKS[name](made)) as child:
            while child.step():
                looks += 1
                value = lookups.value(0, b"one")
                assert value in (OLD, NEW)
                if value != seen[-1]:
                    seen.append(value)
                    assert lookups.value(1, b"one") == value
        assert seen == [OLD, NEW]
        assert looks > 500


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKS)
def test_a_successor_takes_over_what_was_in_force_wherever_a_writer_died(
    segment: Segment, name: str, seed: int
) -> None:
    chance = random.Random(seed)
    with pairs(segment) as made:
        made.editor.prepare()
        made.editor.publish()
        with SteppedChild(lambda: WORKS[name](made)) as child:
            steps = child.count_steps(STEPS_MAX)
            child.kill()
    outcomes = set()
    deaths = chance.sample(range(1, steps), sample(8, 600))
    for death in (*sorted(deaths), STEPS_MAX):  # at last none
        with pairs(segment) as made:
            made.editor.prepare()
            made.editor.publish()
            with SteppedChild(lambda made=made: WORKS[name](made)) as child:
                child.step(death)
                child.kill()
            made.editor = made.successor()
            value = made.lookups().value(0, b"one")
            assert value in (OLD, NEW), death
            outcomes.add(value)
            made.editor.remove(b"two")
            made.add(b"three", b"3", made.editor.version)
            made.editor.publish()
            found = [made.lookups().value(way, b"three") for way in (0, 1)]
            assert found == [b"3", b"3"], death
            assert made.lookups().value(0, b"two") == NOTHING, death
            assert made.lookups().value(1, b"one") == value, death
    assert outcomes == {OLD, NEW}


@pytest.mark.slow
def test_readers_never_meet_a_mixture_while_a_writer_changes_the_list(
    segment: Segment, seed: int
) -> None:
    chance = random.Random(seed)
    made = ChangingMap(segment, (Matcher.STR, Matcher.SUB), [b"k old"])
    made.editor.publish()
    stop, told = os.pipe()
    looked, looks = os.pipe()
    reader = os.fork()
    if reader == 0:
        os.close(told)
        os._exit(_read_until(made, stop, looks))
    os.close(looks)
    made.area.join(0)
    for number in range(sample(3_000, 30_000)):
        version = made.editor.version
        made.add(b"filler%d" % chance.randrange(500), b"x", version)
        if number % 3 == 0:
            made.editor.give(b"k", chance.choice((OLD, NEW)))
        if number % 7 == 0:
            made.editor.remove(b"filler%d" % chance.randrange(500))
        made.editor.publish()
        if number % 50 == 0:
            made.editor.clear(made.editor.prepare())
            made.editor.publish()
        if number % 500 == 499:
            fresh = made.editor.prepare()
            made.add(b"k", chance.choice((OLD, NEW)), fresh)
            made.editor.commit(fresh)
            made.editor.publish()
    os.read(looked, 1)  # on a busy machine the writer is done before the reader has looked
    os.close(told)
    os.close(looked)
    _, status = os.waitpid(reader, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def _read_until(made: ChangingMap, stop: int, told: int) -> int:
    """In a child: look up until the pipe is closed; 0: each time there was a value."""
    os.set_blocking(stop, False)
    made.area.join(0)
    lookups, looks = made.lookups(), 0
    while True:
        for way in (0, 1):
            if lookups.value(way, b"k") not in (OLD, NEW):
                return 1
            if not lookups.holds(way, b"k"):
                return 2
        made.area.look(0)
        looks += 1
        if looks == LOOKS_MIN:
            os.write(told, b".")
        try:
            if os.read(stop, 1) == b"":
                return 0
        except BlockingIOError:
            continue


def _clear_often(made: ChangingMap) -> None:
    for number in range(1_000):
        made.editor.clear(number + 1)
        made.editor.publish()


def test_a_reader_that_is_stopped_keeps_what_it_may_look_at(segment: Segment) -> None:
    made = ChangingMap(segment, (Matcher.STR,), [b"k old"])
    made.editor.publish()
    made.area.join(0)
    with pytest.raises(ListFullError, match="a worker may still look"):
        _clear_often(made)
    made.area.look(0)
    for number in range(1_000):
        made.editor.clear(number + 1)
        made.editor.publish()
        made.area.look(0)
    assert made.lookups().value(0, b"k") == OLD


def _fill(made: ChangingMap) -> None:
    for number in range(1_000_000):
        made.add(b"key%d" % number, b"v" * 1_000, 0)
        made.editor.publish()
        made.area.look(0)


def test_a_list_that_is_full_says_so_and_stays_as_it_was(segment: Segment) -> None:
    made = ChangingMap(segment, (Matcher.STR,))
    made.editor.publish()
    with pytest.raises(ListFullError, match=r"no room for \d+ bytes"):
        _fill(made)
    added = made.editor.patterns
    assert added > 1_000
    assert len(made.editor.rows(0)) == added
    lookups = made.lookups()
    assert lookups.value(0, b"key%d" % (added - 1)) == b"v" * 1_000
    assert lookups.value(0, b"key%d" % added) == NOTHING
    made.editor.remove(b"key0")
    made.editor.publish()
    assert lookups.value(0, b"key0") == NOTHING


def test_a_list_of_many_is_loaded_and_grows(segment: Segment) -> None:
    lines = [b"host%d.example.com b%d" % (number, number % 50) for number in range(70_000)]
    made = ChangingMap(segment, (Matcher.STR, Matcher.END), lines, 256 << 20)
    made.editor.publish()
    beats: list[bool] = []
    made.editor.beat = lambda: beats.append(True)
    made.editor.clear(1)
    assert len(beats) == 2, "where the process that changes it would be taken for dead"
    made.add(b"x", b"y", 0)
    made.editor.publish()
    lookups = made.lookups()
    assert lookups.value(0, b"host69999.example.com") == b"b49"
    assert lookups.value(0, b"x") == b"y"
    assert len(made.editor.rows(0)) == 70_001


def test_patterns_without_a_letter_to_find_are_kept(segment: Segment) -> None:
    packer = Packer("dir", gives="str", asked=False, each=True)
    packer.open(b"/ v\na w")
    assert packer.read() is None
    assert len(packer) == 2
