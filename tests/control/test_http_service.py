"""The HTTP side: requests that are served, those that are refused, limits, keep-alive."""

from __future__ import annotations

import importlib.metadata
import json
import re
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.model.http import HttpSection, StatsPage
from proxy.config.model.settings import Origin, Proxy
from proxy.control.http.request import BadRequestError, parse_head
from proxy.control.limits import REQUEST_HEAD_BYTES_MAX, SERVICE_CONNECTIONS_MAX
from proxy.runtime import now_ms
from shm.processes import ProcessSelf
from shm.states import ProcessState
from tests.support.common import PATIENCE_SECONDS, wait_for
from tests.support.control.http import dial, exchange, get
from tests.support.control.sections import METRICS, metrics_on, page_at
from tests.support.control.site import World, a_server, control_world, read_all

REQUEST = b"GET /metrics?scope=global HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    servers = (a_server("<b>s1</b>", "127.78.7.1", 80),)
    with control_world(
        [
            Proxy("be", 2, "backend", Origin(), servers=servers),
            Proxy("metrics", 3, "frontend", Origin(), http=METRICS),
            Proxy("stats", 4, "frontend", Origin(), http=page_at("/stats")),
            Proxy(
                "legends",
                5,
                "frontend",
                Origin(),
                http=page_at("/", show_legends=True),
            ),
            Proxy(
                "both",
                6,
                "frontend",
                Origin(),
                http=metrics_on("/prom", "/more", page=StatsPage("/page", hide_version=True)),
            ),
            Proxy("health", 7, "frontend", Origin(), http=HttpSection(monitor_uri="/alive")),
        ]
    ) as made:
        yield made


def test_metrics_are_served_where_the_section_says(world: World) -> None:
    for frontend, path in (
        *(("metrics", "/metrics"), ("metrics", "/"), ("metrics", "/x?scope=global")),
        *(("both", "/prom"), ("both", "/more?scope=global")),
    ):
        answer = get(world, frontend, path)
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert b"\nhaproxy_process_nbthread 2\n" in answer.body


def test_a_metrics_section_has_a_page_where_its_stats_uri_says(world: World) -> None:
    assert get(world, "both", "/page").headers["content-type"].startswith("text/html")
    assert get(world, "both", "/haproxy?stats").status == 503


@pytest.mark.parametrize(
    ("frontend", "path"),
    [
        *(("stats", "/metrics"), ("both", "/metrics"), ("both", "/prom/"), ("both", "/Prom")),
        *(("health", "/metrics"), ("health", "/haproxy?stats"), ("health", "/alive?x")),
    ],
)
def test_nothing_is_served_that_no_line_asks_for(world: World, frontend: str, path: str) -> None:
    assert get(world, frontend, path).status == 503


def test_a_section_answers_that_it_lives(world: World) -> None:
    answer = get(world, "health", "/alive")
    assert (answer.status, answer.body) == (
        200,
        b"<html><body><h1>200 OK</h1>\nService ready.\n</body></html>\n",
    )


def test_ready_is_a_program_with_a_worker_that_serves(world: World) -> None:
    """The world has none yet: its state is nothing, then ready without a beat of the relay."""
    assert get(world, "legends", "/ready").status == 503
    worker = ProcessSelf(world.segment, 0)
    worker.state(ProcessState.READY)
    worker.beat(now_ms())
    answer = get(world, "stats", "/ready")
    assert (answer.status, answer.body) == (503, b"no worker serves\n")
    assert get(world, "stats", "/ready?from=balancer").body == answer.body
    worker.state(ProcessState.EMPTY)


def test_the_version_is_hidden_where_the_section_says(world: World) -> None:
    version = importlib.metadata.version("millrace")
    assert f"{version} on " in get(world, "stats", "/stats").text
    assert version not in get(world, "both", "/page").text


def test_the_page_names_the_metrics_of_its_section(world: World) -> None:
    assert '<a href="/prom">/prom</a> has all of this' in get(world, "both", "/page").text
    assert "has all of this" not in get(world, "stats", "/stats").text


def test_the_page_loads_nothing_from_outside_and_refreshes_only_when_asked(world: World) -> None:
    answer = get(world, "stats", "/stats")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "&lt;b&gt;s1&lt;/b&gt;" in answer.text
    assert "<b>s1</b>" not in answer.text
    for outside in ("http://", "https://", "<script", "src=", "@import", "url(", "style="):
        assert outside not in answer.text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; img-src 'self'; ")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "refresh" not in answer.headers
    asked = get(world, "stats", "/stats?refresh=1")
    assert asked.headers["refresh"] == "2"  # not faster
    assert asked.text.index("Stop refreshing") < asked.text.index("<main>")
    assert "refresh" not in get(world, "stats", "/stats;norefresh?refresh=9").headers


def test_what_the_page_names_is_served(world: World) -> None:
    text = get(world, "stats", "/stats").text
    for kind, link in (
        *(("text/css", re.search(r'stylesheet" href="([^"]+)"', text)),),
        *(("image/svg+xml", re.search(r'image/svg\+xml" href="([^"]+)"', text)),),
    ):
        assert link is not None
        found = get(world, "stats", link[1])
        assert (found.status, found.headers["content-type"].partition(";")[0]) == (200, kind)


def test_the_first_screen_is_text_of_80_columns_for_a_terminal(world: World) -> None:
    answer = get(world, "stats", "/stats", headers={"Accept": "text/plain"})
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    lines = answer.text.splitlines()
    assert lines[0].startswith("The service is up; last change: start ")
    assert max(map(len, lines)) <= 80
    browser = get(world, "stats", "/stats", headers={"Accept": "text/html,text/plain;q=0.9"})
    assert browser.headers["content-type"] == "text/html; charset=utf-8"


def test_a_thing_has_a_page_of_its_own_or_is_not_there(world: World) -> None:
    assert "Backend be" in get(world, "stats", "/stats?backend=be").text
    page = get(world, "stats", "/stats?server=be/%3Cb%3Es1%3C/b%3E")
    assert "Server be/&lt;b&gt;s1&lt;/b&gt;" in page.text
    for gone in ("backend=x", "server=be/x", "server=x", "name=x"):
        assert get(world, "stats", f"/stats?{gone}").status == 404


def test_nobody_gives_orders_where_the_section_does_not_say_so(world: World) -> None:
    assert get(world, "stats", "/stats", method="POST").status == 405


def test_addresses_are_shown_only_where_legends_are(world: World) -> None:
    assert "127.78.7.1" not in get(world, "stats", "/stats").text
    assert "127.78.7.1" not in get(world, "stats", "/stats;csv").text
    assert "127.78.7.1:80" in get(world, "legends", "/").text
    assert "127.78.7.1:80" in get(world, "legends", "/;csv").text


def test_the_page_has_haproxys_csv_and_json_forms(world: World) -> None:
    lines = get(world, "stats", "/stats;csv").text.splitlines()
    assert lines[0].startswith("# pxname,svname,")
    assert len(lines) == 1 + 7
    assert len(json.loads(get(world, "stats", "/stats;json").body)) == 7


@pytest.mark.parametrize(
    ("frontend", "path"), [("both", "/stats"), ("both", "/"), ("stats", "/other")]
)
def test_any_other_path_is_not_found(world: World, frontend: str, path: str) -> None:
    assert get(world, frontend, path).status == 503


def test_other_methods_are_not_allowed(world: World) -> None:
    answer = get(world, "metrics", "/metrics", method="POST")
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD"


def test_head_has_the_headers_and_no_body(world: World) -> None:
    answer = exchange(world, "metrics", b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n")
    assert answer.count(b"\r\n\r\n") == 1


def test_several_requests_on_one_connection_are_answered_in_turn(world: World) -> None:
    answer = exchange(world, "metrics", REQUEST * 3)
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert answer.count(b"\r\n0\r\n\r\n") == 3


def test_http_1_0_gets_a_plain_body_and_the_end(world: World) -> None:
    answer = exchange(world, "metrics", b"GET /metrics?scope=global HTTP/1.0\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert b"Connection: close" in head
    assert body.startswith(b"# HELP ")


def test_a_body_is_never_taken_for_a_request(world: World) -> None:
    smuggled = b"GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(REQUEST)
    assert exchange(world, "metrics", smuggled + REQUEST).count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nContent-Length: 5x\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nContent-Length: +0\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nContent-Length:\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.0\rX: y\r\n\r\n", 400),
        (b"GET ftp://x/metrics HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /metrics HTTP/2.0\r\nHost: x\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 400),
        (b"GET /metrics?scope=nonsense HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /" + b"x" * (REQUEST_HEAD_BYTES_MAX + 5_000), 431),
    ],
)
def test_a_bad_request_is_told_so(world: World, request_bytes: bytes, status: int) -> None:
    assert exchange(world, "metrics", request_bytes).startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /metrics?scope=global HTTP/1.0\n\n",
        b"GET /metrics?scope=global HTTP/1.1\nHost: x\n\r\n",
        b"GET /metrics?scope=global HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"\r\nGET /metrics?scope=global HTTP/1.0\r\n\r\n",
        b"GET /metrics?scope=global HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n",
        b"GET /metrics?scope=global HTTP/1.0\r\nContent-Length: 0, 0\r\n\r\n",
    ],
)
def test_what_haproxy_answers_is_answered(world: World, request_bytes: bytes) -> None:
    assert exchange(world, "metrics", request_bytes).startswith(b"HTTP/1.1 200 ")


@pytest.mark.slow
def test_a_request_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.control.http.connection.REQUEST_HEAD_SECONDS_MAX", 0.1)
    with (
        control_world([Proxy("m", 2, "frontend", Origin(), http=METRICS)]) as made,
        dial(made, "m") as idle,
        dial(made, "m") as slow,
    ):
        slow.sendall(b"GET /metrics HTTP/1.1\r\n")
        assert slow.recv(100).startswith(b"HTTP/1.1 408 ")
        assert idle.recv(100) == b""


def open_connections(made: World, frontend: str) -> int:
    """What `show stat` counts for a statistics section."""
    header, row = made.ask(f"show stat {frontend} 1 -1").strip().splitlines()
    return int(row.split(",")[header.removeprefix("# ").split(",").index("scur")])


@pytest.mark.slow
def test_a_reader_that_takes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = "proxy.control.http.connection.RESPONSE_SECONDS_MAX"
    monkeypatch.setattr(limit, 3.0)  # far above what another scrape takes beside it
    servers = tuple(a_server(f"s{number}", "127.78.7.1", 80) for number in range(3_000))
    proxies = [
        Proxy("be", 2, "backend", Origin(), servers=servers),
        Proxy("m", 3, "frontend", Origin(), http=METRICS),
    ]
    with control_world(proxies) as made, dial(made, "m") as slow:
        slow.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        wait = slow.recv(1)
        assert wait == b"H"
        monkeypatch.setattr(limit, PATIENCE_SECONDS)  # the limit of those that come now
        answer = get(made, "m", "/metrics?scope=global")
        assert answer.status == 200
        wait_for(lambda: open_connections(made, "m") == 0, 20, "the slow reader given up")
        received = b""
        try:
            received = read_all(slow)
        except ConnectionResetError:
            received = b"reset"
        assert not received.endswith(b"0\r\n\r\n")


def test_more_connections_than_the_limit_wait_their_turn(world: World) -> None:
    clients = [dial(world, "metrics") for _ in range(SERVICE_CONNECTIONS_MAX)]
    with dial(world, "metrics") as late:
        late.sendall(REQUEST)
        late.shutdown(socket.SHUT_WR)
        for client in clients:
            client.close()
        assert read_all(late).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.slow
def test_silent_connections_cannot_keep_every_place(world: World) -> None:
    half = b"GET /metrics?scope=global HTTP/1.1\r\nHost:"
    clients = [dial(world, "metrics") for _ in range(SERVICE_CONNECTIONS_MAX)]
    for client in clients:
        client.sendall(half)
    with dial(world, "metrics") as late:
        late.sendall(REQUEST)
        late.shutdown(socket.SHUT_WR)
        assert read_all(late).startswith(b"HTTP/1.1 200 OK")  # though no client has left
    clients[-1].sendall(b" x\r\n\r\n")  # one of the others is in the middle of its request
    assert clients[-1].recv(12) == b"HTTP/1.1 200"
    for client in clients:
        client.close()


def test_the_section_counts_its_own_sessions(world: World) -> None:
    def row() -> list[str]:
        return world.ask("show stat metrics 1 -1").splitlines()[1].split(",")

    before = int(row()[7])
    get(world, "metrics", "/metrics?scope=global")
    get(world, "metrics", "/metrics", method="POST")
    after = row()
    assert int(after[7]) == before + 2
    assert int(after[8]) > 0
    assert int(after[9]) > 0
    assert int(after[42]) >= 1  # hrsp_4xx


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_a_refusal(head: bytes) -> None:
    try:
        request = parse_head(head)
    except BadRequestError:
        return
    assert request.method in ("GET", "HEAD")
    assert request.path.startswith("/")
