"""The dashboard of deploy/grafana: a real Prometheus scrapes a real Millrace and answers each panel."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.kernel import refusals
from tests.support.common import PATIENCE_SECONDS, free_port, require_program, wait_for
from tests.support.dns.scripted import ScriptedNameserver
from tests.support.program.program import NamedBackend, Program, greet

BOARD = json.loads((Path(__file__).parents[2] / "deploy/grafana/millrace.json").read_text())
PANELS: list[dict[str, Any]] = [each for each in BOARD["panels"] if each["type"] != "row"]
QUERIES = [  # title, expression, legend
    *((p["title"], t["expr"], t["legendFormat"]) for p in PANELS for t in p["targets"]),
    *((a["name"], a["expr"], "") for a in BOARD["annotations"]["list"]),
]
NAME = re.compile(r"\b(?:haproxy|millrace)_\w+")
# what the kernel of this host may not tell: who asks it, and the names of what it is asked
HOST = (
    (refusals.throttling, "millrace_kernel_cpu_throttled"),
    (refusals.tracked_connections, "millrace_kernel_conntrack"),
    (lambda: refusals.descriptors(os.getpid()), "millrace_process_descriptors"),
)
GRID_COLUMNS = 24
CONFIGURATION = """
global
  stats socket {{socket}} level admin
  nbthread 2
defaults
  mode tcp
  timeout connect 5s
  timeout client 1m
  timeout server 1m
resolvers r
  nameserver n {nameserver}
frontend fe
  bind 127.0.0.1:{port}
  default_backend be
frontend metrics
  mode http
  bind 127.0.0.1:{metrics}
  http-request use-service prometheus-exporter if {{ path /metrics }}
backend be
  server s1 127.0.0.1:{server} check
  server s2 app.test:80 resolvers r init-addr none
"""


def told(expression: str) -> bool:
    """Whether this host has what the expression asks for."""
    return all(asked() is not None for asked, name in HOST if name in expression)


def plain(expression: str) -> str:
    """With what Grafana fills in."""
    filled = expression.replace("$__rate_interval", "5m")
    for variable in BOARD["templating"]["list"]:
        filled = filled.replace(f"${variable['name']}", variable.get("allValue", ""))
    assert "$" not in filled, expression
    return filled


@contextmanager
def prometheus(folder: Path, target: int) -> Iterator[str]:
    """The address of a Prometheus that scrapes a port of this host."""
    port = free_port()
    job = {"job_name": "millrace", "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
    text = {"global": {"scrape_interval": "500ms"}, "scrape_configs": [job]}
    (folder / "prometheus.yml").write_text(json.dumps(text))
    with (folder / "prometheus.log").open("wb") as log:
        program = subprocess.Popen(
            [
                require_program("prometheus"),
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        program.terminate()
        program.wait(PATIENCE_SECONDS)


def ask(address: str, expression: str) -> list[dict[str, Any]]:
    """What Prometheus answers to an expression."""
    query = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"{address}/api/v1/query?{query}", timeout=30) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return found


class Watched:
    """A Millrace with sessions, a name and an old generation; and who watches it."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        nameserver = stack.enter_context(ScriptedNameserver())
        nameserver.set("app.test", "A", "127.78.22.2")
        server = NamedBackend("127.0.0.1", 0)
        stack.callback(server.close)
        port, self.port = free_port(), free_port()
        program = stack.enter_context(
            Program(
                folder,
                CONFIGURATION.format(
                    nameserver=nameserver.address, port=port, metrics=self.port, server=server.port
                ),
            )
        )
        greeted = greet(("127.0.0.1", port))
        assert greeted is not None
        stack.enter_context(greeted[1])
        program.process.send_signal(signal.SIGUSR2)
        self.address = stack.enter_context(prometheus(folder, self.port))
        lingers = "count_over_time(millrace_old_generation_sessions[1m]) > 2"
        wait_for(lambda: self.result(lingers), 30, "Prometheus has seen the old generation")
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics") as scraped:
            self.names = set(re.findall(r"^(\w+)[{ ]", scraped.read().decode(), re.M))

    def result(self, expression: str) -> list[dict[str, Any]]:
        """The same as `ask`; nothing while Prometheus begins."""
        try:
            return ask(self.address, expression)
        except OSError:
            return []


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with ExitStack() as stack:
        yield Watched(stack, tmp_path_factory.mktemp("dashboard"))


def test_promtool_understands_each_expression(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": plain(expression)}
        for number, (_, expression, _) in enumerate(QUERIES)
    ]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run(
        [require_program("promtool"), "check", "rules", file],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(QUERIES)} rules found" in done.stdout


def test_each_metric_is_one_that_is_exported(watched: Watched) -> None:
    variables = " ".join(str(each["query"]) for each in BOARD["templating"]["list"])
    named = {name: text for _, text, _ in QUERIES for name in NAME.findall(text)}
    missing = {name for name in named if name not in watched.names and told(name)}
    assert not missing
    assert {"haproxy_process_start_time_seconds"} <= set(NAME.findall(variables)) & watched.names


@pytest.mark.parametrize(
    ("title", "expression", "legend"), QUERIES, ids=lambda value: str(value)[:40]
)
def test_each_panel_has_an_answer(
    watched: Watched, title: str, expression: str, legend: str
) -> None:
    if not told(expression):
        pytest.skip("the kernel of this host does not tell it")
    if title == "Reloads" and not legend:
        ask(watched.address, plain(expression))
        return  # of annotations: there is one only in the minute of a reload
    # a scrape that comes too late on a busy machine leaves a gap
    found = wait_for(lambda: ask(watched.address, plain(expression)), PATIENCE_SECONDS, title)
    for series in found:
        assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= series["metric"].keys()


def test_panels_are_laid_out_and_explained() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= GRID_COLUMNS
        cells = set(
            itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"]))
        )
        assert not taken & cells, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    assert all(panel["description"].endswith(".") for panel in PANELS)
    rows = [panel["title"] for panel in BOARD["panels"] if panel["type"] == "row"]
    assert rows[1:] == [
        *("Services", "Sessions", "Queues", "DNS", "Kernel", "Reloads and processes"),
    ]
