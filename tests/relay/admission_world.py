"""What workers share where a limit keeps listeners from accepting, and what each is at.

The state of the model in admission_model.py, which has the steps.
"""

from __future__ import annotations

from typing import Any, NamedTuple

NONE = -1


class Worker(NamedTuple):
    """One relay: where it is, what it has loaded so far, and its private state."""

    at: str = "events"
    then: str = ""  # where a finished look at the rows goes on
    row: int = 0  # the next row to load
    total: int = 0
    ticket: int = 0  # the lowest found
    whose: int = NONE
    mine: int = 0  # the ticket of its listener, 0: not stopped (listener.stopped_by)
    settling: bool = False  # client_place_take is called by stopped_accept
    taken: int = 0
    freed: bool = False  # limit.freed
    held: int = 0  # sessions accepted
    reserved: int = NONE  # of the row that is being loaded: its first word; NONE: not yet
    tries: bool = False  # it has taken places ahead, and sums up


class World(NamedTuple):
    """All shared words, the kernel's queues, and every worker."""

    workers: tuple[Worker, ...]
    sessions: tuple[int, ...]  # the counted word of each row
    published: tuple[int, ...]  # StopTickets of each row
    reserved: tuple[int, ...]  # likewise: places that may be used without a look at others
    bells: tuple[bool, ...]
    queues: tuple[int, ...]  # clients in the kernel's queue of each listener
    coming: tuple[int, ...]  # clients that will come yet
    lifeless: tuple[bool, ...]
    turns: tuple[int, ...]  # the last served turn; behind it, by bind, the last drawn one
    deaths: int = 0  # that are still to come
    returns: int = 0  # of listeners to the worker that owns them

    def busy(self, number: int) -> bool:
        """Whether a worker has something to do before a client, a server or a tick comes."""
        worker = self.workers[number]
        if worker.at == "frozen":
            return False
        accepts = worker.mine == 0 and self.queues[number] > 0
        return worker.at != "events" or worker.freed or self.bells[number] or accepts

    def asleep(self) -> bool:
        return not any(map(self.busy, range(len(self.workers))))

    def held(self) -> int:
        return sum(worker.held for worker in self.workers)

    def waits(self) -> bool:
        """Whether a client waits at a stopped listener of a worker that lives."""
        return any(
            worker.mine and worker.at != "frozen" and queue
            for worker, queue in zip(self.workers, self.queues, strict=True)
        )


def put(items: tuple[Any, ...], index: int, item: Any) -> tuple[Any, ...]:
    return (*items[:index], item, *items[index + 1 :])


def alike(world: World) -> World:
    """One of the worlds that differ by the numbers of the workers alone.

    Only where their listeners have one bind address (of equal tickets the lower row comes first),
    and where a look at all rows is one step.
    """
    rows = zip(
        world.workers,
        *(world.sessions, world.published, world.reserved),
        *(world.bells, world.queues, world.coming),
        strict=True,
    )
    order = sorted(enumerate(rows), key=lambda each: (each[1][0]._replace(whose=NONE), each[1][1:]))
    places = {number: place for place, (number, _) in enumerate(order)}
    workers, sessions, published, reserved, bells, queues, coming = zip(
        *(row for _, row in order), strict=True
    )
    named = tuple(each._replace(whose=places.get(each.whose, NONE)) for each in workers)
    return world._replace(
        workers=named,
        sessions=sessions,
        published=published,
        reserved=reserved,
        bells=bells,
        queues=queues,
        coming=coming,
    )
