"""The words of the `global` section that set nothing in Millrace, and why.

Owns lists only. Names ending in a dot stand for every word that begins so.
"""

from __future__ import annotations

from proxy.config.drafts import GlobalDraft
from proxy.config.messages import ConfigError
from proxy.config.units import parse_size
from proxy.config.words import Statement, Table, later, removed, unsupported, without_effect, works

_ADVICE_TUNE = "the relay sizes its own buffers and loops"
_ADVICE_TLS = "Millrace forwards TLS without opening it"
_ADVICE_THREADS = "'nbthread' workers are spread by the kernel"
_ADVICE_LUA = "remove it"

_NO_TLS = (
    *("ca-base", "crt-base", "key-base", "issuers-chain-path", "ssl-server-verify"),
    *("ssl-default-bind-ciphers", "ssl-default-bind-ciphersuites", "ssl-default-bind-curves"),
    *("ssl-default-bind-options", "ssl-default-bind-sigalgs", "ssl-default-server-ciphers"),
    *("ssl-default-bind-client-sigalgs", "ssl-default-server-ciphersuites", "ssl-dh-param-file"),
    *("ssl-default-server-options", "ssl-default-server-curves", "ssl-default-server-sigalgs"),
    *("ssl-default-server-client-sigalgs", "ssl-load-extra-files", "ssl-load-extra-del-ext"),
    *("ssl-mode-async", "ssl-engine", "ssl-propquery", "ssl-provider", "ssl-provider-path"),
    *("ssl-skip-self-issued-ca", "ssl-security-level", "ssl-passphrase-cmd", "acme.scheduler"),
)
_THREADS = (
    *("cpu-map", "cpu-policy", "cpu-set", "thread-group", "thread-groups", "numa-cpu-mapping"),
    *("thread-hard-limit",),
)
_POLLERS = ("noepoll", "nokqueue", "noevports", "nopoll", "noreuseport", "nogetaddrinfo")
_PROCESS = (
    *("set-dumpable", "mworker-max-reloads", "localpeer", "insecure-setuid-wanted"),
    *("insecure-fork-wanted", "pp2-never-send-local", "anonkey", "limited-quic", "no-quic"),
    *("cluster-secret", "warn-blocked-traffic-after", "expose-deprecated-directives"),
    *("expose-experimental-directives", "no-memory-trimming", "prealloc-fd", "shm-stats-file"),
    *("shm-stats-file-max-objects", "stress-level", "force-cfg-parser-pause", "set-var"),
    *(
        "set-var-fmt",
        "http-err-codes",
        "http-fail-codes",
        "trace",
        "maxzlibmem",
        "maxcompcpuusage",
        "maxcomprate",
    ),
)
_RATES = ("maxsslconn", "maxsslrate", "maxpipes")
_SIZES = (
    *("tune.bufsize", "tune.pipesize", "tune.rcvbuf.client", "tune.rcvbuf.server"),
    *("tune.sndbuf.client", "tune.sndbuf.server", "tune.rcvbuf.frontend", "tune.rcvbuf.backend"),
    *("tune.sndbuf.frontend", "tune.sndbuf.backend", "tune.maxrewrite"),
)
PREFIXES: Table[GlobalDraft] = {
    "tune.": without_effect(_ADVICE_TUNE),
    "profiling.": without_effect("use perf on the worker's relay thread"),
    "httpclient.": without_effect("there is no HTTP client"),
    "h1-": without_effect("Millrace forwards TCP as it is"),
    "h2-": without_effect("Millrace forwards TCP as it is"),
    "ocsp-update.": without_effect(_ADVICE_TLS),
    "harden.": later("use the packet filter of the host"),
    "deviceatlas-": unsupported("it needs mode http"),
    "wurfl-": unsupported("it needs mode http"),
    "51degrees-": unsupported("it needs mode http"),
    "lua-": unsupported("Millrace runs no Lua; remove it"),
}


def _size(statement: Statement, _draft: GlobalDraft) -> None:
    try:
        parse_size(statement.one("a size"))
    except ConfigError as error:
        raise ConfigError(f"'{statement.keyword}' : {error}") from error
    statement.notice(f"'{statement.keyword}' has no effect here: {_ADVICE_TUNE}")


GLOBAL_OTHERS: Table[GlobalDraft] = {
    **dict.fromkeys(_NO_TLS, without_effect(_ADVICE_TLS)),
    **dict.fromkeys(_THREADS, without_effect(_ADVICE_THREADS)),
    **dict.fromkeys(_POLLERS, without_effect("the event loop is always epoll")),
    **dict.fromkeys(_PROCESS, without_effect("nothing in Millrace depends on it")),
    **dict.fromkeys(_RATES, later("'maxconn' limits connections")),
    **dict.fromkeys(_SIZES, works(_size)),
    "stats-file": later("counters start from 0"),
    "external-check": unsupported("use a TCP check ('check' on the server line)"),
    "setcap": unsupported("give the capability to the service (AmbientCapabilities of systemd)"),
    "nbproc": removed("'nbthread' sets the number of workers"),
    "debug": removed("use -d on the command line"),
}
