"""Limited rates over a reload: what was let in until then counts in the next generation."""

from __future__ import annotations

import mmap
import signal
import struct
from pathlib import Path

import pytest

from loadtest.declarations import declared
from tests.support.common import free_port, links_of, wait_for
from tests.support.program.program import NamedBackend, Program, who_answers

pytestmark = pytest.mark.slow
SERVER = "127.61.0.9"
CLIENTS = 3
COUNT = 0x7FFFFFFF  # of a word of a rate (shm/rates.pxd)
LAYOUT = declared("shm/layout.pxd")
HEADER, SHARED = LAYOUT.structs["Header"], LAYOUT.structs["FrontendShared"]
CONFIGURATION = """global
  stats socket {socket} level admin
  nbthread 2
  maxconnrate 1000
defaults
  mode tcp
  timeout connect 2s
  timeout client 60s
  timeout server 60s
"""


def let_in(pid: int, sections: int) -> list[int]:
    """How many the words of the process and of this many frontends have, by a worker's segment."""
    for entry, link in links_of(pid).items():
        if "memfd:millrace" in link:
            with entry.open("rb") as file:
                memory = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
            break
    else:
        raise AssertionError(f"process {pid} has no segment")
    with memory:
        (slots,) = struct.unpack_from("=I", memory, HEADER.offsets["slots"])
        at = HEADER.offsets["offsets"] + 8 * LAYOUT.numbers["AREA_SHARED"]
        (area,) = struct.unpack_from("=Q", memory, at)
        area += slots * LAYOUT.structs["ServerShared"].size + SHARED.offsets["passed"]
        words = [
            struct.unpack_from("=2Q", memory, area + number * SHARED.size)
            for number in range(1 + sections)
        ]
    return [sum(word & COUNT for word in both) for both in words]


def test_a_reload_counts_those_who_came_before_it(tmp_path: Path) -> None:
    """The frontend is another's neighbour then. On a slow machine a second try may be needed."""
    backend = NamedBackend(SERVER, 0)
    ports = free_port(), free_port()
    sections = [
        f"listen {name}\n  bind 127.0.0.1:{port}\n  rate-limit sessions 1000\n"
        f"  server s {SERVER}:{backend.port}\n"
        for name, port in zip(("web", "other"), ports, strict=True)
    ]

    def carried(program: Program, text: str, place: int) -> list[int]:
        """What the new workers find, which let none in; nothing if none counts any more."""
        for _ in range(CLIENTS):
            assert who_answers(("127.0.0.1", ports[0])) == SERVER
        former = program.children()
        done = program.output.read_text().count("reload done")
        program.write(CONFIGURATION + text)
        program.process.send_signal(signal.SIGUSR2)
        wait_for(lambda: program.output.read_text().count("reload done") > done, 20, "it is done")
        new = [pid for pid in program.children()["worker"] if pid not in former["worker"]]
        found = let_in(new[0], 2)
        assert found[1:][1 - place] == 0, "nobody came there"
        return found if found[0] and found[1 + place] else []

    with Program(tmp_path, CONFIGURATION + "".join(sections)) as program:
        found = wait_for(
            lambda: (
                carried(program, sections[1] + sections[0], 1)
                or carried(program, sections[0] + sections[1], 0)
            ),
            60,
            "what was let in counts after a reload",
        )
        assert found[0] == sum(found[1:])
    backend.close()
