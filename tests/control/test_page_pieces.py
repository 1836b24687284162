"""The first sentence, pictures and strips: pure functions."""

from __future__ import annotations

import time

import pytest

from proxy.control.page.pictures import (
    HEIGHT,
    WIDTH,
    Curve,
    Frame,
    Mark,
    nice,
    picture,
    spark,
    strip,
    timeline,
)
from proxy.control.situation.sentence import Counts, sentence
from shm.history import POINTS_KEPT, STEP_MS

NOW = time.mktime((2026, 11, 30, 3, 30, 0, 0, 0, -1))
WELL = Counts(31, 0, 120, 0, 0, 7, NOW - 1_140, 0, "", NOW)
NOW_MS = 1_000 * STEP_MS + 17


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (WELL, "All 31 services up; last change: reload 03:11, generation 7"),
        (
            WELL._replace(services_down=2, servers_wrong=9, down_since=NOW - 1_080),
            "2 of 31 services down, since 03:12; last change: reload 03:11, generation 7",
        ),
        (
            WELL._replace(servers_wrong=1, changed=NOW - 60, change="web/a DOWN"),
            "All 31 services up, 1 of 120 servers down; last change: web/a DOWN 03:29",
        ),
        (
            WELL._replace(services=1, generation=1, began=NOW - 86_400, stopping=True),
            "The service is up; last change: start 2026-11-29 03:30, generation 1; "
            "stopping: no new clients",
        ),
        (WELL._replace(changed=NOW - 9_999, change="web/a UP"), sentence(WELL)),
    ],
)
def test_the_sentence_says_what_is_down_and_what_changed_last(counts: Counts, said: str) -> None:
    assert sentence(counts) == said


def test_a_picture_draws_gaps_marks_and_the_moment_asked_about() -> None:
    values: list[int | None] = [None] * 90 + [3] * 30 + [None] * 30 + [40] * 30
    marks = [Mark(NOW_MS - 60_000, "a <b>"), Mark(NOW_MS - 2_000_000, "long ago")]
    frame = Frame(NOW_MS, marks, NOW_MS - 300_000, ("03:15", "03:25", "03:30"))
    drawn = picture("Sessions", [Curve("sessions", values)], frame)
    assert drawn.count('class="gap"') == 1
    assert drawn.count('class="mark"') == 1
    assert "<title>a &lt;b&gt;</title>" in drawn
    assert 'class="now"' in drawn
    assert "at 03:25 3, at most 40" in drawn
    assert f'viewBox="0 0 {WIDTH} {HEIGHT}"' in drawn
    assert drawn.count("L") < 10  # a level stretch has two points
    assert "nothing seen yet" in picture("Sessions", [Curve("s", [None] * POINTS_KEPT)], frame)


def test_the_newest_point_is_at_the_right_edge() -> None:
    frame = Frame(NOW_MS)
    assert frame.x(NOW_MS) == WIDTH - 4
    assert frame.point(NOW_MS) == POINTS_KEPT - 1
    assert frame.point(NOW_MS - (POINTS_KEPT - 1) * STEP_MS) == 0
    assert frame.point(NOW_MS - POINTS_KEPT * STEP_MS) is None


def test_a_strip_is_as_short_as_its_runs() -> None:
    assert strip(()) == ""
    drawn = strip((True,) * 50 + (False,) * 2 + (True,) * 8)
    assert drawn.count("M") == 3
    assert "2 of the last 60 checks failed" in drawn


def test_small_things_are_drawn_small() -> None:
    assert spark("sessions", [None] * POINTS_KEPT) == ""
    assert len(spark("sessions", [5] * POINTS_KEPT)) < 300
    states = [None] * 100 + [1] * 60 + [4] * 20
    assert "100 s of 15 minutes without a valid answer" in timeline("n", states, 1, Frame(NOW_MS))
    beginning = [*[2] * (POINTS_KEPT - 1), None]
    assert "<span>now 2, at most 2</span>" in picture("S", [Curve("s", beginning)], Frame(NOW_MS))
    assert [nice(number) for number in (0, 1, 3, 11, 60, 1_001)] == [1, 1, 5, 20, 100, 2_000]
