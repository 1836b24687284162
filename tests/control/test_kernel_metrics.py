"""What the kernel refuses, as metrics: held against real sockets, and files as kernels write them."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as text_families

from proxy.config.model.settings import Bind, Endpoint, Origin, Proxy, SocketFamily
from proxy.control.metrics import kernel
from proxy.kernel import refusals
from proxy.kernel.listening import listening
from proxy.kernel.refusals import Occupancy, Throttling, extended_counters
from tests.support.common import PATIENCE_SECONDS, free_port, wait_for
from tests.support.control.http import get
from tests.support.control.sections import METRICS
from tests.support.control.site import World, control_world

PORT = free_port()
QUEUE = 3


def bind(index: int, host: str, family: SocketFamily = SocketFamily.IPV4) -> Bind:
    return Bind(index, 0, Endpoint(family, host, PORT), Origin())


@pytest.fixture
def world() -> Iterator[World]:
    binds = (bind(0, "127.44.21.1"), bind(1, "::1", SocketFamily.IPV6), bind(2, "127.44.21.2"))
    proxies = [
        Proxy("in", 2, "frontend", Origin(), binds=binds),
        Proxy("prom", 3, "frontend", Origin(), http=METRICS),
    ]
    with control_world(proxies) as made:
        yield made


def scrape(world: World) -> dict[tuple[str, str], float]:
    """Each kernel metric by name and label."""
    families = text_families(get(world, "prom", "/metrics?scope=millrace").text)
    return {
        (sample.name, sample.labels.get("address", sample.labels.get("process", ""))): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith(("millrace_listen", "millrace_kernel", "millrace_process_desc"))
    }


def test_queues_of_an_address_are_those_of_all_its_sockets(world: World) -> None:
    with ExitStack() as stack:
        for host in ("127.44.21.1", "127.44.21.1", "::1"):
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = stack.enter_context(socket.socket(family))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind((host, PORT))
            listener.listen(QUEUE)
        for _ in range(2):
            stack.enter_context(socket.create_connection(("127.44.21.1", PORT)))
        stack.enter_context(socket.create_connection(("::1", PORT)))
        found = scrape(world)
    queues = {key: value for key, value in found.items() if key[0].startswith("millrace_listen")}
    assert queues == {
        ("millrace_listen_queue", f"127.44.21.1:{PORT}"): 2,
        ("millrace_listen_queue", f"[::1]:{PORT}"): 1,
        ("millrace_listen_queue_limit", f"127.44.21.1:{PORT}"): 2 * QUEUE,
        ("millrace_listen_queue_limit", f"[::1]:{PORT}"): QUEUE,
    }


def test_overflows_are_counted(world: World) -> None:
    before = scrape(world)["millrace_kernel_listen_overflows_total", ""]
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.44.21.1", PORT))
        listener.listen(0)
        clients = [stack.enter_context(socket.socket()) for _ in range(4)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(("127.44.21.1", PORT))
        after = scrape(world)["millrace_kernel_listen_overflows_total", ""]
    assert after > before


def test_ports_and_descriptors_are_the_kernels(world: World) -> None:
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert scrape(world)["millrace_kernel_local_ports", ""] == high - low + 1
    if Path("/proc/self/fd").stat().st_size:  # Linux 6.2
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]

        def alike() -> bool:  # the connection of the scrape may be about to end
            counted = len(list(Path(f"/proc/{world.pid}/fd").iterdir()))
            return refusals.descriptors(world.pid) == Occupancy(counted, limit)

        wait_for(alike, PATIENCE_SECONDS, "both count the same")


def test_too_many_listening_sockets_are_not_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "LISTENING_READ_MAX", 1)
    world.kill()
    world.start()
    with ExitStack() as stack:
        for host in ("127.44.21.1", "127.44.21.2"):
            listener = stack.enter_context(socket.socket())
            listener.bind((host, PORT))
            listener.listen()
        assert not any("queue" in name for name, _ in scrape(world))


def test_files_of_another_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    monkeypatch.setattr(refusals, "PROC", proc)
    monkeypatch.setattr(refusals, "CGROUPS", groups)
    asked = (
        refusals.local_ports,
        refusals.tracked_connections,
        refusals.throttling,
        refusals.listen_counters,
    )
    assert [ask() for ask in asked] == [None, None, None, {}]
    assert refusals.descriptors(os.getpid()) is None
    for path, text in (
        (proc / "sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
        (proc / "sys/net/netfilter/nf_conntrack_count", "12\n"),
        (proc / "sys/net/netfilter/nf_conntrack_max", "262144\n"),
        (proc / "self/cgroup", "1:name=systemd:/\n0::/edge.slice\n"),
        (groups / "edge.slice/cpu.stat", "usage_usec 9\nnr_throttled 7\nthrottled_usec 1500000\n"),
        (proc / "net/netstat", "TcpExt: A ListenOverflows ListenDrops\nTcpExt: 1 2 3\nIpExt: x\n"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert [ask() for ask in asked] == [
        28_232,
        Occupancy(12, 262_144),
        Throttling(7, 1.5),
        {"overflows": 2, "drops": 3},
    ]


def test_a_kernel_without_a_counter_has_none_of_it() -> None:
    assert extended_counters("TcpExt: A B\n") == {}
    assert extended_counters("") == {}


def test_the_kernel_tells_queue_and_limit() -> None:
    with socket.socket() as listener:
        listener.bind(("127.44.21.9", 0))
        listener.listen(5)
        port = listener.getsockname()[1]
        with socket.create_connection(("127.44.21.9", port)):
            [found] = listening(socket.AF_INET, port)
    assert (found.host, found.port, found.waiting, found.limit) == ("127.44.21.9", port, 1, 5)
