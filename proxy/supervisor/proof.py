"""What a build shows of itself before a program hands over to it: in a process of its own.

    all of it can be imported; the segment is as its byte map says; the files are without error;
    a worker that has no listening socket becomes ready

The last line of its output says so, and which words between builds it speaks. It binds nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import msgspec

from proxy.arguments import Arguments
from proxy.builds.installed import Installation
from proxy.builds.succession import PROOF, PROVED
from proxy.config.model.settings import Settings
from proxy.runtime import now_ms
from proxy.supervisor.build import Builder, Ground
from proxy.supervisor.children import Entries
from proxy.supervisor.descriptors import Descriptors
from proxy.supervisor.faults import Faults
from proxy.supervisor.generation import Generation
from proxy.supervisor.limits import FIRST_READY_LIMIT_MS, STARTING_TICK_MS
from proxy.supervisor.listening import open_sockets
from proxy.supervisor.prepare import Prepared, prepare
from proxy.supervisor.reactor import Reactor
from proxy.supervisor.reaping import kill_and_reap
from proxy.supervisor.slices import at_once
from proxy.terminal import STANDARD_ERROR, STANDARD_OUTPUT, say
from shm.events import EventRing
from shm.segment import check_sizes

ROOT = Path(__file__).parents[2]
PACKAGES = ("shm", "resolverd", "proxy")
BESIDE = ("proxy.demo", "proxy.__main__")  # no part of a program that serves
NO_WORKER = "[ALERT]    no worker becomes ready\n"


def prove(arguments: Arguments, check: Callable[[], int], entries: Callable[[], Entries]) -> int:
    """Show all of it; the exit status. What is missing is told as by -c, which `check` is."""
    del os.environ[PROOF]
    for module in modules():
        import_module(module)
    check_sizes()
    status = check()
    if status != 0:
        return status
    prepared = prepare(arguments, dict(os.environ))
    if not _worker_is_ready(prepared, entries()):
        say(NO_WORKER, STANDARD_ERROR)
        return 1
    say(f"{PROVED} {Installation().layout}\n", STANDARD_OUTPUT)
    return 0


def modules() -> list[str]:
    """Every module of the program, compiled or not."""
    found = {
        ".".join((*path.relative_to(ROOT).parent.parts, path.name.partition(".")[0]))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in (".py", ".so")
    }
    return sorted(name.removesuffix(".__init__") for name in found if not name.startswith(BESIDE))


def _worker_is_ready(prepared: Prepared, entries: Entries) -> bool:
    """Whether the first worker of these files gets there; it accepts nobody, and is ended then."""
    assert prepared.settings is not None
    settings = _without_sockets(prepared.settings)
    descriptors, faults = Descriptors(), Faults()
    reactor = Reactor(now_ms, faults)
    grant = descriptors.grant(settings, 1, 0)
    builder = Builder(
        entries=entries,
        reactor=reactor,
        faults=faults,
        descriptors=descriptors,
        main_pid=os.getpid(),
        begun_ms=now_ms(),
        log_fallback=True,
        events=EventRing(),
    )
    ground = Ground(1, open_sockets([], 1, {}), grant)
    named = msgspec.structs.replace(prepared, settings=settings)
    generation = at_once(builder.build(named, ground, now_ms()))
    for child in generation.children.all:
        if child not in generation.children.workers:
            child.watch.retire()
    try:
        return _await_worker(generation, reactor)
    finally:
        for child in generation.children.workers:
            if child.process is not None:
                kill_and_reap(child.process)


def _await_worker(generation: Generation, reactor: Reactor) -> bool:
    until_ms = now_ms() + FIRST_READY_LIMIT_MS
    children = generation.children
    while now_ms() < until_ms and not children.hopeless:
        generation.turn(now_ms(), judge=True)
        if children.workers_ready:
            return True
        reactor.wait(STARTING_TICK_MS)
    return False


def _without_sockets(settings: Settings) -> Settings:
    """The same with nothing to listen on, one worker, and no log."""
    replace = msgspec.structs.replace
    proxies = tuple(replace(proxy, binds=()) for proxy in settings.proxies)
    words = replace(settings.globals, stats_sockets=(), nbthread=1, logs=())
    return replace(settings, proxies=proxies, globals=words)
