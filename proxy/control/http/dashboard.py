"""The dashboard: one page of tables, made on the server, refreshing itself.

Self-contained (no script, nothing from outside) and streamed, so that a page over ten thousand
servers costs a slow reader's chunk; a backend's table ends after SERVERS_SHOWN_MAX rows. Addresses
appear only where the section says `stats show-legends`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from html import escape

from proxy.config.model.http import StatsPage
from proxy.config.model.settings import Proxy
from proxy.control.commands.show_info import Info, uptime_text
from proxy.control.http.dashboard_style import STYLE
from proxy.control.metrics.dns import preferred_words
from proxy.control.rows.report import Report
from proxy.control.rows.resolution_record import dropped_in_ms, last_valid_ms
from proxy.control.rows.stat_rows import Row
from proxy.runtime import now_ms
from resolverd.dns.answer import Status
from shm.check_status import CheckStatus

REFRESH_SECONDS = 5
SERVERS_SHOWN_MAX = 500  # of one backend; the stats socket shows them all
STATE_NAMES = ("starting", "starting", "ready", "stopping")
UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def amount(count: int | str) -> str:
    """Bytes for people."""
    value, unit = float(count), 0
    while value >= 1024 and unit < len(UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.0f} {UNITS[unit]}" if unit == 0 else f"{value:.1f} {UNITS[unit]}"


def chip(status: str, kind: str = "") -> str:
    """A status with its colour, that of its first word or of `kind`."""
    word = status.partition(" ")[0]
    kinds = {"UP": "up", "OPEN": "up", "ready": "up", "DOWN": "down"}
    kinds |= {"MAINT": "maint", "PAUSED": "maint"}
    kind = kind or kinds.get(word, "drain" if word in ("DRAIN", "NOLB", "STOP", "stopping") else "")
    return f'<span class="s {kind}">{escape(status)}</span>'


def alarming(count: int | str) -> str:
    """A number that should be 0."""
    return f'<span class="bad">{count}</span>' if count else "0"


def resolution_state(record: Mapping[str, int], left_ms: int | None) -> str:
    """How a name does: the last run, and until when its servers live on a hold."""
    status = Status(record["status"]) if record["status"] else None
    if status is None:
        return chip("starting")
    if status is Status.VALID:
        return chip("valid", "up")
    words = status.name.lower().replace("_", " ")
    if left_ms is None:
        return chip(words, "down")
    return chip(f"{words}, dropped in {left_ms // 1000} s", "maint")


def last_check(row: Row, kind: str, text: str) -> str:
    """How the last check of a server or of its agent ended, its status as on HAProxy's page.

    Empty without one; a check that has not ended yet has no code and took no time.
    """
    shown = str(row.get(f"{kind}_status", ""))
    if not shown:
        return ""
    if f"{kind}_code" in row:
        shown += f"/{row[f'{kind}_code']}"
    if CheckStatus[shown.removeprefix("* ").partition("/")[0]] >= CheckStatus.CHECKED:
        shown += f" in {row.get(f'{kind}_duration', 0)}ms"
    return f"{shown} {row.get(f'last_{text}', '')}".rstrip()


def table_head(names: str) -> str:
    """The head of a table; names that begin with `<` are text and stand on the left."""
    cells = (
        f'<th class="t">{name[1:]}</th>' if name.startswith("<") else f"<th>{name}</th>"
        for name in names.split("|")
    )
    return f'<div class="panel"><table><tr>{"".join(cells)}</tr>\n'


def table_row(cells: list[tuple[str, str]], kind: str = "") -> str:
    """One row; each cell is its class and its markup."""
    shown = "".join(f'<td class="{name}">{text}</td>' for name, text in cells)
    return f'<tr class="{kind}">{shown}</tr>\n'


def traffic_cells(row: Row) -> list[tuple[str, str]]:
    """Sessions and bytes, as all three tables of traffic show them."""
    return [
        ("", str(row["rate"])),
        ("", str(row["scur"])),
        ("", str(row["smax"])),
        ("", str(row["stot"])),
        ("", amount(row["bin"])),
        ("", amount(row["bout"])),
    ]


COUNTERS_SHOWN = ("sent", "valid", "nx", "refused", "timeout", "other", "invalid", "truncated")
TRAFFIC = "rate/s|sessions|max|total|in|out"
COLUMNS_OF_BACKEND = 15
TABLE_END = "</table></div>\n"


def shows(wanted: StatsPage, proxy: Proxy) -> bool:
    """Whether a section is within the page's `stats scope`."""
    return not wanted.scope or proxy.name in wanted.scope


class Dashboard:
    """Writes the page, piece by piece."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def page(
        self, wanted: StatsPage, *, refresh: bool, metrics_path: str | None = None
    ) -> Iterator[str]:
        """The whole page; `metrics_path` is one of the section that serves it."""
        seconds = REFRESH_SECONDS if wanted.refresh_seconds is None else wanted.refresh_seconds
        tag = f'<meta http-equiv="refresh" content="{seconds}">' if refresh and seconds else ""
        named = f" on {escape(wanted.node)}" if wanted.node else ""
        yield (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"{tag}<title>Millrace{named}</title><style>{STYLE}</style></head>\n<body><main>\n"
        )
        yield self.summary(wanted) + self.failed_reload()
        yield from self.frontends(wanted)
        for proxy in self.report.backends:
            if shows(wanted, proxy):
                yield from self.backend(proxy, reveal=wanted.show_legends)
        yield from self.resolutions()
        yield from self.nameservers()
        yield from self.processes()
        yield self.old_generations()
        if metrics_path:
            yield f"<footer>{escape(metrics_path)} has all of this for Prometheus</footer>"
        yield "</main></body></html>\n"

    def summary(self, wanted: StatsPage) -> str:
        """The first lines: name, version, and the figures of the whole program."""
        values = Info(self.report).values()
        tiles = (
            (str(values["CurrConns"]), "open sessions"),
            (str(values["ConnRate"]), "connections/s"),
            (str(values["CumConns"]), "connections in all"),
            (f"{amount(values['BytesOutRate'])}/s", "to clients"),
            (f"{100 - int(values['Idle_pct'])} %", "processor use"),
            (str(values["Uptime"]), "since the last reload"),
        )
        shown = "".join(f'<div class="tile"><b>{a}</b><span>{b}</span></div>' for a, b in tiles)
        named = "" if wanted.hide_version else f"{escape(str(values['Version']))} on "
        node = escape(wanted.node or str(values["node"]))
        said = f": {escape(wanted.description)}" if wanted.description else ""
        return (
            f"<header><h1>Millrace</h1><span>{named}"
            f"{node}{said}, process {values['Pid']}, {values['Nbthread']} workers"
            f'</span></header>\n<div class="tiles">{shown}</div>\n'
        )

    def failed_reload(self) -> str:
        """That the last reload failed; empty when it did not."""
        failed_unix_s = self.report.runtime.segment.reload_failed_unix_s
        if not failed_unix_s:
            return ""
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(failed_unix_s))
        return (
            f'<p class="banner">The reload of {when} failed: what is in force is older than the '
            f"files. The log says why.</p>\n"
        )

    def frontends(self, wanted: StatsPage) -> Iterator[str]:
        """One row for each frontend."""
        yield "<h2>Frontends</h2>\n" + table_head(f"<name|<status|limit|{TRAFFIC}|denied|errors")
        for proxy in filter(lambda each: shows(wanted, each), self.report.frontends):
            row = self.report.frontend(proxy)
            yield table_row(
                [
                    ("t", escape(proxy.name)),
                    ("t", chip(str(row["status"]))),
                    ("", str(row["slim"])),
                    *traffic_cells(row),
                    ("", alarming(row["dcon"])),
                    ("", alarming(row["eint"])),
                ]
            )
        yield TABLE_END

    def backend(self, proxy: Proxy, *, reveal: bool) -> Iterator[str]:
        """One row for each server of a backend, and their sum."""
        total = self.report.backend(proxy)
        yield (
            f"<h2>{escape(proxy.name)} <small>{escape(proxy.balance.value)}, "
            f"{total['act']} active and {total['bck']} backup servers</small></h2>\n"
        )
        yield table_head(
            f"<server|<address|<status|<last check|weight|{TRAFFIC}|connect|errors|retries|since"
        )
        servers = self.report.servers.of(proxy)
        for server in servers[:SERVERS_SHOWN_MAX]:
            row = self.report.server(proxy, server, reveal=reveal)
            yield self.server_row(row, escape(server.name), "")
        if len(servers) > SERVERS_SHOWN_MAX:
            more = f"and {len(servers) - SERVERS_SHOWN_MAX} more"
            yield f'<tr><td class="t" colspan="{COLUMNS_OF_BACKEND}">{more}</td></tr>\n'
        yield self.server_row(total, "all", "sum") + TABLE_END

    def server_row(self, row: Row, name: str, kind: str) -> str:
        """One row of a backend's table."""
        check, agent = last_check(row, "check", "chk"), last_check(row, "agent", "agt")
        if agent:
            check += f"{', ' if check else ''}agent {agent}"
        return table_row(
            [
                ("t", name),
                ("t a", escape(str(row.get("addr", "")))),
                ("t", chip(str(row["status"]))),
                ("t", escape(check)),
                ("", str(row["weight"])),
                *traffic_cells(row),
                ("", f"{row['ctime']} ms"),
                ("", alarming(row["econ"])),
                ("", alarming(row["wretr"])),
                ("", uptime_text(int(row["lastchg"]))),
            ],
            kind,
        )

    def resolutions(self) -> Iterator[str]:
        """One row for each name that DNS is asked for."""
        settings = self.report.settings.resolverd
        if not settings.resolutions:
            return
        head = (
            "<name|<resolvers|<preferred|<state|records|servers used|records left over|last success"
        )
        yield "<h2>Names in DNS</h2>\n" + table_head(f"{head}|runs|asked for by failures|came back")
        now = now_ms()
        holds = {section.name: section.holds for section in settings.sections}
        for resolution in settings.resolutions:
            fields = self.report.monitor.counters.resolution(resolution.index)
            valid_ms = last_valid_ms(fields)
            age = (now - valid_ms) // 1000 if valid_ms else -1
            left_ms = dropped_in_ms(fields, holds[resolution.section], now)
            yield table_row(
                [
                    ("t a", escape(resolution.name)),
                    ("t", escape(resolution.section)),
                    ("t", preferred_words(resolution)),
                    ("t", resolution_state(fields, left_ms)),
                    ("", str(fields["records_seen"])),
                    ("", str(fields["slots_used"])),
                    ("", alarming(fields["slots_missing"])),
                    ("", f"{age} s ago" if age >= 0 else "never"),
                    ("", str(fields["runs"])),
                    ("", str(fields["triggers"])),
                    ("", str(fields["returns"])),
                ]
            )
        yield TABLE_END

    def nameservers(self) -> Iterator[str]:
        """One row for each nameserver."""
        sections = self.report.settings.resolverd.sections
        if not any(self.report.nameservers(section) for section in sections):
            return
        yield "<h2>Nameservers</h2>\n" + table_head(
            "<resolvers|<nameserver|" + "|".join(COUNTERS_SHOWN)
        )
        for section in sections:
            for nameserver in self.report.nameservers(section):
                fields = self.report.monitor.counters.nameserver(nameserver.index)
                names = [("t", escape(section.name)), ("t", escape(nameserver.name))]
                yield table_row([*names, *(("", str(fields[name])) for name in COUNTERS_SHOWN)])
        yield TABLE_END

    def processes(self) -> Iterator[str]:
        """One row for each child process."""
        monitor, now, count = self.report.monitor, now_ms(), self.report.runtime.workers
        names = self.report.runtime.segment.shape.process_names
        yield "<h2>Processes</h2>\n" + table_head(
            "<process|<state|pid|restarts|heartbeat|sessions|accepted|to clients"
        )
        for position, name in enumerate(names):
            status = monitor.board.status(position)
            state = STATE_NAMES[status.state] if status.pid or status.state else "not running"
            cells = [("t", name), ("t", chip(state)), ("", str(status.pid))]
            cells.append(("", alarming(status.restarts)))
            beat = f"{max(0, now - status.main_beat_ms)} ms ago" if status.main_beat_ms else ""
            cells.append(("", beat))
            if position < count:
                row = monitor.counters.worker(position)
                cells.append(("", str(row["sessions"])))
                cells.append(("", str(row["accepts"])))
                cells.append(("", amount(row["bytes_out"])))
            else:
                cells += [("", "")] * 3
            yield table_row(cells)
        yield TABLE_END

    def old_generations(self) -> str:
        """One row for each generation that finishes its sessions; nothing without one."""
        old, now = self.report.old.living(), now_ms()
        if not old:
            return ""
        rows = []
        for each in old:
            left_ms = each.hard_stop_ms(now)
            rows.append(
                table_row(
                    [
                        ("t", f"generation {each.number}"),
                        ("", str(each.sessions())),
                        ("", str(each.processes())),
                        ("", uptime_text(each.age_ms(now) // 1000)),
                        ("", "never" if left_ms is None else uptime_text(left_ms // 1000)),
                    ]
                )
            )
        head = table_head("<generation|sessions|processes|old for|sessions end in")
        return f"<h2>Old generations</h2>\n{head}{''.join(rows)}{TABLE_END}"
