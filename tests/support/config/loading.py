"""Configurations from text: written to a file, loaded, and looked at by place."""

from __future__ import annotations

import tempfile
from pathlib import Path

from proxy.config.loader import LoadResult, load
from proxy.config.model.settings import Proxy, Server, Settings
from proxy.config.text.messages import Severity
from proxy.server_table import ServerTable
from resolverd.config import Family

HOSTS = {"localhost": "127.0.0.1", "logs.test": "127.9.9.9"}

NO_FILE = "/nonexistent/resolv.conf"
LISTEN = """\
listen edge
    mode tcp
    bind 127.0.0.1:1
    timeout client 1s
    timeout connect 1s
    timeout server 1s
"""


def resolve_from_table(name: str, family: Family) -> str | None:
    """Stands for libc, so that no test asks a nameserver."""
    return HOSTS.get(name)


def load_text(
    text: str,
    environ: dict[str, str] | None = None,
    ipv6: bool = True,
    resolv_conf: str = NO_FILE,
) -> LoadResult:
    """Load one file with this text, called `t.cfg` in messages."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.cfg"
        path.write_bytes(text.encode(errors="surrogateescape"))
        return load(
            [str(path)],
            environ=environ or {},
            resolve_host=resolve_from_table,
            ipv6_route=lambda: ipv6,
            resolv_conf=resolv_conf,
        )


def settings_of(text: str, ipv6: bool = True, resolv_conf: str = NO_FILE) -> Settings:
    """The settings of a text that has no error."""
    outcome = load_text(text, ipv6=ipv6, resolv_conf=resolv_conf)
    assert outcome.settings is not None, [message.text for message in outcome.messages]
    return outcome.settings


def said(outcome: LoadResult, severity: Severity = Severity.ALERT) -> list[tuple[int, str]]:
    """Line and text of each message of a severity; line 0 where there is no place."""
    return [
        (message.origin.line if message.origin else 0, message.text)
        for message in outcome.messages
        if message.severity is severity
    ]


def only_alert(text: str) -> tuple[int, str]:
    """Line and text of the one error of a configuration."""
    alerts = said(load_text(text))
    assert len(alerts) == 1, alerts
    return alerts[0]


def listen_with(line: str) -> str:
    """A complete listen section with one more line, which is line 7."""
    return f"{LISTEN}    {line}\n"


def listen_settings(line: str) -> Proxy:
    """The proxy that `listen_with` makes."""
    return settings_of(listen_with(line)).proxies[0]


def server_settings(options: str, address: str = "127.0.0.2:80") -> Server:
    """One server with these options, in a configuration that has resolvers `r`."""
    text = f"resolvers r\n    nameserver n 127.0.0.1:53\n{listen_with(f'server s {address} {options}')}"
    return ServerTable(settings_of(text))[0]
