"""What every page begins and ends with: title, stop link, clock, the first sentence, links."""

from __future__ import annotations

import time
from html import escape

from proxy.control.commands.show_info import Info
from proxy.control.page.style import STYLE_WORD
from proxy.control.page.subject import PageMoment, PageSubject
from proxy.control.page.view import View
from proxy.control.situation.sentence import Counts, count, last_change, state

STALE_MS = 3_000  # of what a page shows: control looks once a second
REFRESHES = (2, 5, 15)  # seconds that links offer
TOLD = {
    "done": ("The order is in force.", False),
    "none": ("Nothing was changed: it was so already, or no server was chosen.", False),
    "unknown": ("Nothing was changed: no such server, or no such action.", True),
    "stale": ("Nothing was changed: this form was too old. Look again, then order again.", True),
    "replaced": ("Nothing was changed: a reload is replacing this process. Try again.", True),
}


def severity(counts: Counts, found: int) -> str:
    """The colour of the head."""
    if counts.services_down:
        return "down"
    return "amber" if found else "up"


def page_title(subject: PageSubject, moment: PageMoment, counts: Counts, found: int) -> str:
    """Beginning with what is wrong: a tab shows no more."""
    node = moment.page.node or str(Info(subject.report).fixed()["node"])
    if counts.services_down:
        return f"({counts.services_down} down) {node} - Millrace"
    return f"({found} wrong) {node} - Millrace" if found else f"{node} - Millrace"


def age_ms(subject: PageSubject, moment: PageMoment) -> int:
    """How old the data is: since control looked last."""
    return max(0, moment.now_ms - subject.report.monitor.process.looked_ms)


def age_words(subject: PageSubject, moment: PageMoment) -> str:
    """The same for people."""
    return f"data {age_ms(subject, moment) / 1000:.1f} s old"


def _clock(subject: PageSubject, moment: PageMoment) -> str:
    now = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(moment.unix_s))
    old = "bad" if age_ms(subject, moment) > STALE_MS else ""
    return (
        f'<span><b>{escape(now)}</b>, <span class="{old}">{age_words(subject, moment)}</span>'
        ' <span class="aged">and this page older than 3 s</span></span>'
    )


def _refresh(view: View) -> str:
    """The stop link first of all; or links to begin."""
    if view.refresh:
        stop = view.link(refresh=0, page=view.page)
        return f'<a class="stop" href="{stop}">Stop refreshing every {view.refresh} s</a>'
    links = " ".join(
        f'<a href="{view.link(refresh=seconds, page=view.page)}">{seconds} s</a>'
        for seconds in REFRESHES
    )
    return f"<span>Refresh every {links}</span>"


def opening(
    subject: PageSubject, moment: PageMoment, counts: Counts, found: int, *, place: str = ""
) -> str:
    """From the doctype to the first heading; `place` names the page where it is not the first."""
    view = moment.view
    kind = severity(counts, found)
    mark = f"icon-{counts.services_down}-{int(kind == 'amber')}.svg"
    title = escape(page_title(subject, moment, counts, found))
    link = view.link(page=view.page)
    again = f'<a href="{link}">Look again</a>'
    home = f'<a href="{view.home()}">First screen</a>' if place else ""
    heading = "h1" if not place else 'p class="sentence"'
    ending = "h1" if not place else "p"
    down = escape(state(counts))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title>"
        f'<link rel="icon" type="image/svg+xml" href="{view.file(mark)}">'
        f'<link rel="stylesheet" href="{view.file(STYLE_WORD)}"></head>\n<body>'
        f'<nav class="bar" aria-label="Page">{_refresh(view)} {again} {home} '
        f"{_clock(subject, moment)}</nav>\n<main>"
        f'<div class="head {kind}"><{heading}>{down}; <span>last change: '
        f"{escape(last_change(counts))}{'; stopping' if counts.stopping else ''}"
        f"</span></{ending}>{_identity(subject, moment)}</div>\n"
        + (f"<h1>{place}</h1>\n" if place else "")
        + _told(view)
        + _failed_reload(subject)
    )


def _identity(subject: PageSubject, moment: PageMoment) -> str:
    values, page = Info(subject.report).fixed(), moment.page
    version = "" if page.hide_version else f" {escape(str(values['Version']))}"
    node = escape(page.node or str(values["node"]))
    said = f": {escape(page.description)}" if page.description else ""
    return (
        f"<p>Millrace{version} on {node}{said}, process {values['Pid']}, "
        f"{count(int(values['Nbthread']), 'worker')}</p>"
    )


def _told(view: View) -> str:
    if view.told not in TOLD:
        return ""
    text, bad = TOLD[view.told]
    kind = "bad" if bad else "fine"
    return f'<p class="{kind}" role="status">{text}</p>\n'


def _failed_reload(subject: PageSubject) -> str:
    """That the last reload failed; empty when it did not."""
    failed_unix_s = subject.report.runtime.segment.reload_failed_unix_s
    if not failed_unix_s:
        return ""
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(failed_unix_s))
    return (
        f'<p class="bad">The reload of {when} failed: what is in force is older than the '
        "files. The log says why.</p>\n"
    )


def closing(moment: PageMoment) -> str:
    """Where programs find the same."""
    view = moment.view
    metrics = moment.metrics_path
    links = [
        f'<a href="{view.file("csv")}">CSV</a> <code>show stat</code>',
        f'<a href="{view.file("json")}">JSON</a> <code>show stat json</code>',
        f'<a href="{view.file("text")}">text, 80 columns</a>',
    ]
    if metrics:
        link = escape(metrics)
        links.insert(0, f'<a href="{link}">{link}</a> has all of this for Prometheus')
    shown = "".join(f"<span>{each}</span>" for each in links)
    return f'</main><footer class="foot bar">{shown}</footer></body></html>\n'
