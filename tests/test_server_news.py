"""The log lines of a group of changes, and the counts that each carries."""

from __future__ import annotations

from proxy.server_news import Line, LoggedServer, ServerChange, Stand, Usable, lines
from shm.standing import FDRAIN, FMAINT, IDRAIN, IMAINT
from shm.states import Operational

UP = Stand(Operational.RUNNING, 0)
DOWN = Stand(Operational.STOPPED, 0)
STOPPING = Stand(Operational.STOPPING, 0)
WHY = ", reason: Layer4 timeout, check duration: 301ms"


def subject(name: str, track: str | None = None) -> LoggedServer:
    return LoggedServer(name, "web", "backend", 0, track)


def test_a_line_says_why_and_what_is_left() -> None:
    change = ServerChange(subject("s1"), UP, DOWN, 4, WHY)
    assert lines([change], {0: Usable(1, 0)}) == [
        Line(
            1,
            "Server web/s1 is DOWN, reason: Layer4 timeout, check duration: 301ms."
            " 1 active and 0 backup servers left."
            " 4 sessions active, 0 requeued, 0 remaining in queue.",
        )
    ]


def test_each_line_of_a_group_carries_the_count_after_it() -> None:
    backup_up, backup_down = UP._replace(backup=True), DOWN._replace(backup=True)
    group = [
        ServerChange(subject("s1"), UP, DOWN),
        ServerChange(subject("b1"), backup_up, backup_down),
        ServerChange(subject("s2"), UP, DOWN),
        ServerChange(subject("s1"), DOWN, UP),
    ]
    found = [line.text for line in lines(group, {0: Usable(1, 0)})]
    assert "1 active and 1 backup servers left. 0" in found[0]
    assert "1 active and 0 backup servers left. 0" in found[1]
    assert "0 active and 0 backup servers left. 0" in found[2]
    assert found[3] == "backend web has no server available!"
    assert "1 active and 0 backup servers online. 0" in found[4]
    assert len(found) == 5


def test_a_server_that_took_no_sessions_changes_no_count() -> None:
    idle = ServerChange(subject("s1"), UP._replace(weighted=False), DOWN._replace(weighted=False))
    assert [line.level for line in lines([idle], {0: Usable(0, 0)})] == [1]


def test_the_end_of_a_server_on_its_way_out_is_no_alert() -> None:
    drained = UP._replace(admin=FDRAIN), DOWN._replace(admin=FDRAIN)
    for before, after in ((STOPPING, DOWN), drained):
        [line, *_] = lines([ServerChange(subject("s1"), before, after)], {0: Usable(0, 0)})
        assert line.level == 5


def test_the_last_server_that_loses_its_weight_leaves_none() -> None:
    change = ServerChange(subject("s1"), UP, UP._replace(weighted=False), touched=True)
    assert lines([change], {0: Usable(0, 0)}) == [Line(0, "backend web has no server available!")]


def test_a_tracking_server_says_by_which_one_it_is_moved() -> None:
    follower = subject("x", track="b4/s")
    moves = {
        "is DOWN via b4/s.": (UP, DOWN),
        "is stopping via b4/s.": (UP, STOPPING),
        "is going DOWN for maintenance via b4/s.": (UP, UP._replace(admin=IMAINT)),
        "enters drain state via b4/s.": (UP, UP._replace(admin=IDRAIN)),
        "is UP/READY (leaving maintenance).": (UP._replace(admin=IMAINT), UP),
        "is leaving forced maintenance but remains in maintenance via b4/s.": (
            UP._replace(admin=IMAINT | FMAINT),
            UP._replace(admin=IMAINT),
        ),
        "remains in forced maintenance.": (
            UP._replace(admin=IMAINT | FMAINT),
            UP._replace(admin=FMAINT),
        ),
    }
    for text, (before, after) in moves.items():
        [line] = lines([ServerChange(follower, before, after)], {0: Usable(1, 0)})
        assert line.text.startswith(f"Server web/x {text}"), line
