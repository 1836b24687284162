"""The words of the `global` section that set nothing in Millrace, and why.

Owns lists only. A name that ends in a dot is a prefix. The arguments of a word with a shape are
refused where HAProxy refuses them; those of a word without one are named in the notice.
"""

from __future__ import annotations

from proxy.config.drafts import GlobalDraft
from proxy.config.lines.process.tuning import ADVICE, TUNING
from proxy.config.lines.shapes import (
    ALONE,
    ALONE_LENIENT,
    NUMBER,
    ONE,
    TWO,
    ArgumentShape,
    one_of,
)
from proxy.config.lines.table import Table, Word, later, removed, unsupported, without_effect

_ADVICE_TLS = "clients' TLS is forwarded without opening it"
_ADVICE_THREADS = "'nbthread' workers are spread by the kernel"
_ADVICE_EPOLL = "the event loop is always epoll"
_ADVICE_COMPRESSION = "nothing is compressed"
_ADVICE_DEBUG = "it is an aid for those who work on HAProxy"
_ADVICE_HTTP = "Millrace forwards TCP as it is"
_ADVICE_MEMORY = "the operating system manages the memory"

_RANGE = "(all|odd|even|[0-9]+(-[0-9]*)?)"
_CPUS = ArgumentShape(
    2,
    form=rf"(auto:)?{_RANGE}([/,]{_RANGE})*",
    expected="threads, and the CPUs that they run on, as numbers and ranges",
)
_THREAD_GROUP = ArgumentShape(
    2, form=r"[0-9]+(-[0-9]*)?", expected="a group and numbers of threads"
)
BIND_TLS_OPTIONS = ArgumentShape(
    least=1,
    options=dict.fromkeys(
        (
            *("no-sslv3", "no-tlsv10", "no-tlsv11", "no-tlsv12", "no-tlsv13", "no-tls-tickets"),
            *("force-sslv3", "force-tlsv10", "force-tlsv11", "force-tlsv12", "force-tlsv13"),
            *("prefer-client-ciphers", "no-renegotiation", "ssl-reuse", "no-ssl-reuse"),
            *("strict-sni", "tls-tickets"),
        ),
        0,
    )
    | dict.fromkeys(("ssl-min-ver", "ssl-max-ver"), 1),
)
_TLS: dict[str, ArgumentShape | None] = {
    **dict.fromkeys(
        (
            *("issuers-chain-path", "ssl-dh-param-file", "ssl-default-bind-ciphers"),
            *("ssl-default-bind-ciphersuites", "ssl-default-bind-curves"),
        ),
        ONE,
    ),
    **dict.fromkeys(("ssl-mode-async", "ssl-skip-self-issued-ca"), ALONE_LENIENT),
    "ssl-default-bind-options": BIND_TLS_OPTIONS,
    **dict.fromkeys(
        (
            *("key-base", "ssl-default-bind-sigalgs", "ssl-default-bind-client-sigalgs"),
            *("ssl-passphrase-cmd", "acme.scheduler"),
        )
    ),
}
_THREADS: dict[str, ArgumentShape | None] = {
    "cpu-map": _CPUS,
    "thread-group": _THREAD_GROUP,
    "thread-groups": NUMBER,
    "numa-cpu-mapping": ALONE_LENIENT,
    **dict.fromkeys(("cpu-policy", "cpu-set")),
}
_OTHERS: dict[str, Word[GlobalDraft]] = {
    **dict.fromkeys(
        ("noepoll", "nokqueue", "noevports", "nopoll"), without_effect(_ADVICE_EPOLL, shape=ALONE)
    ),
    "noreuseport": without_effect(
        "the workers' sockets share a port by SO_REUSEPORT and cannot do without", shape=ALONE
    ),
    "nogetaddrinfo": without_effect("host names are always found by getaddrinfo", shape=ALONE),
    "set-dumpable": without_effect(
        "whether processes leave core dumps is the host's decision (fs.suid_dumpable)",
        shape=ALONE,
        negatable=True,
    ),
    "thread-hard-limit": without_effect("'nbthread' alone sets the number of workers"),
    "cluster-secret": without_effect("nothing is derived from it", shape=ONE),
    "expose-experimental-directives": without_effect(
        "no word is behind this lock", shape=ALONE_LENIENT
    ),
    "no-memory-trimming": without_effect(_ADVICE_MEMORY, shape=ALONE),
    **dict.fromkeys(
        ("maxzlibmem", "maxcompcpuusage", "maxcomprate"),
        without_effect(_ADVICE_COMPRESSION, shape=ONE),
    ),
    **dict.fromkeys(
        ("maxsslconn", "maxsslrate"),
        without_effect("TLS of clients passes unopened: 'maxconn' limits them", shape=ONE),
    ),
    **dict.fromkeys(("limited-quic", "no-quic"), without_effect("QUIC is not TCP")),
    **dict.fromkeys(
        ("http-err-codes", "http-fail-codes"), without_effect("no HTTP status is looked at")
    ),
    **dict.fromkeys(
        ("prealloc-fd", "shm-stats-file", "shm-stats-file-max-objects"),
        without_effect(_ADVICE_MEMORY),
    ),
    **dict.fromkeys(
        (
            *("anonkey", "warn-blocked-traffic-after", "expose-deprecated-directives"),
            *("stress-level", "force-cfg-parser-pause", "trace"),
        ),
        without_effect(_ADVICE_DEBUG),
    ),
}
PREFIXES: Table[GlobalDraft] = {
    **{prefix: without_effect(advice) for prefix, advice in ADVICE.items()},
    "profiling.": without_effect("use perf on the worker's relay thread"),
    "httpclient.": without_effect("there is no HTTP client"),
    "h1-": without_effect(_ADVICE_HTTP),
    "h2-": without_effect(_ADVICE_HTTP),
    "ocsp-update.": without_effect(_ADVICE_TLS),
    "harden.": later("use the packet filter of the host"),
    "deviceatlas-": unsupported("it needs mode http"),
    "wurfl-": unsupported("it needs mode http"),
    "51degrees-": unsupported("it needs mode http"),
    "lua-": unsupported("Millrace runs no Lua; remove it"),
}
_OF_PREFIXES: dict[str, tuple[str, ArgumentShape]] = {
    "profiling.tasks": ("profiling.", one_of("on", "auto", "off")),
    "httpclient.resolvers.id": ("httpclient.", ONE),
    "httpclient.resolvers.prefer": ("httpclient.", one_of("ipv4", "ipv6")),
    "httpclient.ssl.ca-file": ("httpclient.", ONE),
    "httpclient.ssl.verify": ("httpclient.", one_of("none", "required")),
    "h1-case-adjust": ("h1-", TWO),
    "h1-case-adjust-file": ("h1-", ONE),
    "h1-accept-payload-with-any-method": ("h1-", ALONE),
    "h2-workaround-bogus-websocket-clients": ("h2-", ALONE),
}

GLOBAL_OTHERS: Table[GlobalDraft] = {
    **{name: without_effect(_ADVICE_TLS, shape=shape) for name, shape in _TLS.items()},
    **{
        name: without_effect(_ADVICE_THREADS, shape=shape, negatable=name == "numa-cpu-mapping")
        for name, shape in _THREADS.items()
    },
    **_OTHERS,
    **{
        name: without_effect(PREFIXES[prefix].advice, shape=shape)
        for name, (prefix, shape) in _OF_PREFIXES.items()
    },
    **TUNING,
    "stats-file": later("counters start from 0"),
    "setcap": unsupported("give the capability to the service (AmbientCapabilities of systemd)"),
    "nbproc": removed("'nbthread' sets the number of workers"),
    "debug": removed("use -d on the command line"),
}
