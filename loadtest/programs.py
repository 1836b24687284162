"""The proxies under test: how each is found, configured for speed, and started.

Owns command lines and configuration texts. Knows no load. Millrace gets the same file as HAProxy.
Each program is described once, so a further peer is one more entry.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from loadtest.rule_files import NETWORKS, list_lines, map_lines, map_sections
from loadtest.site import (
    NAMES_SECTION,
    PROBE_LABEL,
    PROBE_NAME,
    HostPort,
    ProxiedService,
    Site,
    checked_address,
    idle_address,
    name_of,
)

ROOT = Path(__file__).resolve().parent.parent
STATS_SOCKET = "stats.sock"
PIDFILE = "proxy.pid"
SYSTEM_FOLDERS = "/usr/sbin:/sbin:/usr/local/sbin"
VERSION_SECONDS = 10.0
PROBE_RESOLVE_MS = 20  # `timeout resolve` of the name that changes
PROBE_LABEL_RESOLVE_MS = 100  # of an SRV label with many records
PAYLOAD_MAX = 65_535
CHECKED_INTER_MS = 2_000
SESSIONS_BESIDE_CHECKS = 1_000
NGINX_STREAM_MODULES = (
    Path("/usr/lib/nginx/modules/ngx_stream_module.so"),
    Path("/usr/lib64/nginx/modules/ngx_stream_module.so"),
)


@dataclass(frozen=True, slots=True)
class Setup:
    """The configuration that a load needs: workers, servers, checks, names."""

    workers: int = 1
    web_servers: int | None = None  # in the first backend; None: those of the site, once each
    check_inter_ms: int = 0  # 0: no health checks
    http_checks: bool = False  # `option httpchk`: they ask for a page
    checked: int = 0  # servers that are only checked, half of them silent
    balance: str = "roundrobin"
    access_log: bool = False  # `option tcplog`, to the site's syslog address
    rules: tuple[str, ...] = ()  # lines of the first section, a frontend with clients
    idle_rules: tuple[str, ...] = ()  # of the section of the idle connections
    lists: int = 0  # rules with a list of networks each, none of which has the client
    networks: int = NETWORKS  # lines of each
    mapped: int = 0  # names in the map that chooses a backend by a ClientHello
    names: int = 0  # to be resolved, each for a server of its own
    absent: int = 0  # of them that the zone does not have: NXDOMAIN
    resolve_ms: int = 0  # their `timeout resolve`
    periods: int = 2  # measured ones, of `resolve_ms` each
    changes: int = 0  # of the address of one more name, with a section of its own
    records: int = 0  # of that name as an SRV label, with a server for each; 0: a host name
    sections: int = 0  # idle ones, each with a listener
    sections_after: bool = False  # behind those with traffic, instead of before them
    sessions_max: int = 0  # global maxconn; 0: what the descriptors of one process allow
    of_all_workers: bool = False  # no global maxconn: what the descriptors of all allow
    metrics: bool = False  # a section that serves them, where else the changing name is
    server_places: int = 0  # maxconn of each web server; 0: none


@dataclass(frozen=True, slots=True)
class Program:
    """A proxy that was found on this machine."""

    name: str
    version: str
    command: tuple[str, ...]
    configuration: Callable[[Site, Setup, Path], str]
    arguments: Callable[[Path, Path], tuple[str, ...]]  # of configuration file and scratch folder


@dataclass(frozen=True, slots=True)
class Missing:
    """A proxy that is not installed, and why."""

    name: str
    reason: str


def find_program(name: str) -> Program | Missing:
    """The installed program of this name (`PROGRAM_NAMES`)."""
    return _FINDERS[name]()


def executable(name: str) -> str | None:
    """The path of an installed program, also in root's folders that are not in PATH."""
    return shutil.which(name) or shutil.which(name, path=SYSTEM_FOLDERS)


def first_line(*command: str) -> str:
    """The first line of a program's standard output or standard error; "" without one."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=VERSION_SECONDS,
            cwd=ROOT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0] if lines else ""


def haproxy_configuration(site: Site, setup: Setup, folder: Path) -> str:
    """HAProxy for TCP at its fastest: as many threads as workers, splice, no log."""
    lines = [
        "global",
        f"    nbthread {setup.workers}",
        # HAProxy keeps a descriptor for the check of each server beside those of sessions
        *([] if setup.of_all_workers else [f"    maxconn {_sessions_max(site, setup)}"]),
        f"    stats socket {folder / STATS_SOCKET} level admin",
        f"    pidfile {folder / PIDFILE}",
        "defaults",
        "    mode tcp",
        f"    balance {setup.balance}",
        "    option splice-auto",
        "    timeout connect 5s",
        "    timeout client 1h",
        "    timeout server 1h",
    ]
    if setup.access_log:
        lines += [f"    log {site.syslog} local0", "    option tcplog"]
    check = f" check inter {setup.check_inter_ms}ms" if setup.check_inter_ms else ""
    idle = _idle_sections(site, setup)
    lines += [] if setup.sections_after else idle
    for service in site.services:
        lines += [f"listen {service.name}", f"    bind {service.front}"]
        if setup.http_checks and service is site.web:
            lines.append("    option httpchk GET /")
        if service is site.web:
            lines += [f"    {line}" for line in _rules(site, setup, folder)]
        if service is site.idle:
            lines += [f"    {line}" for line in setup.idle_rules]
        for number, server in enumerate(_servers(service, site, setup), 1):
            places = setup.server_places if service is site.web else 0
            limit = f" maxconn {places}" if places else ""
            lines.append(f"    server {service.name}{number} {server}{check}{limit}")
    lines += idle if setup.sections_after else []
    lines += _metrics_section(site) if setup.metrics else []
    if setup.mapped:
        lines += map_sections(site)
    return "\n".join([*lines, *_checked_lines(site, setup), *_names_lines(site, setup)]) + "\n"


def _sessions_max(site: Site, setup: Setup) -> int:
    if setup.sessions_max:
        return setup.sessions_max
    return SESSIONS_BESIDE_CHECKS if setup.checked else site.sessions_max


def _idle_sections(site: Site, setup: Setup) -> list[str]:
    """Sections to which nobody connects, each with a listener and a server."""
    server = site.web.servers[0]
    return [
        line
        for number in range(setup.sections)
        for line in (
            f"listen idle{number}",
            f"    bind {idle_address(site, number)}",
            f"    server idle {server}",
        )
    ]


def _metrics_section(site: Site) -> list[str]:
    return [
        "frontend metrics",
        "    mode http",
        f"    bind {site.probe.front}",
        "    http-request use-service prometheus-exporter if { path /metrics }",
    ]


def _rules(site: Site, setup: Setup, folder: Path) -> list[str]:
    """The rules of the first section; their files are written into `folder`."""
    lines = [*setup.rules, *list_lines(setup.lists, folder, setup.networks)]
    return [*lines, *map_lines(setup.mapped, folder, site)] if setup.mapped else lines


def _checked_lines(site: Site, setup: Setup) -> list[str]:
    """The lines for servers that are only checked."""
    if not setup.checked:
        return []
    return [
        "backend checked",
        "    option httpchk GET /health",
        "    timeout check 1s",
        f"    default-server check inter {CHECKED_INTER_MS}ms",
        *(
            f"    server c{number} {checked_address(site, number)}"
            for number in range(setup.checked)
        ),
    ]


def _names_lines(site: Site, setup: Setup) -> list[str]:
    """The lines for the names of a load, and for the name whose address changes."""
    lines = []
    if setup.names:
        lines += [
            *_resolvers_lines(NAMES_SECTION, site.nameservers, setup.resolve_ms),
            "backend names",
            f"    default-server resolvers {NAMES_SECTION} resolve-prefer ipv4 init-addr none",
            *(f"    server n{number} {name_of(number)}:80" for number in range(setup.names)),
        ]
    if setup.changes:
        resolve_ms = PROBE_LABEL_RESOLVE_MS if setup.records else PROBE_RESOLVE_MS
        lines += [
            *_resolvers_lines("probe", (site.probe_nameserver,), resolve_ms),
            f"    accepted_payload_size {PAYLOAD_MAX}",
            "listen probe",
            f"    bind {site.probe.front}",
            "    default-server resolvers probe resolve-prefer ipv4 init-addr none",
        ]
        port = site.probe.servers[0].port
        if setup.records:
            lines.append(f"    server-template probe {setup.records} {PROBE_LABEL}")
        else:
            lines.append(f"    server probe {PROBE_NAME}:{port}")
    return lines


def _resolvers_lines(name: str, nameservers: tuple[HostPort, ...], resolve_ms: int) -> list[str]:
    lines = [f"resolvers {name}"]
    lines += [f"    nameserver ns{number} {each}" for number, each in enumerate(nameservers, 1)]
    return [*lines, f"    timeout resolve {resolve_ms}ms", "    timeout retry 1s"]


def nginx_configuration(site: Site, setup: Setup, folder: Path) -> str:
    """nginx's stream module at its fastest: batched accept, SO_REUSEPORT, no delay, no log."""
    lines = [f"load_module {path};" for path in NGINX_STREAM_MODULES if path.exists()][:1]
    lines += [
        f"worker_processes {setup.workers};",
        f"worker_rlimit_nofile {2 * site.sessions_max + 200};",
        f"pid {folder / 'nginx.pid'};",
        f"error_log {folder / 'error.log'} crit;",
        f"events {{ worker_connections {2 * site.sessions_max}; multi_accept on; use epoll; }}",
        "stream {",
        "    access_log off;",
        "    tcp_nodelay on;",
        "    proxy_timeout 1h;",
        "    proxy_connect_timeout 5s;",
    ]
    for service in site.services:
        members = " ".join(f"server {server};" for server in _servers(service, site, setup))
        lines += [
            f"    upstream {service.name} {{ {members} }}",
            f"    server {{ listen {service.front} reuseport backlog=4096;"
            f" proxy_pass {service.name}; }}",
        ]
    return "\n".join([*lines, "}"]) + "\n"


def _servers(service: ProxiedService, site: Site, setup: Setup) -> list[str]:
    members = [str(server) for server in service.servers]
    if service is not site.web or setup.web_servers is None:
        return members
    return [members[index % len(members)] for index in range(setup.web_servers)]


def _haproxy_arguments(configuration: Path, _folder: Path) -> tuple[str, ...]:
    return ("-f", str(configuration), "-db")


def _nginx_arguments(configuration: Path, folder: Path) -> tuple[str, ...]:
    log = str(folder / "start.log")
    return ("-p", str(folder), "-c", str(configuration), "-e", log, "-g", "daemon off;")


def _find_haproxy() -> Program | Missing:
    path = executable("haproxy")
    if path is None:
        return Missing("haproxy", "not installed")
    version = first_line(path, "-v").removeprefix("HAProxy version ").split(" ")[0]
    return Program("haproxy", version, (path,), haproxy_configuration, _haproxy_arguments)


def _find_nginx() -> Program | Missing:
    path = executable("nginx")
    if path is None:
        return Missing("nginx", "not installed")
    build = subprocess.run([path, "-V"], capture_output=True, text=True, check=False).stderr
    built_in = "--with-stream" in build.split()
    if not built_in and not any(module.exists() for module in NGINX_STREAM_MODULES):
        return Missing("nginx", "installed without the stream module")
    version = first_line(path, "-v").rpartition("/")[2]
    return Program("nginx", version, (path,), nginx_configuration, _nginx_arguments)


def _find_millrace() -> Program | Missing:
    installed = Path(sys.executable).parent / "millrace"
    if installed.exists():
        command: tuple[str, ...] = (str(installed),)
    elif importlib.util.find_spec("proxy.__main__") is not None:
        command = (sys.executable, "-m", "proxy")
    else:
        return Missing("millrace", "neither installed beside this Python nor in this checkout")
    version = first_line(*command, "-v").removeprefix("Millrace version ") or "unknown"
    return Program("millrace", version, command, haproxy_configuration, _haproxy_arguments)


_FINDERS: dict[str, Callable[[], Program | Missing]] = {
    "millrace": _find_millrace,
    "haproxy": _find_haproxy,
    "nginx": _find_nginx,
}
PROGRAM_NAMES = tuple(_FINDERS)
DNS_PROGRAMS = ("millrace", "haproxy")  # those that resolve names while running
