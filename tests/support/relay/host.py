"""The process behind `RelayUnderTest`: makes the segment and the sockets, forks the relays.

Run as `python -m tests.support.relay.host <fd>`: reads a `Plan` and then commands from the socket
given by number, until its other end is closed. Relays die with it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import sys
import threading
from typing import Any

from msgspec.structs import replace

from proxy.config.model.settings import Bind, SocketFamily
from proxy.log_sockets import open_log_sockets
from proxy.members.static import static_state
from proxy.relay.engine import Relay
from proxy.runtime import Bells, ListeningSocket, Runtime, now_ms, ring
from proxy.server_table import ServerTable
from proxy.supervisor.tables import open_tables
from shm.counters import CounterReader, mend_hints, settle_dead_worker
from shm.processes import ProcessBoard, ProcessSelf, ProcessStatus
from shm.requests import RequestReader
from shm.segment import Segment
from shm.shape import Shape
from shm.slots import AdminTableWriter, HealthTableWriter, SlotTableReader, SlotTableWriter
from shm.states import Operational, ProcessState, ServerState
from shm.tables.entries import TableReader
from tests.support.relay.site import Plan, receive_message, send_message

PR_SET_PDEATHSIG = 1


def listen_on(bind: Bind, keepalive: bool) -> socket.socket:
    """One listening socket, as the supervisor makes it."""
    if bind.endpoint.family in (SocketFamily.UNIX, SocketFamily.ABSTRACT):
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(bind.endpoint.host)
    else:
        inet6 = bind.endpoint.family is SocketFamily.IPV6
        listening = socket.socket(socket.AF_INET6 if inet6 else socket.AF_INET)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, keepalive)
        listening.bind((bind.endpoint.host, bind.endpoint.port))
    listening.listen(1024)
    listening.setblocking(False)
    return listening


def be_relay(runtime: Runtime, worker: int, sweep_ms: int | None) -> None:
    """The life of one relay process: the relay in a thread, schedules built by the main thread."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    reader = SlotTableReader(runtime.segment)
    relay = Relay(runtime, worker)
    if sweep_ms is not None:
        relay.sweep_ms = sweep_ms
    record = ProcessSelf(runtime.segment, worker)
    thread = threading.Thread(target=relay.run)
    thread.start()
    built = -1
    announced = False
    while thread.is_alive():
        if relay.running and not announced:
            record.state(ProcessState.READY)
            announced = True
        generation = reader.backend_generation(0)
        if generation != built:
            built = generation
            relay.rebuild(0)
        thread.join(0.02)
    os._exit(0)


class Host:
    """What the test asks for by name."""

    def __init__(self, plan: Plan) -> None:
        if plan.nofile is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (plan.nofile, plan.nofile))
        binds = plan.settings.binds
        sockets = len(binds) * (1 if plan.shared else plan.workers)
        shape = Shape(len(plan.servers), 1, 1, plan.workers, sockets, 0, 0, len(binds))
        shape = shape._replace(rules=len(plan.settings.rules))
        self.segment = Segment.create(shape)
        self.slots = SlotTableWriter(self.segment)
        self.fill(plan)
        self.runtime = Runtime(
            settings=plan.settings,
            servers=ServerTable(plan.settings),
            segment=self.segment,
            bells=Bells.create(plan.workers),
            listeners=self.listeners(plan),
            stats_sockets=(),
            service_sockets=(),
            workers=plan.workers,
            main_pid=os.getpid(),
            log=lambda level, text: None,
            log_sockets=open_log_sockets(plan.settings),
            tables=open_tables(plan.settings.tables, self.segment, None, lambda level, text: None),
        )
        self.board = ProcessBoard(self.segment)
        self.reader = SlotTableReader(self.segment)
        self.admins = AdminTableWriter(self.segment)
        self.request_reader = RequestReader(self.segment)
        self.sweep_ms = plan.sweep_ms
        self.pids = [0] * plan.workers
        self.statuses: list[int | None] = [None] * plan.workers

    def fill(self, plan: Plan) -> None:
        self.slots.lay_backend(0, 0, len(plan.servers))
        for server in ServerTable(plan.settings):
            self.slots.place(server.slot, static_state(server))
            if server.address is not None:
                port = server.port % 65536
                self.slots.publish(server.slot, server.address, port, now_ms=now_ms())

    def listeners(self, plan: Plan) -> tuple[ListeningSocket, ...]:
        found: list[ListeningSocket] = []
        for bind in plan.settings.binds:
            keepalive = plan.settings.proxies[0].client_keepalive
            first = listen_on(bind, keepalive)
            port = first.getsockname()[1] if isinstance(first.getsockname(), tuple) else 0
            for worker in range(1 if plan.shared else plan.workers):
                listening = first
                if worker > 0:
                    endpoint = type(bind.endpoint)(bind.endpoint.family, bind.endpoint.host, port)
                    other = Bind(bind.index, 0, endpoint, bind.origin)
                    listening = listen_on(other, keepalive)
                found.append(
                    ListeningSocket(len(found), bind, worker, listening, shared=plan.shared)
                )
        return tuple(found)

    def addresses(self) -> list[Any]:
        firsts = {listener.bind.index: listener.socket for listener in self.runtime.listeners[::-1]}
        return [firsts[index].getsockname() for index in sorted(firsts)]

    def start(self, worker: int) -> None:
        pid = os.fork()
        if pid == 0:
            try:
                be_relay(self.runtime, worker, self.sweep_ms)
            finally:
                os._exit(70)
        self.pids[worker] = pid
        self.statuses[worker] = None
        self.board.started(worker, pid, now_ms(), 0)

    def start_all(self) -> None:
        for listener in self.runtime.listeners:
            self.board.assign(listener.index, listener.worker)
        for worker in range(self.runtime.workers):
            self.start(worker)

    def status(self, worker: int) -> ProcessStatus:
        return self.board.status(worker)

    def publish(self, slot: int, address: str | None, port: int, weight: int) -> None:
        self.slots.publish(slot, address, port, weight=weight, now_ms=now_ms())
        self.runtime.bells.ring_table()

    def administer(self, slot: int, flags: int, weight: int, maxconn: int) -> None:
        former = self.reader.admin(slot)
        state = former._replace(flags=flags, weight=weight, maxconn=maxconn)
        self.admins.publish(slot, state)
        self.runtime.bells.ring_table()

    def override(self, slot: int, address: str, port: int) -> None:
        former, generation = self.reader.admin(slot), self.reader.slot(slot).generation
        state = former._replace(address=address, port=port, override_generation=generation)
        self.admins.publish(slot, state)
        self.runtime.bells.ring_table()

    def judge(self, slot: int, up: bool) -> None:
        former = self.reader.health(slot)
        operational = Operational.RUNNING if up else Operational.STOPPED
        incarnation = self.reader.slot(slot).incarnation
        state = replace(
            former,
            incarnation=incarnation,
            operational=operational,
            changed_ms=now_ms(),
            downs=former.downs + (not up),
        )
        HealthTableWriter(self.segment).publish(slot, state, changed=True)
        self.runtime.bells.ring_table()

    def server_state(self, slot: int) -> ServerState:
        return self.reader.server(slot)

    def counters(self, of: str, index: int, row: int | None) -> dict[str, Any]:
        reader = CounterReader(self.segment)
        if of == "worker":
            return {**reader.worker(row)}
        found: dict[str, Any] = getattr(reader, of)(index, row)
        return found

    def requests(self) -> list[tuple[int, ...]]:
        return [tuple(change) for change in self.request_reader.changes()]

    def table_generation(self) -> int:
        return self.segment.table_generation

    def tracked(self) -> list[int]:
        """How many sessions hold each entry of all stick tables."""
        return [
            entry.sessions
            for table in self.runtime.tables
            for page in TableReader(table).pages(now_ms())
            for entry in page
        ]

    def hints(self) -> list[int]:
        return [self.reader.hint(slot) for slot in range(len(self.reader))]

    def assign(self, position: int, worker: int) -> None:
        self.board.assign(position, worker)
        ring(self.runtime.bells.relays)

    def command(self, command: int, worker: int | None) -> None:
        for number in range(self.runtime.workers) if worker is None else [worker]:
            self.board.command(number, command)
        ring(self.runtime.bells.relays)

    def pid(self, worker: int) -> int:
        return self.pids[worker] if self.exit_status(worker) is None else 0

    def restart(self, worker: int) -> None:
        self.board.ended(worker)
        mend_hints(self.segment, settle_dead_worker(self.segment, worker))
        self.board.command(worker, 0)
        self.start(worker)

    def exit_status(self, worker: int) -> int | None:
        if self.statuses[worker] is None:
            pid, status = os.waitpid(self.pids[worker], os.WNOHANG)
            if pid != 0:
                self.statuses[worker] = os.waitstatus_to_exitcode(status)
        return self.statuses[worker]

    def end(self) -> None:
        """Kill the relays that still run and wait for them."""
        for worker, pid in enumerate(self.pids):
            if self.exit_status(worker) is None:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def serve(channel: socket.socket) -> None:
    """Obey until the test is gone."""
    host = Host(receive_message(channel))
    host.start_all()
    send_message(channel, host.addresses())
    try:
        while True:
            name, arguments, keywords = receive_message(channel)
            try:
                send_message(channel, (False, getattr(host, name)(*arguments, **keywords)))
            except (OSError, ValueError, IndexError) as error:
                send_message(channel, (True, error))
    except (EOFError, ConnectionError):
        pass
    finally:
        host.end()


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    serve(socket.socket(fileno=int(sys.argv[1])))
