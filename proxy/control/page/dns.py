"""Names and nameservers as tables, from the records: resolverd may be dead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from itertools import islice

from proxy.control.metrics.dns import preferred_words
from proxy.control.page.markup import TABLE_END, alarming, chip, headed_table, row
from proxy.control.page.subject import PageMoment, PageSubject
from proxy.control.rows.resolution_record import dropped_in_ms, last_valid_ms
from resolverd.config import ResolutionSettings
from resolverd.dns.answer import Status

NAMES_AT_ONCE = 15
NAMESERVERS_AT_ONCE = 15
COUNTERS_SHOWN = ("sent", "valid", "nx", "refused", "timeout", "other", "invalid", "truncated")
NAME_COLUMNS = (
    "<name|<resolvers|<preferred|<state|records|servers used|records left over|last success|runs|"
    "asked for by failures|came back"
)


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
    return chip(f"{words}, dropped in {left_ms // 1000} s", "warn")


def names_table(subject: PageSubject, moment: PageMoment) -> Iterator[str]:
    """One row for each name, those that fail first; of many, the first."""
    every = list(subject.report.names())
    if not every:
        return
    failing = [subject.names.resolution(row) for row in subject.names.failing()[:NAMES_AT_ONCE]]
    rows = {each.index for each in failing}
    well = (each for each in every if each.index not in rows)
    chosen = [*failing, *islice(well, NAMES_AT_ONCE - len(failing))]
    yield headed_table(NAME_COLUMNS, "Names in DNS", "show resolution")
    for each in chosen:
        yield name_row(subject, moment, each)
    yield TABLE_END
    if len(every) > len(chosen):
        left = len(every) - len(chosen)
        yield f'<p class="quiet">and {left:,} more names <code>show resolution</code></p>\n'


def name_row(subject: PageSubject, moment: PageMoment, resolution: ResolutionSettings) -> str:
    """One name."""
    record = subject.report.monitor.counters.resolution(resolution.index)
    holds = subject.names.sections[resolution.section].holds
    valid_ms = last_valid_ms(record)
    left_ms = dropped_in_ms(record, holds, moment.now_ms)
    ago = f"{max(0, moment.now_ms - valid_ms) // 1000} s ago" if valid_ms else "never"
    link = moment.view.link(name=resolution.name, backend="", server="")
    return row(
        [
            ("t a", f'<a href="{link}">{escape(resolution.name)}</a>'),
            ("t", escape(resolution.section)),
            ("t", preferred_words(resolution)),
            ("t", resolution_state(record, left_ms)),
            ("", str(record["records_seen"])),
            ("", str(record["slots_used"])),
            ("", alarming(record["slots_missing"])),
            ("", ago),
            ("", str(record["runs"])),
            ("", str(record["triggers"])),
            ("", str(record["returns"])),
        ]
    )


def nameservers_table(subject: PageSubject) -> Iterator[str]:
    """One row for each nameserver; of many, the first."""
    sections = subject.report.settings.resolverd.sections
    every = (
        (section, each) for section in sections for each in subject.report.nameservers(section)
    )
    chosen = list(islice(every, NAMESERVERS_AT_ONCE))
    if not chosen:
        return
    columns = "<nameserver|<resolvers|" + "|".join(COUNTERS_SHOWN)
    yield headed_table(columns, "Nameservers", "show resolvers")
    for section, nameserver in chosen:
        fields = subject.report.monitor.counters.nameserver(nameserver.index)
        names = [("t", escape(nameserver.name)), ("t", escape(section.name))]
        silent = fields["sent"] and not fields["valid"]
        numbers = (("", str(fields[name])) for name in COUNTERS_SHOWN)
        yield row([*names, *numbers], "weak" if silent else "")
    yield TABLE_END
