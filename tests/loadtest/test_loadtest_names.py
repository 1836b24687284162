"""The load test's DNS side: its zone and counters, the shared words it reads, short real runs."""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.fleet import zone_text
from loadtest.process import ProgramFailedError
from loadtest.programs import Setup, haproxy_configuration
from loadtest.resolving import read_counters
from loadtest.shared_words import LAYOUT, PROCESS, SharedWords, shared_words
from loadtest.site import make_site
from shm.processes import ProcessBoard
from shm.segment import Segment
from shm.shape import Shape
from shm.slots import SlotTableWriter
from tests.support.common import PATIENCE_SECONDS, require_program

SHAPE = Shape(slots=3, backends=1, frontends=1, workers=2, sockets=2, nameservers=1, resolutions=1)

SHOWN = """\
Resolvers section fleet
 nameserver ns1:
  sent:        20
  valid:       11
 nameserver ns2:
  sent:        20
  valid:       7
"""


def test_every_name_of_the_configuration_is_in_the_zone(tmp_path: Path) -> None:
    text = haproxy_configuration(make_site(), Setup(names=700, resolve_ms=1_000), tmp_path)
    asked = [
        line.split()[2].removesuffix(":80") for line in text.splitlines() if "    server n" in line
    ]
    owners = {line.split()[0].removesuffix(".") for line in zone_text(700).splitlines()}
    assert len(set(asked)) == 700
    assert owners.issuperset(asked)


def test_counters_are_summed_over_nameservers() -> None:
    assert read_counters(SHOWN) == {"sent": 40, "valid": 18}


def test_the_words_are_those_of_the_segment() -> None:
    segment = Segment.create(SHAPE)
    with shared_words(os.getpid()) as words:
        before = segment.table_generation
        assert words.table_generation() == before
        SlotTableWriter(segment)  # announces itself
        assert words.table_generation() == segment.table_generation > before
        assert words.seen_by_all() == ProcessBoard(segment).status(1).generation_seen == 0
    with mmap.mmap(segment.fd, 0, prot=mmap.PROT_READ | mmap.PROT_WRITE) as memory:
        first = (
            segment.offsets()[LAYOUT.numbers["AREA_PROCESSES"]] + PROCESS.offsets["generation_seen"]
        )
        memory[first] = 5  # worker 0 alone, then worker 1: a line of the supervisor's between
        with shared_words(os.getpid()) as words:
            assert words.seen_by_all() == 0
            memory[first + PROCESS.size] = 4
            assert words.seen_by_all() == 4
        seen = [ProcessBoard(segment).status(worker).generation_seen for worker in range(2)]
        assert seen == [5, 4]
    segment.close()


def test_other_memory_is_refused() -> None:
    with (
        mmap.mmap(-1, mmap.PAGESIZE) as memory,
        pytest.raises(ProgramFailedError, match="no segment"),
    ):
        SharedWords(memory)


@pytest.mark.slow
def test_names_and_propagation_give_plausible_figures(tmp_path: Path) -> None:
    for program in ("haproxy", "nsd", "nginx"):
        require_program(program)
    raw = tmp_path / "raw.json"
    done = subprocess.run(
        [sys.executable, "-m", "loadtest", "--quick", "--only", "names1k,propagation",
         "--programs", "millrace,haproxy,nginx", "--json", str(raw)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )  # fmt: skip
    content = json.loads(raw.read_text())
    assert content["failures"] == [], done.stderr
    names = content["samples"]["names1k"]
    assert names.keys() == {"millrace", "haproxy"}  # nginx resolves nothing at run time
    for program in ("millrace", "haproxy"):
        sample = names[program][0]
        assert sample["units"] >= 100
        # a nameserver without a turn of the processor loses what its socket cannot hold
        assert 0.3 < sample["questions_per_s"] / sample["sent_per_s"] < 1.2
        assert 1 < sample["cpu_us_per_run"] < 5_000
    moved = content["samples"]["propagation"]["millrace"][0]
    assert moved["changes"] == 50
    assert 10 < moved["p50_us"] <= moved["p99_us"] < 5_000_000
