"""What was ordered and ends with a reload is told: in the log, and among the events."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.support.common import free_port, wait_for
from tests.support.program.program import Program

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


def test_a_reload_names_what_it_drops(tmp_path: Path) -> None:
    (tmp_path / "bad.lst").write_text("10.0.0.1\n10.0.0.2\n")
    routes = tmp_path / "to.map"
    routes.write_text("10.0.0.1 one\n10.0.0.2 two\n")
    text = CONFIGURATION.replace("@folder@", str(tmp_path))
    text = text.replace("@web@", str(free_port())).replace("@other@", str(free_port()))
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

        for order in ORDERS:
            program.ask(order.replace("@folder@", str(tmp_path)))
        routes.write_text("10.0.0.1 one\n10.0.0.2 two\n10.0.0.3 kept\n")
        web, other = (text.splitlines().index(f"frontend {n}") + 1 for n in ("web", "other"))
        acl = text.splitlines().index("  acl worse src 127.9.9.9") + 1
        assert dropped(2, 9) == [
            "the reload has dropped 'set maxconn global 100': the files say 200",
            "the reload has dropped 'set rate-limit connections global 6': the files set no limit",
            "the reload has dropped 'set rate-limit sessions global 5': the files set no limit",
            f"F:{web}: the reload has dropped 'set maxconn frontend web 40': the files say 50",
            f"F:{other}: the reload has dropped 'set maxconn frontend other 30': "
            "the files set no limit",
            f"F:{other}: the reload has opened frontend other, which was closed by order",
            f"the reload has dropped 2 changed entries of acl {tmp_path}/bad.lst: they are not so "
            "in the file",
            f"the reload has dropped 1 changed entry of acl 'src' file 'F' line {acl}: it is not "
            "so in the line",
            f"the reload has dropped 1 changed entry of map {tmp_path}/to.map: it is not so in "
            "the file",
        ]
        assert dropped(3, 0) == []
