"""Metrics of what the kernel refuses or delays before a relay sees it; no counter of ours shows it.

A client that finds the accept queue full, a connect without a free port, a program that waits for
its CPU quota: clients notice these, and nothing else tells them.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import suppress

from proxy.config.model.sockets import SocketFamily
from proxy.control.limits import LISTENING_READ_MAX
from proxy.control.metrics.families import Labels, MetricFamily, Sample, labels_of
from proxy.control.rows.report import Report
from proxy.kernel import refusals
from proxy.kernel.listening import Listening, listening
from proxy.kernel.refusals import Occupancy

FAMILIES = {SocketFamily.IPV4: socket.AF_INET, SocketFamily.IPV6: socket.AF_INET6}
Address = tuple[int, str, int]  # family, host, port
LISTEN_TEXTS = {
    "overflows": "Clients that found the accept queue of their socket full",
    "drops": "Clients that were dropped before they were accepted, for whatever reason",
}


class KernelMetrics:
    """Builds the families."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.labels: dict[Address, Labels] = {}
        for proxy in report.settings.frontends:
            for bind in proxy.binds:
                family, host = FAMILIES.get(bind.endpoint.family), bind.endpoint.host
                if family is not None:
                    address = (family, str(ipaddress.ip_address(host)), bind.endpoint.port)
                    title = f"[{host}]" if family == socket.AF_INET6 else host
                    self.labels[address] = labels_of(
                        proxy=proxy.name, address=f"{title}:{bind.endpoint.port}"
                    )

    def families(self) -> Iterator[MetricFamily]:
        """All that this kernel tells."""
        yield from self.queues()
        for word, count in refusals.listen_counters().items():
            text = f"{LISTEN_TEXTS[word]}, in this network"
            yield MetricFamily(f"millrace_kernel_listen_{word}_total", True, text, [("", count)])
        if (ports := refusals.local_ports()) is not None:
            text = "Ports from which one address can connect to one server"
            yield MetricFamily("millrace_kernel_local_ports", False, text, [("", ports)])
        if (tracked := refusals.tracked_connections()) is not None:
            text = "Connections that nf_conntrack follows"
            yield from limited("millrace_kernel_conntrack_entries", text, [("", tracked)])
        if (waited := refusals.throttling()) is not None:
            name, text = "millrace_kernel_cpu_throttled", "of the CPU quota in which it waited"
            yield MetricFamily(
                f"{name}_periods_total", True, f"Periods {text}", [("", waited.periods)]
            )
            yield MetricFamily(
                f"{name}_seconds_total", True, f"Time {text}", [("", waited.seconds)]
            )
        yield from limited("millrace_process_descriptors", "Open descriptors", self.descriptors())

    def queues(self) -> Iterator[MetricFamily]:
        """The accept queues of each address, all sockets that listen there together.

        Left out where more sockets listen than can be read without keeping others waiting.
        """
        found: dict[Address, Occupancy] = {}
        with suppress(OSError):
            for number, each in enumerate(self.listening()):
                if number == LISTENING_READ_MAX:
                    return
                address = (each.family, each.host, each.port)
                if address in self.labels:
                    used, limit = found.get(address, Occupancy(0, 0))
                    found[address] = Occupancy(used + each.waiting, limit + each.limit)
        samples = [(self.labels[address], counted) for address, counted in found.items()]
        text = "Clients that are not accepted yet, over all sockets of the address"
        yield from limited("millrace_listen_queue", text, samples)

    def listening(self) -> Iterator[Listening]:
        """All TCP sockets that listen in this network."""
        for family in {family for family, _, _ in self.labels}:
            yield from listening(family)

    def descriptors(self) -> list[tuple[Labels, Occupancy]]:
        """Those of each child, where the kernel tells them."""
        board, names = self.report.monitor.board, self.report.runtime.segment.shape.process_names
        counted = {
            name: refusals.descriptors(pid)
            for place, name in enumerate(names)
            if (pid := board.status(place).pid)
        }
        return [
            (labels_of(process=name), each) for name, each in counted.items() if each is not None
        ]


def limited(
    name: str, text: str, counted: list[tuple[Labels, Occupancy]]
) -> Iterator[MetricFamily]:
    """What there is of something, and its limit; nothing where the kernel tells nothing."""
    if not counted:
        return
    used: list[Sample] = [(labels, each.used) for labels, each in counted]
    limits: list[Sample] = [(labels, each.limit) for labels, each in counted]
    yield MetricFamily(name, False, text, used)
    yield MetricFamily(f"{name}_limit", False, f"{text}: how many there may be", limits)
