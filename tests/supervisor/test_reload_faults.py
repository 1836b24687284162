"""Whatever a reload raises at whichever of its calls: it is called off, and nothing else happens."""

from __future__ import annotations

import json
import random
import signal
import socket
from pathlib import Path

import pytest

from tests.support import free_port, wait_for
from tests.support_generated import sample
from tests.support_reload_faults import ERRORS
from tests.support_supervisor import ROOT, Program, await_serving, greeting, started

pytestmark = pytest.mark.slow  # starts the program, and reloads it many times
HOST = "127.44.8.1"
SECONDS = 10.0
NAMES = {"control", "resolverd", "worker 0", "worker 1"}
# A target of logs or a folder that cannot be reached is no reason against a reload.
TOLERANT = ("log.py", "log_sockets.py", "state_files.py", "resolv_conf.py")
SCRIPT = str(ROOT / "tests" / "support_reload_faults.py")


def configuration(folder: Path, ports: list[int]) -> str:
    binds = "".join(f"    bind {HOST}:{port}\n" for port in ports)
    return (
        f"global\n    nbthread 2\n    stats socket {folder}/s.sock\n    log 127.0.0.1:1 local0\n"
        "    log stderr format raw local0 notice\nresolvers r\n    nameserver n 127.0.0.1:1\n"
        "defaults\n    mode tcp\n    log global\n    timeout client 30s\n    timeout server 30s\n"
        f"    timeout connect 1s\nlisten web\n{binds}"
        "    server-template a 3 a.test:1 resolvers r init-addr none\n    server b 127.0.0.1:1\n"
    )


class Site:
    """The running program, its plan of faults, and one session that must live."""

    def __init__(self, program: Program, folder: Path, port: int) -> None:
        self.program = program
        self.plan = folder / "plan"
        self.client = socket.create_connection((HOST, port), SECONDS)
        greeting(self.client)
        self.before = self.state()

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


def test_whatever_a_reload_raises_calls_it_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, second, third = (free_port(HOST) for _ in range(3))
    file = tmp_path / "edge.cfg"
    file.write_text(configuration(tmp_path, [port]))
    plan = tmp_path / "plan"
    plan.write_text("null")
    environ = {"MILLRACE_FAULT": str(plan)}
    with started(tmp_path, "-f", str(file), script=SCRIPT, environ=environ) as program:
        await_serving((HOST, port))
        wait_for(lambda: set(program.titles()) == NAMES, SECONDS, "all children are set up")
        first = Site(program, tmp_path, port)
        first.client.close()
        assert first.reload(None) == "reload done", program.text()
        file.write_text(configuration(tmp_path, [port, second]))
        assert first.reload(None) == "reload done"  # its calls are those of all later ones
        wait_for(lambda: len(program.titles_all()) == len(NAMES), SECONDS, "the old ones left")
        sites = json.loads(plan.with_suffix(".sites").read_text())
        assert len(sites) > 100
        file.write_text(configuration(tmp_path, [port, second, third]))
        site = Site(program, tmp_path, port)
        site.reload((0, 0))  # by now the supervisor has forgotten the first generation
        site.before = site.state()
        faults = [
            (number, error)
            for number, (file_name, _, _) in enumerate(sites)
            for error, raised in enumerate(ERRORS)
            if not (isinstance(raised, OSError) and file_name in TOLERANT)
        ]
        chosen = random.Random(9).sample(faults, sample(60, len(faults)))
        for number, error in chosen:
            what = f"{ERRORS[error]!r} at {sites[number]}"
            ended = site.reload((number, error))
            assert ended == "reload failed, nothing changed", f"{what}: {program.text()[-2000:]}"
            site.check(what)
        assert site.reload(None) == "reload done"
        site.client.sendall(b"to the end\n")
        assert site.client.recv(100) == b"to the end\n"
        site.client.close()
        assert "Traceback" not in program.text()
