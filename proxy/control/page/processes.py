"""Processes, and the generations that finish their sessions, as tables."""

from __future__ import annotations

from proxy.control.commands.show_info import uptime_text
from proxy.control.page.markup import TABLE_END, alarming, amount, chip, headed_table, row
from proxy.control.page.subject import PageSubject
from proxy.control.situation.troubles import STALE_MS
from proxy.runtime import now_ms
from shm.states import ProcessState

STATE_NAMES = {
    ProcessState.EMPTY: "starting",
    ProcessState.STARTING: "starting",
    ProcessState.READY: "ready",
    ProcessState.STOPPING: "stopping",
    ProcessState.WAITING: "waiting",
    ProcessState.RETIRED: "being replaced",  # answers what it owes
}
PROCESSES_SHOWN_MAX = 24
PROCESS_COLUMNS = "<process|<state|pid|restarts|heartbeat|sessions|accepted|to clients"


def processes(subject: PageSubject) -> list[str]:
    """One row for each child process; of many workers the first."""
    monitor, now = subject.report.monitor, now_ms()
    count = subject.report.runtime.workers
    names = subject.report.runtime.processes
    places = list(names)
    if len(places) > PROCESSES_SHOWN_MAX:
        places = [*places[: PROCESSES_SHOWN_MAX // 2], *places[count:]]
    pieces = [headed_table(PROCESS_COLUMNS, "Processes", "show proc debug; show activity")]
    for position in places:
        status = monitor.board.status(position)
        state = STATE_NAMES[ProcessState(status.state)]
        if not status.pid and (status.started_ms or not status.state):
            state = "not running"
        beats = [beat for beat in (status.main_beat_ms, status.relay_beat_ms) if beat]
        beat_ms = max(0, now - min(beats)) if beats else 0
        beat = f"{beat_ms} ms ago" if beats else ""
        old = f'<span class="bad">{beat}</span>' if beat_ms > STALE_MS else beat
        cells = [("t", names[position]), ("t", chip(state)), ("", str(status.pid))]
        cells += [("", alarming(status.restarts)), ("", old)]
        if position < count:
            counters = monitor.counters.worker(position)
            cells.append(("", str(counters["sessions"])))
            cells.append(("", str(counters["accepts"])))
            cells.append(("", amount(counters["bytes_out"])))
        else:
            cells += [("", "")] * 3
        pieces.append(row(cells, "wrong" if state == "not running" else ""))
    pieces.append(TABLE_END)
    return pieces


def old_generations(subject: PageSubject) -> str:
    """One row for each generation that finishes its sessions; nothing without one."""
    old, now = subject.report.old.living(), now_ms()
    if not old:
        return ""
    rows = []
    for each in old:
        left_ms = each.hard_stop_ms(now)
        rows.append(
            row(
                [
                    ("t", f"generation {each.number}"),
                    ("", str(each.sessions())),
                    ("", str(each.processes())),
                    ("", uptime_text(each.age_ms(now) // 1000)),
                    ("", "never" if left_ms is None else uptime_text(left_ms // 1000)),
                ]
            )
        )
    columns = "<generation|sessions|processes|old for|sessions end in"
    head = headed_table(columns, "Old generations", "show proc debug")
    return f"{head}{''.join(rows)}{TABLE_END}"
