"""Metrics that HAProxy has no name for: `millrace_*`.

What operators of DNS-fed proxies lack elsewhere: how old the last valid answer is, how many
records did not find a server, which table generation each worker has seen, which processes were
restarted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from operator import itemgetter

from proxy.control.commands.configuration.comparing import LoadedFiles
from proxy.control.metrics.dns import DnsMetrics
from proxy.control.metrics.families import (
    MISSING,
    Histogram,
    MetricFamily,
    Sample,
    Value,
    labels_of,
)
from proxy.control.metrics.kernel import KernelMetrics
from proxy.control.metrics.rules import rule_metrics
from proxy.control.rows.report import Report
from proxy.control.rows.resolution_record import last_valid_ms
from proxy.relay.state.termination import Termination
from proxy.runtime import now_ms
from resolverd.config import ResolutionSettings
from shm.processes import ProcessStatus
from shm.states import ProcessState

STATES = " ".join(f"{state.value} {state.name.lower()}" for state in ProcessState)
WORKER_COUNTERS = (
    ("accepts", "millrace_worker_accepts_total", "Connections accepted"),
    ("accept_pauses", "millrace_worker_accept_pauses_total", "Pauses for lack of resources"),
    ("maxconn_pauses", "millrace_worker_maxconn_pauses_total", "Pauses because of a limit"),
    ("inspections_cut", "millrace_worker_inspections_cut_total", "Clients judged for lack of room"),
    ("variables_lost", "millrace_worker_variables_lost_total", "Variables that found no room"),
    ("bytes_out", "millrace_worker_bytes_out_total", "Bytes sent to clients"),
    ("bytes_spliced", "millrace_worker_bytes_spliced_total", "Bytes relayed through pipes"),
    ("epoll_turns", "millrace_worker_epoll_turns_total", "Turns of the relay's loop"),
    ("log_overflows", "millrace_worker_log_overflows_total", "Lines of the access log lost"),
    ("schedule_builds", "millrace_worker_schedule_builds_total", "Weight schedules built"),
    ("slot_refreshes", "millrace_worker_slot_refreshes_total", "Server records decoded again"),
)
WORKER_GAUGES = (
    ("sessions", "millrace_worker_current_sessions", "Sessions open now"),
    ("sessions_max", "millrace_worker_max_sessions", "Most sessions open at a time"),
    ("pipes_used", "millrace_worker_pipes_used", "Pipes in use"),
    ("pipes_free", "millrace_worker_pipes_free", "Pipes kept"),
    ("buffer_bytes", "millrace_worker_buffer_bytes", "Memory held by stalled sessions"),
)
RESOLUTION_FIELDS = (
    ("slots_used", False, "millrace_resolution_slots_used", "Servers that have a record"),
    ("slots_missing", False, "millrace_resolution_slots_missing", "Records without a server"),
    ("runs", True, "millrace_resolution_runs_total", "Runs ended"),
    ("triggers", True, "millrace_resolution_triggers_total", "Runs asked for by failed connects"),
    ("returns", True, "millrace_resolution_returns_total", "Records that left and soon came back"),
)


def age_seconds(moment_ms: int, now: int) -> Value:
    """Seconds since a moment; NaN for one that never was."""
    return max(0, now - moment_ms) / 1000 if moment_ms else MISSING


def _age_seconds(
    moment_ms: Callable[[Mapping[str, int]], int],
    now: int,
    _resolution: ResolutionSettings,
    record: Mapping[str, int],
) -> Value:
    return age_seconds(moment_ms(record), now)


def numbers_of(row: Mapping[str, object]) -> dict[str, int]:
    """The plain numbers of a worker's row."""
    return {name: value for name, value in row.items() if isinstance(value, int)}


class OwnMetrics:
    """Builds the families; counts failures of scrapes."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.board = report.monitor.board
        self.dns = DnsMetrics(report)
        self.kernel = KernelMetrics(report)
        self.files = LoadedFiles(report)
        self.scrapes = 0
        self.failures = 0

    def families(self) -> Iterator[MetricFamily | Histogram]:
        """Every `millrace_*` family."""
        yield from self.resolutions()
        yield from self.dns.families()
        yield from self.workers()
        yield rule_metrics(self.report)
        yield from self.kernel.families()
        yield from self.processes()
        yield from self.old_generations()
        yield from self.table()
        for name, text, count in (
            ("scrapes", "Scrapes begun", self.scrapes),
            ("scrape_failures", "Scrapes that ended early", self.failures),
            ("control_accept_pauses", "Pauses of control", self.report.monitor.accept_pauses),
        ):
            yield MetricFamily(f"millrace_{name}_total", True, text, [("", count)])

    def resolutions(self) -> Iterator[MetricFamily]:
        """What each name in DNS gave."""
        now = now_ms()
        moments: dict[str, Callable[[Mapping[str, int]], int]] = {
            "success": last_valid_ms,
            "run": itemgetter("last_run_ms"),
        }
        for what, moment_ms in moments.items():
            ages = self.dns.samples(partial(_age_seconds, moment_ms, now))
            name = f"millrace_resolution_last_{what}_age_seconds"
            yield MetricFamily(name, False, f"Time since the last {what} of a resolution", ages)
        text = "Records of the last valid answer, until its hold is over"
        yield MetricFamily("millrace_resolution_records", False, text, self.dns.held())
        for field, counter, name, text in RESOLUTION_FIELDS:
            yield MetricFamily(name, counter, text, self.dns.field(field))

    def workers(self) -> Iterator[MetricFamily]:
        """The counter row of each worker; `carried` is what those of former generations counted."""
        reader = self.report.monitor.counters
        count = self.report.runtime.workers
        names = [*(str(worker) for worker in range(count)), "carried"]
        rows = [numbers_of(reader.worker(row)) for row in range(count + 1)]
        for field, name, text in WORKER_COUNTERS:
            samples: list[Sample] = [
                (labels_of(worker=who), row[field]) for who, row in zip(names, rows, strict=True)
            ]
            yield MetricFamily(name, True, text, samples)
        for field, name, text in WORKER_GAUGES:
            living = zip(names[:count], rows[:count], strict=True)
            samples = [(labels_of(worker=who), row[field]) for who, row in living]
            yield MetricFamily(name, False, text, samples)
        ended = reader.worker()["terminations"]
        yield MetricFamily(
            "millrace_terminations_total",
            True,
            "Sessions ended, by termination state (two letters as in the log)",
            [(labels_of(state=state.code), ended[state]) for state in Termination],
        )

    def statuses(self) -> list[tuple[str, ProcessStatus]]:
        """Each child's name and what is written about it."""
        names = self.report.runtime.segment.shape.process_names
        return [(name, self.board.status(at)) for at, name in enumerate(names)]

    def processes(self) -> Iterator[MetricFamily]:
        """Restarts, states and heartbeats of the children."""
        now, statuses = now_ms(), self.statuses()
        restarts = [status.restarts for _, status in statuses]
        states = [status.state for _, status in statuses]
        beats = [age_seconds(status.main_beat_ms, now) for _, status in statuses]
        for name, counter, text, values in (
            ("restarts_total", True, "Times it was started again", restarts),
            ("state", False, STATES, states),
            ("heartbeat_age_seconds", False, "Time since its event loop last turned", beats),
        ):
            samples: list[Sample] = [
                (labels_of(process=who), value)
                for (who, _), value in zip(statuses, values, strict=True)
            ]
            yield MetricFamily(f"millrace_process_{name}", counter, text, samples)
        relays: list[Sample] = [
            (labels_of(worker=str(worker)), age_seconds(status.relay_beat_ms, now))
            for worker, (_, status) in enumerate(statuses[: self.report.runtime.workers])
        ]
        shape = self.report.runtime.segment.shape
        if shape.runners:
            late: Sample = ("", statuses[shape.runner_process][1].late_checks)
            text = "External checks that began late, for want of a place"
            yield MetricFamily("millrace_external_checks_late_total", True, text, [late])
        text = "Time since the relay's loop last turned"
        yield MetricFamily("millrace_relay_heartbeat_age_seconds", False, text, relays)

    def old_generations(self) -> Iterator[MetricFamily]:
        """Those whose workers finish their sessions; read at once, because they may end."""
        now, old = now_ms(), self.report.old.living()
        labels = [labels_of(generation=str(each.number)) for each in old]
        ends = [each.hard_stop_ms(now) for each in old]
        for name, text, values in (
            ("sessions", "Sessions that it serves", [each.sessions() for each in old]),
            (
                "age_seconds",
                "Time since a reload told it to finish",
                [each.age_ms(now) / 1000 for each in old],
            ),
            (
                "hard_stop_seconds",
                "Time until its sessions are ended; NaN: never",
                [MISSING if left is None else left / 1000 for left in ends],
            ),
        ):
            samples: list[Sample] = list(zip(labels, values, strict=True))
            yield MetricFamily(f"millrace_old_generation_{name}", False, text, samples)

    def table(self) -> Iterator[MetricFamily]:
        """Generations of the server table: published, and seen by each worker."""
        segment = self.report.runtime.segment
        published: Sample = ("", segment.table_generation)
        yield MetricFamily(
            "millrace_table_generation", False, "Changes of the server table", [published]
        )
        seen: list[Sample] = [
            (labels_of(worker=str(worker)), self.board.status(worker).generation_seen)
            for worker in range(self.report.runtime.workers)
        ]
        text = "Change of the server table that a worker has seen"
        yield MetricFamily("millrace_worker_table_generation_seen", False, text, seen)
        reloads: Sample = ("", segment.reload_generation)
        yield MetricFamily(
            "millrace_reload_generation", False, "1 and one more per reload", [reloads]
        )
        failures: Sample = ("", segment.reload_failures)
        yield MetricFamily(
            "millrace_reload_failures_total", True, "Reloads that failed", [failures]
        )
        succeeded: Sample = ("", int(segment.reload_failed_unix_s == 0))
        text = "Whether the last reload, if there was one, succeeded"
        yield MetricFamily("millrace_last_reload_successful", False, text, [succeeded])
        changed = self.files.changed()
        if changed is not None:
            text = "Whether the files say something else than what was loaded"
            sample: Sample = ("", int(changed))
            yield MetricFamily("millrace_config_changed_since_load", False, text, [sample])
