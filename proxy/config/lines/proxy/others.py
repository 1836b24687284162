"""The words of proxy sections that set nothing in Millrace, and why.

Owns lists only. To implement a word that is not supported yet, add its handler in words.py and
remove it from the list.
"""

from __future__ import annotations

from proxy.config.drafts import ProxyDraft
from proxy.config.lines.shapes import RANGES
from proxy.config.lines.table import Table, later, removed, unsupported, without_effect

_LATER = ("guid", "log-steps")
_NO_STICKINESS = "use 'stick on src' to keep a client on its server"
_UNSUPPORTED = {
    "dispatch": "write a 'server' line",
    "transparent": "write the addresses of the servers",
    "compression": "compress at the servers",
    "filter": "bytes are forwarded as they are; shape traffic with tc(8), by 'set-fc-mark'",
    "use-fcgi-app": "it needs mode http",
    "hash-preserve-affinity": "consistent hashing passes over a server that takes no sessions",
    "quic-initial": "QUIC is not TCP",
}
_REMOVED = {
    "redispatch": "use 'option redispatch'",
    "clitimeout": "use 'timeout client'",
    "contimeout": "use 'timeout connect'",
    "srvtimeout": "use 'timeout server'",
    "forceclose": "remove it",
    "grace": "use 'grace' in the global section",
    "monitor-net": "remove it and allow the checks",
    "block": "it needs mode http, which Millrace does not forward",
    "appsession": _NO_STICKINESS,
    "nolog": "use 'no log'",
}
_HEADER_WORDS = (
    *("reqadd", "reqallow", "reqdel", "reqdeny", "reqpass", "reqrep", "reqtarpit", "reqiallow"),
    *("reqidel", "reqideny", "reqipass", "reqirep", "reqitarpit", "reqsetbe", "reqisetbe"),
    *("rspadd", "rspdel", "rspdeny", "rsprep", "rspidel", "rspideny", "rspirep"),
)

PROXY_OTHERS: Table[ProxyDraft] = {
    **dict.fromkeys(_LATER, later()),
    **{name: unsupported(advice) for name, advice in _UNSUPPORTED.items()},
    **{name: removed(advice) for name, advice in _REMOVED.items()},
    **dict.fromkeys(_HEADER_WORDS, removed("headers need mode http, which is not forwarded")),
    "bind-process": without_effect("every worker serves every section", shape=RANGES),
}
