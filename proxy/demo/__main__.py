"""The demo's story: `millrace demo` starts the world and Millrace, and tells what happens.

A script changes the zone every few seconds; each line on the terminal says what changed, and where
the client's connections went since. Ctrl-C ends everything. `--rounds N` ends after N tellings.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from proxy.demo.world import BACKENDS, NAMESERVER, Backend, DemoClient, DemoNameserver

CONFIGURATION = Path(__file__).with_name("demo.cfg")
TREE = Path(__file__).parents[2]  # where the package is, which need not be installed
OTHER_PORTS = "DEMO_PORT=8090 DEMO_METRICS_PORT=8494 in front of the command"
PROGRAM = Path(sys.executable).with_name("millrace")
START_SECONDS_MAX = 10.0
STOP_SECONDS_MAX = 3.0
PORT = int(os.environ.get("DEMO_PORT", "8080"))
METRICS_PORT = int(os.environ.get("DEMO_METRICS_PORT", "8404"))


class Scene(NamedTuple):
    """One change of the world: what it is called, the zone from then on, and how long it stands."""

    title: str
    addresses: tuple[str, ...] | None
    seconds: int
    before: str = ""  # the backend to stop, or to start again with '+'


A, B, C, D = BACKENDS
STORY = (
    Scene("three A records: web1, web2 and web3 get an address, web4 and web5 wait", (A, B, C), 5),
    Scene("a fourth record: a waiting slot takes it, no restart", (A, B, C, D), 5),
    Scene(f"{B} leaves the zone: no new connection goes there", (A, C, D), 5),
    Scene(f"{A} leaves and {B} is back: a free slot takes it, no restart", (B, C, D), 5),
    Scene(
        f"the server at {C} dies: checks and retries see it, the others carry on", (B, C, D), 6, C
    ),
    Scene(f"{C} is started again", (B, C, D), 5, f"+{C}"),
    Scene("the zone says NXDOMAIN: `hold nx 5s` keeps the servers ...", None, 4),
    Scene("... and the zone is back in time: nobody noticed", (A, B, C, D), 4),
)


class Demo:
    """Everything that runs, and the account of it."""

    def __init__(self, directory: str) -> None:
        self.started = time.monotonic()
        self.socket_path = str(Path(directory) / "stats.sock")
        self.nameserver = DemoNameserver()
        self.backends = {address: Backend(address) for address in BACKENDS}
        self.nameserver.addresses = STORY[0].addresses
        self.proxy = self.start_proxy()
        self.client = DemoClient(("127.0.0.1", PORT))
        self.ending = threading.Event()

    def start_proxy(self) -> subprocess.Popen[bytes]:
        """Millrace itself, as an operator would start it."""
        environment = {
            **os.environ,
            "DEMO_SOCKET": self.socket_path,
            "DEMO_PORT": str(PORT),
            "DEMO_METRICS_PORT": str(METRICS_PORT),
            "PYTHONPATH": str(TREE),
        }
        command = [sys.executable, "-m", "proxy", "-f", str(CONFIGURATION), "-db"]
        return subprocess.Popen(command, env=environment)

    def tell(self, text: str) -> None:
        """One line of the account, with the seconds since the start."""
        print(f"{time.monotonic() - self.started:6.1f}s  {text}", flush=True)

    def wait_until_served(self) -> None:
        """Return when the first answer came through; RuntimeError when none does."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self.client.take()[0]:
            if self.proxy.poll() is not None:
                raise RuntimeError(
                    f"millrace ended with status {self.proxy.returncode}; "
                    f"if a port is taken, choose others: {OTHER_PORTS}"
                )
            if time.monotonic() > deadline:
                raise RuntimeError(f"no answer through 127.0.0.1:{PORT}")
            self.ending.wait(0.02)
        self.tell("the first connection went through")

    def play(self, scene: Scene) -> None:
        """Change the world, then report the traffic each second."""
        self.tell(f"* {scene.title}")
        if scene.before.startswith("+"):
            address = scene.before[1:]
            self.backends[address] = Backend(address)
        elif scene.before:
            self.backends[scene.before].close()
        self.nameserver.addresses = scene.addresses
        self.client.take()
        for _ in range(scene.seconds):
            if self.ending.wait(1.0):
                return
            answers, failures = self.client.take()
            shares = "   ".join(f"{server} {answers[server]:2}" for server in sorted(answers))
            self.tell(f"    {shares}" + (f"   failed {failures}" if failures else ""))

    def close(self) -> None:
        """End everything that was started."""
        self.client.stopping.set()
        self.proxy.send_signal(signal.SIGTERM)
        try:
            self.proxy.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.proxy.kill()
            self.proxy.wait()
        for backend in self.backends.values():
            backend.close()
        self.nameserver.close()


def rounds(limit: int) -> Iterator[int]:
    """1, 2, 3 ... up to `limit`; without end for 0."""
    number = 1
    while limit == 0 or number <= limit:
        yield number
        number += 1


def introduce(demo: Demo) -> None:
    """What is running, and what to try by hand."""
    print(
        f"""
Millrace demo
  nameserver  {NAMESERVER[0]}:{NAMESERVER[1]}, authoritative for web.demo.test
  backends    {", ".join(BACKENDS)} (port 8081)
  proxy       127.0.0.1:{PORT}, two workers, {CONFIGURATION.name}
Try, in another terminal:
  curl http://127.0.0.1:{PORT}/                     a backend answers with its address
  curl http://127.0.0.1:{METRICS_PORT}/metrics              what Prometheus scrapes
  http://127.0.0.1:{METRICS_PORT}/                          the page, in a browser
  {PROGRAM} -S {demo.socket_path} show servers state
  {PROGRAM} -S {demo.socket_path} set server web/web1 state maint
  kill -9 a worker (ps: 'millrace: worker 0'): it is back before you look
Ctrl-C ends everything. Other ports: {OTHER_PORTS}
""",
        flush=True,
    )


def handle_stop(demo: Demo) -> Callable[[int, FrameType | None], None]:
    """A signal handler that only notes that the demo is to end."""

    def note(_signal: int, _frame: FrameType | None) -> None:
        demo.ending.set()

    return note


def main(words: list[str] | None = None) -> int:
    """Run the demo; 0 when it was ended by hand or told its rounds, 1 when it could not start."""
    parser = argparse.ArgumentParser(prog="millrace demo", description=__doc__)
    parser.add_argument("--rounds", type=int, default=0, help="end after so many (0: never)")
    arguments = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="millrace-demo-") as directory:
        try:
            demo = Demo(directory)
        except OSError as error:
            print(f"the demo cannot start: {error} (is another one running?)", file=sys.stderr)
            return 1
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, handle_stop(demo))
        try:
            introduce(demo)
            demo.wait_until_served()
            for _ in rounds(arguments.rounds):
                for scene in STORY:
                    if demo.ending.is_set():
                        break
                    demo.play(scene)
                if demo.ending.is_set():
                    break
        except RuntimeError as error:
            print(f"the demo failed: {error}", file=sys.stderr)
            return 1
        finally:
            demo.close()
        demo.tell("ended")
    return 0


if __name__ == "__main__":
    sys.exit(main())
