"""The loads about rules: what conditions, lists, maps and tables add to a short connection.

Owns their list. Each stands beside a load without rules that has the same clients.
"""

from __future__ import annotations

from loadtest.cpu import tree_private_bytes
from loadtest.instance import Instance
from loadtest.knocking import asking, beside_flood, greeting, refused
from loadtest.load import Load, at_once
from loadtest.programs import DNS_PROGRAMS, Setup
from loadtest.site import Site
from loadtest.traffic import Sample, close

RULES = (
    "tcp-request connection reject if { src 192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 }",
    "tcp-request connection accept if { dst_port 1 }",
    "tcp-request session reject if !{ src 127.0.0.0/8 }",
    "tcp-request content reject if { src_port 1 }",
)
RULES_OF_BYTES = (
    "tcp-request inspect-delay 5s",
    "tcp-request content accept if { req.payload(0,4) -m str POST } or { req.payload(0,4) -m str "
    "'GET ' }",
    "tcp-request content reject",
)
TRACKED = (
    "stick-table type ip size 1m expire 1h store conn_cnt,conn_cur,conn_rate(10s)",
    "tcp-request connection track-sc0 src",
)
REFUSED = ("tcp-request connection reject if { src 127.200.0.0/14 }",)

SETTLE_SECONDS = 1.0


def at_rest(instance: Instance, _site: Site, _seconds: int) -> Sample:
    """The time of the start, and memory."""
    instance.settle(SETTLE_SECONDS)
    return {
        "start_ms": instance.start_ms,
        "private_mb": tree_private_bytes(instance.pid) / 1e6,
    }


RULE_LOADS = (
    Load(
        "closerules",
        "short connection, four rules",
        at_once(close),
        Setup(rules=RULES),
        programs=DNS_PROGRAMS,
    ),
    Load(
        "closebytes",
        "short connection, by its first bytes",
        at_once(close),
        Setup(rules=RULES_OF_BYTES),
        programs=DNS_PROGRAMS,
    ),
    Load("knock", "short connection, 65,536 addresses", asking, programs=DNS_PROGRAMS),
    Load("list1", "a list of 100,000", asking, Setup(lists=1), programs=DNS_PROGRAMS),
    Load("list20", "20 such lists", asking, Setup(lists=20), programs=DNS_PROGRAMS, brief=False),
    Load("bare", "a start without rules", at_once(at_rest), programs=DNS_PROGRAMS, brief=False),
    Load(
        "million",
        "a list of 1,000,000",
        at_once(at_rest),
        Setup(lists=1, networks=1_000_000),
        programs=DNS_PROGRAMS,
        brief=False,
    ),
    Load("track", "followed in a table", asking, Setup(rules=TRACKED), programs=DNS_PROGRAMS),
    Load(
        "knock2",
        "short connection, two workers",
        asking,
        Setup(workers=2),
        programs=DNS_PROGRAMS,
        brief=False,
    ),
    Load(
        "track2",
        "followed in a table, two workers",
        asking,
        Setup(workers=2, rules=TRACKED),
        programs=DNS_PROGRAMS,
        brief=False,
    ),
    Load("hello", "a ClientHello", greeting, programs=DNS_PROGRAMS),
    Load("names1000", "1,000 names", greeting, Setup(mapped=1_000), programs=DNS_PROGRAMS),
    Load("refused", "refused clients", refused, Setup(rules=REFUSED), programs=DNS_PROGRAMS),
    Load("calm", "no flood", beside_flood, programs=DNS_PROGRAMS),
    Load("flood", "beside a flood", beside_flood, Setup(rules=REFUSED), programs=DNS_PROGRAMS),
)
