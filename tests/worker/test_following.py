"""Changes of backends are followed, none is lost, and dear work rests."""

from __future__ import annotations

import time

from proxy.worker.following import Following
from tests.support.common import wait_for
from tests.support.relay.worker import Spec, settings_of, site


def test_each_change_calls_for_the_work_once() -> None:
    with site(settings_of([Spec("127.0.0.1", 80)])) as made:
        following, done = Following(made.segment), list[int]()
        following.catch_up(done.append)
        assert done == []
        made.move(0, "127.0.0.1", 81)
        made.move(0, "127.0.0.1", 82)
        for _ in range(3):
            following.catch_up(done.append)
        assert done == [0]


def test_dear_work_is_put_off_and_not_forgotten() -> None:
    with site(settings_of([Spec("127.0.0.1", 80)])) as made:
        following, began = Following(made.segment), list[float]()

        def dear(backend: int) -> None:
            began.append(time.monotonic())
            wait_for(lambda: time.monotonic() > began[-1] + 0.02, 1, "20 ms of work", step=0.001)

        made.move(0, "127.0.0.1", 81)
        following.catch_up(dear)
        made.move(0, "127.0.0.1", 82)
        following.catch_up(dear)
        assert len(began) == 1
        wait_for(lambda: following.catch_up(dear) or len(began) == 2, 5, "the second time")
        assert began[1] - began[0] >= 0.1
