"""The metric of rules of connections: how often each acted.

A series a rule, and its text as a label, cut so that a rule with hundreds of addresses does not
make each scrape long; section and line tell one rule from another.
"""

from __future__ import annotations

from proxy.control.metrics.families import MetricFamily, labels_of
from proxy.control.rows.report import Report

RULE_TEXT_MAX = 128  # characters of a label; `show rules` has the whole


def rule_metrics(report: Report) -> MetricFamily:
    """One family, whose samples are made while they are rendered."""
    hits = report.monitor.all_hits
    samples = (
        (
            labels_of(
                proxy=proxy.name,
                line=f"{rule.origin.file}:{rule.origin.line}",
                rule=rule.text[:RULE_TEXT_MAX],
            ),
            hits(rule.number),
        )
        for proxy, rule in report.settings.rules
        if not proxy.disabled
    )
    return MetricFamily(
        "millrace_rule_hits_total", True, "Times that a rule of connections acted", samples
    )
