"""Whatever a reload raises at whichever of its calls: it is called off, and nothing else happens."""

from __future__ import annotations

import inspect
import json
import random
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from proxy.supervisor.binding import release
from tests.supervisor.reload_faults import ERRORS, TREE_FILES
from tests.support.common import free_port, wait_for
from tests.support.generated import LONG, sample
from tests.support.supervisor.program import ROOT, Program, await_serving, greeting, started

pytestmark = pytest.mark.slow  # starts the program, and reloads it many times
HOST = "127.44.8.1"
SECONDS = 10.0
NAMES = {"control", "resolverd", "worker 0", "worker 1"}
# A target of logs or a folder that cannot be reached is no reason against a reload.
TOLERANT = ("log.py", "log_sockets.py", "state_files.py", "resolv_conf.py")
# To take off a program that a socket does not have, as a rule, may fail.
RELEASE = inspect.getsourcelines(release)
RELEASE_LINES = range(RELEASE[1], RELEASE[1] + len(RELEASE[0]))
PARTS = 8
SCRIPT = str(ROOT / "tests/supervisor/reload_faults.py")


def configuration(folder: Path, ports: list[int]) -> str:
    binds = "".join(f"    bind {HOST}:{port}\n" for port in ports)
    return (
        f"global\n    nbthread 2\n    stats socket {folder}/s.sock\n    log 127.0.0.1:1 local0\n"
        "    log stderr format raw local0 notice\nresolvers r\n    nameserver n 127.0.0.1:1\n"
        "defaults\n    mode tcp\n    log global\n    timeout client 30s\n    timeout server 30s\n"
        f"    timeout connect 1s\nlisten web\n{binds}"
        "    server-template a 3 a.test:1 resolvers r init-addr none\n    server b 127.0.0.1:1\n"
    )


class Fault(NamedTuple):
    """One error at one call."""

    number: int
    error: int
    what: str
    file: str


class Site:
    """The running program, its plan of faults, and one session that must live."""

    def __init__(self, program: Program, folder: Path, port: int) -> None:
        self.program = program
        self.plan = folder / "plan"
        self.client = socket.create_connection((HOST, port), SECONDS)
        greeting(self.client)
        self.before = self.state()

    def close(self) -> None:
        self.client.close()

    def state(self) -> tuple[dict[str, int], int]:
        titles = self.program.titles()
        workers = {name: pid for name, pid in titles.items() if name.startswith("worker")}
        return workers, len(list(Path(f"/proc/{self.program.pid}/fd").iterdir()))

    def reload(self, plan: tuple[int, int] | None) -> str:
        """How it ended."""
        self.plan.write_text(json.dumps(plan))
        ends = ("reload failed, nothing changed", "reload done")
        told = [self.program.text().count(end) for end in ends]
        self.program.signal(signal.SIGUSR2)

        def ended() -> str:
            text = self.program.text()
            return next(
                (end for end, count in zip(ends, told, strict=True) if text.count(end) > count), ""
            )

        return wait_for(ended, SECONDS, f"the reload with fault {plan} ends", step=0.003)

    def settled(self) -> bool:
        """All four children, those of before, and no descriptor more."""
        workers, descriptors = self.state()
        if len(self.program.titles_all()) != len(NAMES) or descriptors > self.before[1]:
            return False
        return workers == self.before[0]

    def check(self, what: str) -> None:
        wait_for(self.settled, SECONDS, f"all is as before after {what}", step=0.003)
        self.client.sendall(b"still here\n")
        assert self.client.recv(100) == b"still here\n", what

    def move(self, what: str) -> None:
        """After a reload that succeeded: to its generation, when the old one is gone."""
        self.client.sendall(b"still here\n")
        assert self.client.recv(100) == b"still here\n"
        port = self.client.getpeername()[1]
        self.client.close()
        wait_for(self.alone, SECONDS, f"one generation is left after {what}")
        self.client = socket.create_connection((HOST, port), SECONDS)
        greeting(self.client)
        descriptors = self.before[1]
        self.before = self.state()[0], descriptors

    def alone(self) -> bool:
        workers, descriptors = self.state()
        everybody = len(self.program.titles_all()) == len(NAMES) == len(self.program.titles())
        return everybody and len(workers) == 2 and descriptors <= self.before[1]


@contextmanager
def reloaded(folder: Path) -> Iterator[tuple[Site, list[Fault]]]:
    """A program that has reloaded, one session of it, and every fault that a reload may meet."""
    port, second, third = (free_port() for _ in range(3))
    file = folder / "edge.cfg"
    file.write_text(configuration(folder, [port]))
    plan = folder / "plan"
    plan.write_text("null")
    environ = {"MILLRACE_FAULT": str(plan)}
    with (
        started(folder, "-f", str(file), script=SCRIPT, environ=environ) as program,
        ExitStack() as stack,
    ):
        await_serving((HOST, port))
        wait_for(lambda: set(program.titles()) == NAMES, SECONDS, "all children are set up")
        first = Site(program, folder, port)
        first.client.close()
        assert first.reload(None) == "reload done", program.text()
        file.write_text(configuration(folder, [port, second]))
        assert first.reload(None) == "reload done"  # its calls are those of all later ones
        wait_for(lambda: len(program.titles_all()) == len(NAMES), SECONDS, "the old ones left")
        sites = json.loads(plan.with_suffix(".sites").read_text())
        file.write_text(configuration(folder, [port, second, third]))
        site = Site(program, folder, port)
        stack.callback(site.close)
        site.reload((0, 0))  # by now the supervisor has forgotten the first generation
        site.before = site.state()
        yield (
            site,
            [
                Fault(number, error, f"{raised!r} at {sites[number]}", name)
                for number, (name, line, _) in enumerate(sites)
                for error, raised in enumerate(ERRORS)
                if not (isinstance(raised, OSError) and tolerated(name, line))
            ],
        )
        assert site.reload(None) == "reload done"
        site.client.sendall(b"to the end\n")
        assert site.client.recv(100) == b"to the end\n"
        assert "Traceback" not in program.text()


def tolerated(name: str, line: int) -> bool:
    """Whether a failing system call there is no reason against a reload."""
    return name in TOLERANT or (name == "binding.py" and line in RELEASE_LINES)


def chosen(faults: list[Fault], part: int, count: int) -> list[Fault]:
    """A sample in the short run; in the long one all of a part, so that no test takes an hour."""
    if LONG:
        return faults[part::PARTS]
    return random.Random(9).sample(faults, count)


@pytest.mark.parametrize("part", range(sample(1, PARTS)))
def test_whatever_a_reload_raises_calls_it_off(tmp_path: Path, part: int) -> None:
    with reloaded(tmp_path) as (site, every):
        faults = [fault for fault in every if fault.file not in TREE_FILES]
        assert len({fault.number for fault in faults}) > 100
        for fault in chosen(faults, part, 18):
            ended = site.reload((fault.number, fault.error))
            told = site.program.text()[-2000:]
            assert ended == "reload failed, nothing changed", f"{fault.what}: {told}"
            site.check(fault.what)


@pytest.mark.parametrize("part", range(sample(1, PARTS)))
def test_whatever_fails_in_the_process_tree_is_mended_or_calls_the_reload_off(
    tmp_path: Path, part: int
) -> None:
    """A child that could not be started is started again: then the reload may succeed."""
    with reloaded(tmp_path) as (site, every):
        faults = [fault for fault in every if fault.file in TREE_FILES]
        assert {fault.file for fault in faults} >= {"generation.py", "children.py", "fork.py"}
        site.before = site.before[0], site.before[1] + 2  # the third address, of two workers
        assert site.reload(None) == "reload done"
        site.move("a reload without a fault")
        site.before = site.state()
        for fault in chosen(faults, part, 10):
            if site.reload((fault.number, fault.error)) == "reload done":
                site.move(fault.what)
            else:
                site.check(fault.what)
