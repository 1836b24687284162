"""What was ordered and ends with a reload is told: in the log, and among the events."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from proxy.arguments import Arguments, parse
from proxy.client.connection import answer_of
from proxy.client.reload import run
from proxy.supervisor.master import STILL_LOOKING
from tests.support.common import PATIENCE_SECONDS, free_port, stand_still, wait_for
from tests.support.program.program import Program

ENTRIES = 200_000  # looking through them takes a helper long enough to be seen
CONFIGURATION = """global
  stats socket {socket} level admin
  nbthread 1
  maxconn 200
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend web
  bind 127.0.0.1:@web@
  maxconn 50
  acl bad src -f @folder@/bad.lst
  acl worse src 127.9.9.9
  tcp-request connection reject if bad
  tcp-request connection reject if worse
  tcp-request content set-var(sess.to) src,map_ip(@folder@/to.map)
  default_backend be
frontend other
  bind 127.0.0.1:@other@
  default_backend be
backend be
  server s1 127.0.0.1:10
"""
ORDERS = (
    "set maxconn global 100; set rate-limit sessions global 5",
    "set rate-limit connections global 6",
    "set maxconn frontend web 40; set maxconn frontend other 30; disable frontend other",
    "add acl @folder@/bad.lst 10.9.9.9; del acl @folder@/bad.lst 10.0.0.1",
    "add acl #2 10.9.9.7",
    "set map @folder@/to.map 10.0.0.1 other",
    "add map @folder@/to.map 10.0.0.3 kept",
)


def written(folder: Path) -> str:
    """The configuration, and its lists beside it."""
    (folder / "bad.lst").write_text("10.0.0.1\n10.0.0.2\n")
    (folder / "to.map").write_text("10.0.0.1 one\n10.0.0.2 two\n")
    text = CONFIGURATION.replace("@folder@", str(folder))
    return text.replace("@web@", str(free_port())).replace("@other@", str(free_port()))


def change(program: Program) -> None:
    """Give all the orders; one entry is in its file by then."""
    for order in ORDERS:
        program.ask(order.replace("@folder@", str(program.folder)))
    routes = program.folder / "to.map"
    routes.write_text("10.0.0.1 one\n10.0.0.2 two\n10.0.0.3 kept\n")


def lines_of(folder: Path, text: str) -> list[str]:
    """What is said of these orders; F is the file."""
    lines = text.splitlines()
    web, other = (lines.index(f"frontend {name}") + 1 for name in ("web", "other"))
    acl = lines.index("  acl worse src 127.9.9.9") + 1
    return [
        "the reload has dropped 'set maxconn global 100': the files say 200",
        "the reload has dropped 'set rate-limit connections global 6': the files set no limit",
        "the reload has dropped 'set rate-limit sessions global 5': the files set no limit",
        f"F:{web}: the reload has dropped 'set maxconn frontend web 40': the files say 50",
        f"F:{other}: the reload has dropped 'set maxconn frontend other 30': "
        "the files set no limit",
        f"F:{other}: the reload has opened frontend other, which was closed by order",
        f"the reload has dropped 2 changed entries of acl {folder}/bad.lst: they are not so "
        "in the file",
        f"the reload has dropped 1 changed entry of acl 'src' file 'F' line {acl}: it is not "
        "so in the line",
        f"the reload has dropped 1 changed entry of map {folder}/to.map: it is not so in the file",
    ]


def test_a_reload_names_what_it_drops(tmp_path: Path) -> None:
    text = written(tmp_path)
    with Program(tmp_path, text) as program:

        def dropped(generation: int, count: int) -> list[str]:
            """What the events say behind the end of that reload, so many lines at the least."""
            done = f"reload done: generation {generation} serves"
            program.process.send_signal(signal.SIGUSR2)
            wait_for(lambda: done in program.ask("show events state"), 60, "the reload")

            def told() -> list[str]:
                lines = program.ask("show events state").partition(f"{done}\n")[2].splitlines()
                return [line.partition(" ")[2] for line in lines if "the reload has" in line]

            wait_for(lambda: len(told()) >= count, 60, "the lines")
            return [line.replace(str(program.file), "F") for line in told()]

        change(program)
        assert dropped(2, 9) == lines_of(tmp_path, text)
        assert dropped(3, 0) == []


def test_the_one_who_orders_it_is_told_all_of_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also what is looked for when the new generation serves, and a server that goes."""
    text = written(tmp_path)
    reload = parse(["-S", f"{tmp_path}/m", "reload"])
    assert isinstance(reload, Arguments)
    with Program(tmp_path, text, "-W", "-S", f"{tmp_path}/m") as program:
        change(program)
        program.ask("add server be/more 127.0.0.1:11")
        capfd.readouterr()
        assert run(reload, {}) == 0
        done, member, *lines = capfd.readouterr().out.replace(str(program.file), "F").splitlines()
        assert done.endswith("reload done: generation 2 serves")
        assert "be/more" in member
        assert [line.partition(") : ")[2] for line in lines] == lines_of(tmp_path, text)
        assert run(reload, {}) == 0
        (done,) = capfd.readouterr().out.splitlines()
        assert done.endswith("reload done: generation 3 serves")


def test_a_reload_behind_it_does_not_wait_for_what_is_looked_for(tmp_path: Path) -> None:
    """Each of two orders is answered by its own reload, though the helper of the first stands."""
    many = tmp_path / "bad.lst"
    text = written(tmp_path)
    many.write_text("".join(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}\n" for n in range(ENTRIES)))
    with Program(tmp_path, text, "-W", "-S", f"{tmp_path}/m") as program:
        program.ask(f"del acl {many} 10.0.0.1")

        def ordered() -> str:
            return answer_of(f"{tmp_path}/m", "reload", {}, PATIENCE_SECONDS).decode()

        def helper() -> int:
            return program.titled_children().get("dropped", [0])[0]

        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(ordered)
            pid = wait_for(helper, 60, "it looks for dropped entries")
            stand_still(pid)
            second = ordered()
            os.kill(pid, signal.SIGKILL)
            assert "generation 2 serves" in first.result()
        assert STILL_LOOKING in first.result()
        assert second.startswith("Success=1\n")
        assert "generation 3 serves" in second
        assert STILL_LOOKING not in second
