"""A model of how workers share a limit of listeners: every interleaving of their shared accesses.

Each worker has one listener, and one limit holds for all. A step is one load or store of a shared
word, or one system call; each is named after the function that makes it
(`proxy/relay/admission/admission.pxd` and `stopped.pxd`, `proxy/relay/accept.pxd`; the words are
those of `shm/rows.pxd` and `shm/layout.pxd`), in the order in which that makes them. Stores are
seen at once: what the fences buy on a real machine is taken for granted here, and
test_admission_torture.py runs the real code.

With `ahead` each worker takes so many places ahead while nobody waits (`ahead.pxd`). That a ticket
is published behind a bit is not played through here, but in queue_model.py.

A worker may be killed between any two steps; the supervisor zeroes its words one by one later
(`settle_dead_worker`) and starts a successor, which serves the same kernel queue. Or it may be
stopped for good, and the others take it for lifeless some time after that.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.relay.admission_world import NONE, Worker, World, alike, put

NO_TICKET = 1 << 30  # what a listener that is not stopped has: it comes last
BATCH = 2  # ACCEPT_BATCH of limits_settle


class Model:
    """The steps, for a limit; `faults` names steps to leave out, to see that they are needed.

    `binds` are the bind addresses of the workers' listeners, whose tickets are drawn apart.
    """

    def __init__(
        self,
        limit: int,
        binds: tuple[int, ...],
        *,
        faults: frozenset[str] = frozenset(),
        freezes: bool = False,
        whole_looks: bool = False,
        ahead: int = 0,
    ) -> None:
        self.limit = limit
        self.binds = binds
        self.faults = faults
        self.freezes = freezes
        self.whole_looks = whole_looks
        self.ahead = ahead

    def begin(
        self, coming: tuple[int, ...], *, deaths: int = 0, returns: int = 0, at_once: bool = False
    ) -> World:
        """Nothing has happened yet; `at_once`: the clients lie in the queues already."""
        nothing = (0,) * len(coming)
        never = (False,) * len(coming)
        turns = (0,) * (2 + max(self.binds))
        workers = (Worker(),) * len(coming)
        queues, coming = (coming, nothing) if at_once else (nothing, coming)
        return World(
            workers, nothing, nothing, nothing, never, queues, coming, never, turns, deaths, returns
        )

    def following(self, world: World) -> Iterator[World]:
        """Every world that one step makes of this one."""
        for number, worker in enumerate(world.workers):
            if world.coming[number]:
                yield world._replace(
                    coming=put(world.coming, number, world.coming[number] - 1),
                    queues=put(world.queues, number, world.queues[number] + 1),
                )
            yield from self.step(world, number, worker)
            if world.deaths and worker.at not in ("dead", "settled", "frozen"):
                at = "frozen" if self.freezes else "dead"
                gone = Worker(at, held=worker.held if self.freezes else 0, mine=worker.mine)
                yield self.moved(world._replace(deaths=world.deaths - 1), number, gone)

    @staticmethod
    def moved(world: World, number: int, worker: Worker) -> World:
        return world._replace(workers=put(world.workers, number, worker))

    def step(self, world: World, number: int, worker: Worker) -> Iterator[World]:
        if worker.at == "events":
            yield from self.events(world, number, worker)
        elif worker.at == "frozen":  # its beat grows old
            if not world.lifeless[number]:
                yield world._replace(lifeless=put(world.lifeless, number, True))
        elif worker.at == "dead":  # settle_dead_worker: the gauges, then the ticket
            settled = self.moved(world, number, Worker("settled"))
            yield settled._replace(sessions=put(world.sessions, number, 0))
        elif worker.at == "settled":  # a bell that was rung for the dead is lost
            begun = self.moved(world, number, Worker())
            yield begun._replace(
                published=put(world.published, number, 0),
                reserved=put(world.reserved, number, 0),
                bells=put(world.bells, number, False),
            )
        else:
            yield getattr(self, worker.at)(world, number, worker)

    def events(self, world: World, number: int, worker: Worker) -> Iterator[World]:
        """loop.pxd: a client, the end of a session, the bell; then the end of the turn."""
        if worker.mine == 0 and world.queues[number]:
            yield self.moved(world, number, worker._replace(at="client_place_take"))
        if worker.held:
            yield self.moved(world, number, worker._replace(at="client_places_leave"))
        if world.bells[number]:
            looks = worker.mine > 0 or world.reserved[number] > 0  # limits_look, ahead_look
            heard = worker._replace(freed=worker.freed or looks)
            yield self.moved(world._replace(bells=put(world.bells, number, False)), number, heard)
        if worker.freed:
            yield self.moved(world, number, self.limits_settle(world, number, worker))
        if world.returns and worker.mine:  # listeners_refresh: another has its clients now
            other = (number + 1) % len(world.workers)
            queues = put(world.queues, other, world.queues[other] + world.queues[number])
            coming = put(world.coming, other, world.coming[other] + world.coming[number])
            yield self.moved(world, number, worker._replace(at="stop_leave"))._replace(
                queues=put(queues, number, 0),
                coming=put(coming, number, 0),
                returns=world.returns - 1,
            )

    @staticmethod
    def go(worker: Worker, at: str) -> Worker:
        """Go on; nothing that was loaded is kept."""
        return worker._replace(at=at, then="", row=0, total=0, ticket=0, whose=NONE)

    @staticmethod
    def look(worker: Worker, what: str, then: str) -> Worker:
        """Begin to load one word of each row."""
        return worker._replace(at=what, then=then, row=0, ticket=0, whose=NONE, total=0)

    def limit_total(self, world: World, number: int, worker: Worker) -> World:
        """One load of limit_total: where places are taken ahead, each row has two (ahead.pxd)."""
        if self.ahead and worker.reserved == NONE:
            return self.moved(world, number, worker._replace(reserved=world.reserved[worker.row]))
        found = max(world.sessions[worker.row], worker.reserved)
        worker = worker._replace(total=worker.total + found, reserved=NONE)
        return self.looked(world, number, worker)

    def limit_next(self, world: World, number: int, worker: Worker) -> World:
        """One load of limit_next (lower_ticket)."""
        found = world.published[worker.row]
        if found and not world.lifeless[worker.row] and found < (worker.ticket or NO_TICKET):
            worker = worker._replace(ticket=found, whose=worker.row)
        return self.looked(world, number, worker)

    def looked(self, world: World, number: int, worker: Worker) -> World:
        """A look that is over is judged in the same step, which touches no shared word."""
        worker = worker._replace(row=worker.row + 1)
        if worker.row < len(world.workers) and not self.whole_looks:
            return self.moved(world, number, worker)
        at = worker.then if worker.row == len(world.workers) else worker.at
        goes_on: World = getattr(self, at)(world, number, worker)
        return goes_on

    def has_turn(self, number: int, worker: Worker) -> bool:
        mine = worker.mine or NO_TICKET
        return worker.ticket == 0 or (mine, number) <= (worker.ticket, worker.whose)

    # -- client_place_take ------------------------------------------------------------------------

    def client_place_take(self, world: World, number: int, worker: Worker) -> World:
        """Raise one's own gauge."""
        raised = world._replace(sessions=put(world.sessions, number, world.sessions[number] + 1))
        if "sum after raising" in self.faults:
            return self.moved(raised, number, self.go(worker, "accept_one"))
        if self.ahead and not worker.mine:
            return self.moved(raised, number, worker._replace(at="ahead_covers"))
        return self.moved(raised, number, self.look(worker, "limit_total", "limit_takes"))

    def ahead_covers(self, world: World, number: int, worker: Worker) -> World:
        """ahead.pxd: does anybody wait, and is the place one that was taken ahead?"""
        if any(world.published):
            return self.moved(world, number, self.look(worker, "limit_total", "limit_takes"))
        if world.sessions[number] <= world.reserved[number]:
            return self.moved(world, number, self.go(worker, "accept_one"))
        return self.moved(world, number, worker._replace(at="ahead_take"))

    def ahead_take(self, world: World, number: int, worker: Worker) -> World:
        """The same: raise the second word, before the sum."""
        reserved = world.sessions[number] + self.ahead
        raised = world._replace(reserved=put(world.reserved, number, reserved))
        tries = worker._replace(tries=True)
        return self.moved(raised, number, self.look(tries, "limit_total", "limit_takes"))

    def ahead_give(self, world: World, number: int, worker: Worker) -> World:
        """The same: a place that is not in use goes back."""
        given = world._replace(reserved=put(world.reserved, number, 0))
        if worker.tries:
            worker = worker._replace(tries=False, total=worker.total - self.ahead, freed=True)
            return self.limit_takes(given, number, worker)
        return self.moved(given, number, self.stopped_accept(worker))

    def ahead_wanted(self, world: World, number: int, worker: Worker) -> World:
        """The same, at the end of a turn: does anybody wait?"""
        if any(world.published) and "giving back" not in self.faults:
            return self.moved(world, number, worker._replace(at="ahead_give"))
        return self.moved(world, number, self.stopped_accept(worker))

    def ahead_ask(self, world: World, number: int, worker: Worker) -> World:
        """The same: who has places that it does not use? Two loads and a bell, for each row."""
        row = worker.row
        if row == len(world.workers) or "asking" in self.faults:
            return self.moved(world, number, self.turn_ended(worker))
        if worker.reserved == NONE:
            return self.moved(world, number, worker._replace(reserved=world.reserved[row]))
        if row != number and worker.reserved > world.sessions[row]:
            world = world._replace(bells=put(world.bells, row, True))
        return self.moved(world, number, worker._replace(row=row + 1, reserved=NONE))

    def limit_takes(self, world: World, number: int, worker: Worker) -> World:
        """The sum is known."""
        if worker.total > self.limit and worker.tries:
            return self.moved(world, number, worker._replace(at="ahead_give"))
        worker = worker._replace(tries=False)
        if worker.total > self.limit:
            return self.moved(world, number, self.go(worker, "step_back"))
        if not worker.mine and worker.total + len(world.workers) <= self.limit:  # plenty
            return self.moved(world, number, self.go(worker, "accept_one"))
        return self.moved(world, number, self.look(worker, "limit_next", "place_taken"))

    def place_taken(self, world: World, number: int, worker: Worker) -> World:
        """Hardly a place is left: it is for the lowest ticket."""
        at = "accept_one" if self.has_turn(number, worker) else "step_back"
        return self.moved(world, number, self.go(worker, at))

    def step_back(self, world: World, number: int, worker: Worker) -> World:
        """client_places_leave after a try in vain."""
        tells = "telling after stepping back" not in self.faults
        worker = worker._replace(freed=worker.freed or tells)
        lowered = self.lowered(world, number)
        if worker.settling:  # stopped_accept: it stays stopped
            return self.moved(lowered, number, self.look(worker, "limit_next", "limit_tell"))
        return self.moved(lowered, number, worker._replace(at="listener_stop"))

    @staticmethod
    def lowered(world: World, number: int) -> World:
        return world._replace(sessions=put(world.sessions, number, world.sessions[number] - 1))

    def accept_one(self, world: World, number: int, worker: Worker) -> World:
        """accept4; without a client the place is given back (client_place_give)."""
        if not world.queues[number]:
            return self.moved(world, number, worker._replace(at="client_place_give"))
        accepted = world._replace(queues=put(world.queues, number, world.queues[number] - 1))
        at = "turn_served" if worker.settling else "events"
        return self.moved(accepted, number, worker._replace(at=at, held=worker.held + 1))

    def client_place_give(self, world: World, number: int, worker: Worker) -> World:
        at = "stop_leave" if worker.settling else "events"
        return self.moved(self.lowered(world, number), number, worker._replace(at=at, freed=True))

    def client_places_leave(self, world: World, number: int, worker: Worker) -> World:
        """A session has ended."""
        tells = "telling" not in self.faults
        worker = worker._replace(at="events", held=worker.held - 1, freed=worker.freed or tells)
        return self.moved(self.lowered(world, number), number, worker)

    # -- a listener stops, and is served ----------------------------------------------------------

    def listener_stop(self, world: World, number: int, worker: Worker) -> World:
        """clients_wait: with none it is not stopped."""
        at = "ticket_take" if world.queues[number] else "events"
        return self.moved(world, number, worker._replace(at=at))

    def ticket_take(self, world: World, number: int, worker: Worker) -> World:
        """advance_to of the bind's word; what was served last is loaded before, in one step."""
        place = 1 + self.binds[number]
        ticket = max(world.turns[place] + 1, world.turns[0])
        drawn = world._replace(turns=put(world.turns, place, ticket))
        return self.moved(drawn, number, worker._replace(at="stop_enter", mine=ticket))

    def stop_enter(self, world: World, number: int, worker: Worker) -> World:
        """limit_publish, and limit_free: it looks once more."""
        looks = "looking again" not in self.faults
        shown = world._replace(published=put(world.published, number, worker.mine))
        return self.moved(shown, number, self.after_stop(worker._replace(freed=looks)))

    def turn_served(self, world: World, number: int, worker: Worker) -> World:
        """raise_to of what was served last."""
        served = world._replace(turns=put(world.turns, 0, max(world.turns[0], worker.mine)))
        return self.moved(served, number, worker._replace(at="stop_leave_served"))

    def stop_leave_served(self, world: World, number: int, worker: Worker) -> World:
        left = self.stop_left(world, number, worker)
        return self.moved(left, number, left.workers[number]._replace(at="clients_wait"))

    def stop_leave(self, world: World, number: int, worker: Worker) -> World:
        left = self.stop_left(world, number, worker)
        return self.moved(left, number, self.after_stop(left.workers[number]))

    def stop_left(self, world: World, number: int, worker: Worker) -> World:
        """limit_publish and limit_free."""
        tells = "passing on" not in self.faults
        hidden = world._replace(published=put(world.published, number, 0))
        return self.moved(hidden, number, worker._replace(mine=0, freed=worker.freed or tells))

    def clients_wait(self, world: World, number: int, worker: Worker) -> World:
        """turn_served: its next client has the next turn, if one waits."""
        if world.queues[number]:
            return self.moved(world, number, worker._replace(at="ticket_take"))
        return self.moved(world, number, self.after_stop(worker))

    # -- the end of a turn ------------------------------------------------------------------------

    def limits_settle(self, world: World, number: int, worker: Worker) -> Worker:
        worker = worker._replace(freed=False, settling=True, taken=0)
        if world.reserved[number]:
            return worker._replace(at="ahead_wanted")
        return self.stopped_accept(worker)

    def stopped_accept(self, worker: Worker) -> Worker:
        if worker.mine and worker.taken < BATCH:
            return self.look(worker, "limit_total", "limit_forbids")
        freed = worker.freed or worker.taken == BATCH
        return self.look(worker._replace(freed=freed), "limit_next", "limit_tell")

    def after_stop(self, worker: Worker) -> Worker:
        """Go on with what stopped or served the listener."""
        if worker.settling:
            return self.stopped_accept(worker._replace(taken=worker.taken + 1))
        return worker._replace(at="events")

    def limit_forbids(self, world: World, number: int, worker: Worker) -> World:
        """limit_ahead: the sum is known."""
        if worker.total >= self.limit:
            return self.moved(world, number, self.look(worker, "limit_next", "limit_tell"))
        return self.moved(world, number, self.look(worker, "limit_next", "limit_ahead"))

    def limit_ahead(self, world: World, number: int, worker: Worker) -> World:
        if self.has_turn(number, worker):
            return self.moved(world, number, self.go(worker, "client_place_take"))
        return self.moved(world, number, self.look(worker, "limit_next", "limit_tell"))

    def limit_tell(self, world: World, number: int, worker: Worker) -> World:
        """The lowest ticket is known: is there a place for it?"""
        if worker.ticket == 0 or worker.whose == number:
            return self.moved(world, number, self.turn_over(worker))
        again = worker._replace(at="limit_total", then="ring_bell", row=0, total=0)
        return self.moved(world, number, again)

    def ring_bell(self, world: World, number: int, worker: Worker) -> World:
        if worker.total < self.limit:
            world = world._replace(bells=put(world.bells, worker.whose, True))
        return self.moved(world, number, self.turn_over(worker))

    def turn_over(self, worker: Worker) -> Worker:
        if self.ahead and worker.mine:
            return self.look(worker, "ahead_ask", "")
        return self.turn_ended(worker)

    @staticmethod
    def turn_ended(worker: Worker) -> Worker:
        return Worker(mine=worker.mine, freed=worker.freed, held=worker.held)


def explore(model: Model, first: World) -> Iterator[World]:
    """Every world that can come of the first one, breadth first."""
    seen = {first}
    front = [first]
    while front:
        yield from front
        found: list[World] = []
        for world in front:
            for following in model.following(world):
                each = alike(following) if model.whole_looks else following
                if each not in seen:
                    seen.add(each)
                    found.append(each)
        front = found
