"""A model of how workers share a server's places: every interleaving of their shared accesses.

One server, one queue in each worker. A step is one load or store of a shared word; each is named
after the function that makes it (`proxy/relay/state/server_places.pxd`, `balance/queue.pxd`,
`balance/full.pxd`, `session/dequeue.pxd`, `session/attempt.pxd`), in the order in which that makes
them. Stores are seen at once: what the fences buy on a real machine is taken for granted here, and
`places.pyx` runs the real code.

A number that only grows is not kept: what has been loaded is either still its value or not.

The supervisor may kill a worker between any two steps, zeroes its words one by one later
(`settle_dead_worker`) and starts a successor.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

NOBODY = -1


class Waiting(NamedTuple):
    """A session in a queue; `ahead` are the tickets that waited when it drew its own."""

    ticket: int
    ahead: frozenset[int]


class Worker(NamedTuple):
    """One relay: where it is, what it has loaded so far, and its private state."""

    at: str = "events"
    then: str = ""  # where a finished look at the rows goes on
    row: int = 0  # the next row to load
    ticket: int = 0  # the lowest found
    whose: int = NOBODY
    total: int = 0
    placing: int = 0  # ticket of the session that a place is sought for; 0: a newcomer
    ahead: frozenset[int] = frozenset()  # tickets that waited when the newcomer came
    queue: tuple[Waiting, ...] = ()
    held: int = 0  # sessions served
    coming: int = 0  # sessions that will come yet
    review: bool = False
    rows: tuple[int, ...] = ()  # that are still to be looked at for tickets
    fresh: bool = False  # no place came free since it loaded how many have (places_seen)
    full: bool = False  # nor since it found none free: it need not look


class World(NamedTuple):
    """All shared words, and every worker."""

    workers: tuple[Worker, ...]
    sessions: tuple[int, ...]  # ServerCounters.sessions by row
    published: tuple[int, ...]  # BackendCounters.queue_ticket by row
    waited: tuple[bool, ...]  # the bits of BackendShared.waited
    bells: tuple[bool, ...]
    tickets: int = 0  # BackendShared.queue_tickets
    kills: int = 0  # that are still to come
    out_of_order: bool = False  # a session was served before one that waited when it came

    def held(self) -> int:
        return sum(worker.held for worker in self.workers)

    def waiting(self) -> frozenset[int]:
        """Tickets of those that wait and are known to: published, or behind one that is."""
        return frozenset(
            entry.ticket
            for worker in self.workers
            if worker.at not in ("waited_set", "publish_first")
            for entry in worker.queue[worker.at == "queue_leave" :]
        )

    def asleep(self) -> bool:
        """No worker takes a step before a client or a server does."""
        return not any(self.bells) and all(
            worker.at == "events" and not worker.review for worker in self.workers
        )


def put(items: tuple[Any, ...], index: int, item: Any) -> tuple[Any, ...]:
    return (*items[:index], item, *items[index + 1 :])


class Model:
    """The steps, for a limit; `faults` names steps to leave out, to see that they are needed."""

    def __init__(self, limit: int, *, sweep: bool, faults: frozenset[str] = frozenset()) -> None:
        self.limit = limit
        self.sweep = sweep
        self.faults = faults

    def following(self, world: World) -> Iterator[World]:
        """Every world that one step makes of this one."""
        for number, worker in enumerate(world.workers):
            yield from self.step(world, number, worker)
            if world.kills and worker.at not in ("dead", "settling", "settled"):
                gone = Worker(at="dead", coming=worker.coming)
                yield world._replace(
                    workers=put(world.workers, number, gone), kills=world.kills - 1
                )

    def step(self, world: World, number: int, worker: Worker) -> Iterator[World]:
        if worker.at == "events":
            yield from self.events(world, number, worker)
        elif worker.at == "dead":  # settle_dead_worker: the gauge, then the ticket
            yield self.moved(world, number, worker._replace(at="settling"))._replace(
                sessions=put(world.sessions, number, 0)
            )
        elif worker.at == "settling":
            yield self.moved(world, number, worker._replace(at="settled"))._replace(
                published=put(world.published, number, 0),
                waited=put(world.waited, number, False),
            )
        elif worker.at == "settled":
            begun = self.moved(world, number, Worker(coming=worker.coming))
            yield self.place_freed(begun._replace(bells=put(world.bells, number, False)))
        else:
            yield getattr(self, worker.at)(world, number, worker)

    @staticmethod
    def moved(world: World, number: int, worker: Worker) -> World:
        return world._replace(workers=put(world.workers, number, worker))

    def events(self, world: World, number: int, worker: Worker) -> Iterator[World]:
        """loop.pxd: a client, the end of a session, the bell, the sweep."""
        if worker.coming:
            begun = worker._replace(coming=worker.coming - 1, placing=0, ahead=world.waiting())
            yield self.moved(world, number, self.look(begun, "tickets", "session_pick"))
        if worker.held:
            yield self.moved(world, number, worker._replace(at="place_leave"))
        if world.bells[number]:
            yield self.moved(
                world._replace(bells=put(world.bells, number, False)),
                number,
                worker._replace(review=worker.review or bool(worker.queue)),
            )
        if worker.review or (self.sweep and worker.queue):
            full = worker.full and not self.sweep
            begun = worker._replace(review=False, full=full)
            yield self.moved(world, number, self.any_review(begun))

    @staticmethod
    def look(worker: Worker, what: str, then: str) -> Worker:
        """Begin to load one word of each row."""
        return worker._replace(at=what, then=then, row=0, ticket=0, whose=NOBODY, total=0)

    def tickets(self, world: World, number: int, worker: Worker) -> World:
        """state/server_places.pxd, lowest_waiting: the bits of those that may have a ticket."""
        rows = tuple(row for row, bit in enumerate(world.waited) if bit)
        at = "row_ticket" if rows else worker.then
        return self.moved(world, number, worker._replace(at=at, rows=rows))

    def row_ticket(self, world: World, number: int, worker: Worker) -> World:
        """The same, lower_ticket: one load."""
        row, rows = worker.rows[0], worker.rows[1:]
        found = world.published[row]
        if found and (worker.ticket == 0 or found < worker.ticket):
            worker = worker._replace(ticket=found, whose=row)
        at = "row_ticket" if rows else worker.then
        return self.moved(world, number, worker._replace(at=at, rows=rows))

    @staticmethod
    def place_freed(world: World) -> World:
        """shm/segment.pxd: whatever is known of places is old."""
        return world._replace(
            workers=tuple(each._replace(fresh=False, full=False) for each in world.workers)
        )

    def freed(self, world: World, number: int, worker: Worker) -> World:
        """The same, after place_leave; then a look at the tickets, for whom to tell."""
        then = worker.then
        after = self.moved(world, number, self.look(worker, "tickets", then))
        return after if "places told" in self.faults else self.place_freed(after)

    def places_seen(self, world: World, number: int, worker: Worker) -> World:
        """balance/full.pxd: what is known to be full is not looked at; else the sum follows."""
        if worker.full:
            known: World = getattr(self, worker.then)(
                world, number, worker._replace(total=self.limit)
            )
            return known
        return self.moved(world, number, worker._replace(at="sums", fresh=True, row=0, total=0))

    @staticmethod
    def room(worker: Worker, then: str) -> Worker:
        """Begin to find out whether a place is free."""
        return worker._replace(at="places_seen", then=then, row=0, total=0)

    def found_full(self, worker: Worker) -> Worker:
        """No place is free: it is known until one is given back."""
        late = "number read first" in self.faults
        return worker._replace(full=worker.fresh or worker.full or late)

    def sums(self, world: World, number: int, worker: Worker) -> World:
        """state/server_places.pxd, served_everywhere: one load."""
        worker = worker._replace(total=worker.total + world.sessions[worker.row])
        return self.looked(world, number, worker)

    def looked(self, world: World, number: int, worker: Worker) -> World:
        worker = worker._replace(row=worker.row + 1)
        if worker.row == len(world.workers):
            worker = worker._replace(at=worker.then)
        return self.moved(world, number, worker)

    def session_pick(self, world: World, number: int, worker: Worker) -> World:
        """session/attempt.pxd: a waiting session comes first; else is there a place?"""
        if worker.ticket:
            return self.moved(world, number, worker._replace(at="ticket_draw"))
        return self.moved(world, number, self.room(worker, "place_free"))

    def place_free(self, world: World, number: int, worker: Worker) -> World:
        """balance/queue.pxd, has_place: the sum is known."""
        if worker.total >= self.limit:
            return self.moved(world, number, self.no_place(self.found_full(worker)))
        return self.moved(world, number, self.look(worker, "tickets", "has_place"))

    def has_place(self, world: World, number: int, worker: Worker) -> World:
        """balance/queue.pxd: no lower ticket wants the place."""
        if worker.ticket and (worker.placing == 0 or worker.ticket < worker.placing):
            return self.moved(world, number, self.no_place(worker))
        return self.moved(world, number, worker._replace(at="place_try"))

    @staticmethod
    def no_place(worker: Worker) -> Worker:
        return worker._replace(at="events" if worker.placing else "ticket_draw")

    def place_try(self, world: World, number: int, worker: Worker) -> World:
        """state/server_places.pxd: raise one's own gauge."""
        raised = world._replace(sessions=put(world.sessions, number, world.sessions[number] + 1))
        if "sum after raising" in self.faults:
            return self.moved(raised, number, worker._replace(at="place_tried", total=0))
        return self.moved(raised, number, self.look(worker, "sums", "place_tried"))

    def place_tried(self, world: World, number: int, worker: Worker) -> World:
        if worker.total > self.limit:
            return self.moved(world, number, worker._replace(at="step_back"))
        ahead = worker.ahead
        if worker.placing:
            ahead = worker.queue[0].ahead
            worker = worker._replace(at="queue_leave")
        else:
            worker = worker._replace(at="events")
        late = bool(ahead & world.waiting())
        served = self.moved(world, number, worker._replace(held=worker.held + 1))
        return served._replace(out_of_order=world.out_of_order or late)

    def step_back(self, world: World, number: int, worker: Worker) -> World:
        """state/server_places.pxd, place_leave after a try in vain; then balance/queue.pxd,
        tell_next."""
        lowered = world._replace(sessions=put(world.sessions, number, world.sessions[number] - 1))
        if "telling after stepping back" in self.faults:
            return self.moved(self.place_freed(lowered), number, self.no_place(worker))
        return self.moved(lowered, number, worker._replace(at="freed", then="stepped_back"))

    def stepped_back(self, world: World, number: int, worker: Worker) -> World:
        return self.ring(world, number, self.no_place(worker), worker.whose)

    def place_leave(self, world: World, number: int, worker: Worker) -> World:
        """balance/queue.pxd, server_release: a session has ended."""
        lowered = world._replace(sessions=put(world.sessions, number, world.sessions[number] - 1))
        worker = worker._replace(held=worker.held - 1, at="freed", then="tell_next")
        return self.moved(lowered, number, worker)

    def tell_next(self, world: World, number: int, worker: Worker) -> World:
        return self.ring(world, number, worker._replace(at="events"), worker.whose)

    def ring(self, world: World, number: int, worker: Worker, whose: int) -> World:
        """balance/queue.pxd, ring_relay."""
        if whose == number:
            worker = worker._replace(review=True)
        elif whose != NOBODY:
            world = world._replace(bells=put(world.bells, whose, True))
        return self.moved(world, number, worker)

    def ticket_draw(self, world: World, number: int, worker: Worker) -> World:
        """balance/queue.pxd, queue_enter: fetch_add, and the private queue."""
        entry = Waiting(world.tickets + 1, world.waiting())
        first = not worker.queue
        worker = worker._replace(queue=(*worker.queue, entry), review=worker.review or first)
        worker = worker._replace(at="waited_set" if first else "events")
        return self.moved(world._replace(tickets=world.tickets + 1), number, worker)

    def waited_set(self, world: World, number: int, worker: Worker) -> World:
        """state/server_places.pxd, ticket_publish: the bit, then the ticket."""
        world = world._replace(waited=put(world.waited, number, True))
        return self.moved(world, number, worker._replace(at="publish_first"))

    def publish_first(self, world: World, number: int, worker: Worker) -> World:
        if "looking again" in self.faults:
            worker = worker._replace(review=False)
        return self.moved(
            world._replace(published=put(world.published, number, worker.queue[0].ticket)),
            number,
            worker._replace(at="events"),
        )

    def queue_leave(self, world: World, number: int, worker: Worker) -> World:
        """balance/queue.pxd: publish the next one, or none; then session/dequeue.pxd goes on."""
        rest = worker.queue[1:]
        worker = worker._replace(queue=rest, review=True)
        after = self.any_review(worker) if rest else worker._replace(at="waits_no_more")
        return self.moved(
            world._replace(published=put(world.published, number, rest[0].ticket if rest else 0)),
            number,
            after,
        )

    def waits_no_more(self, world: World, number: int, worker: Worker) -> World:
        """shm/segment.pxd: the bit goes after the ticket."""
        world = world._replace(waited=put(world.waited, number, False))
        return self.moved(world, number, self.any_review(worker))

    def any_review(self, worker: Worker) -> Worker:
        """session/dequeue.pxd: whose turn is it?"""
        return self.look(worker, "tickets", "turn_known" if worker.queue else "pass_on")

    def turn_known(self, world: World, number: int, worker: Worker) -> World:
        if worker.whose != number:
            return self.moved(world, number, self.look(worker, "tickets", "pass_on"))
        worker = worker._replace(placing=worker.queue[0].ticket)
        return self.moved(world, number, self.room(worker, "place_free"))

    def pass_on(self, world: World, number: int, worker: Worker) -> World:
        """session/dequeue.pxd: another worker's session is next."""
        if worker.whose == NOBODY or "passing on" in self.faults:
            return self.moved(world, number, worker._replace(at="events"))
        return self.moved(world, number, self.room(worker, "passed_on"))

    def passed_on(self, world: World, number: int, worker: Worker) -> World:
        if worker.total >= self.limit:
            full = self.found_full(worker)
            return self.moved(world, number, full._replace(at="events"))
        return self.ring(world, number, worker._replace(at="events"), worker.whose)


def begin(coming: tuple[int, ...], kills: int) -> World:
    """Nothing has happened yet; worker n will get `coming[n]` clients."""
    return World(
        tuple(Worker(coming=count) for count in coming),
        (0,) * len(coming),
        (0,) * len(coming),
        (False,) * len(coming),
        (False,) * len(coming),
        kills=kills,
    )


def explore(model: Model, first: World) -> Iterator[World]:
    """Every world that can come of the first one, breadth first."""
    seen = {first}
    edge = [first]
    while edge:
        found: list[World] = []
        for world in edge:
            yield world
            for following in model.following(world):
                if following not in seen:
                    seen.add(following)
                    found.append(following)
        edge = found
