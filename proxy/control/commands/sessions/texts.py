"""How sessions are told: one line each as HAProxy has it, or all that is known of one. Pure.

HAProxy's words that name parts of its own (tasks, channels, analysers) stand where scripts look for
them, with what corresponds to them here; flags are Millrace's own (relay/state/types.pxd).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from proxy.config.model.settings import Proxy, Settings
from proxy.control.commands.sessions.identity import SessionId
from proxy.server_table import ServerTable
from shm.dumps import ANY, DumpedAddress, DumpedSession

STATES = (  # by SessionState: its name, and HAProxy's state of the server's side
    ("HEADER", 0, "INI"),
    ("ACCEPTED", 0, "INI"),
    ("INSPECTING", 0, "INI"),
    ("CONNECTING", 5, "CON"),
    ("WAITING", 3, "TAR"),
    ("QUEUED", 2, "QUE"),
    ("RELAYING", 8, "EST"),
    ("CLIENT_FINISHED", 8, "EST"),
    ("SERVER_FINISHED", 8, "EST"),
)
ESTABLISHED = (8, "EST")
DEADLINES = (  # by DeadlineKind (relay/session/deadline.pxd)
    *("", "client", "server", "connect", "turn-around", "first bytes", "removed server", "queue"),
    *("PROXY header", "inspect-delay", "inspect-delay of the answer"),
)
FAMILIES: dict[int, str] = {
    socket.AF_INET: "tcpv4",
    socket.AF_INET6: "tcpv6",
    socket.AF_UNIX: "unix_stream",
}
UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


class SessionNames(NamedTuple):
    """What the configuration calls what records number."""

    frontends: dict[int, Proxy]  # by index
    binds: tuple[int, ...]  # ids by index
    servers: ServerTable
    generation: int | None = None  # the number of an old one

    @classmethod
    def of(
        cls, settings: Settings, servers: ServerTable, generation: int | None = None
    ) -> SessionNames:
        """Those of a configuration."""
        return cls(
            {
                each.frontend_index: each
                for each in settings.frontends
                if each.frontend_index is not None
            },
            tuple(bind.id for bind in settings.binds),
            servers,
            generation,
        )

    @property
    def of_generation(self) -> str:
        """What is said of sessions of an old generation, behind all words that HAProxy has."""
        return "" if self.generation is None else f" generation={self.generation}"

    def backend(self, session: DumpedSession) -> tuple[str, int]:
        """Name and id of a session's backend; a `listen` section is its clients' from the start."""
        frontend = self.frontends[session.frontend]
        backends = self.servers.backends
        found = backends[session.backend] if session.backend < len(backends) else None
        if found is None and frontend.backend_index is not None:
            found = frontend
        return ("<NONE>", -1) if found is None else (found.name, found.id)

    def server(self, session: DumpedSession) -> tuple[str, int]:
        """Name and id of a session's server."""
        if session.slot == ANY:
            return ("<none>", 0)
        server = self.servers.get(session.slot)
        return ("<none>", 0) if server is None else (server.name, server.id)


def brief(milliseconds: int) -> str:
    """A time in its two largest units, as `show sess` tells it: `1m5s`, `3s`."""
    left = milliseconds // 1000
    for (unit, seconds), (smaller, fewer) in pairwise(UNITS):
        if left >= seconds:
            rest = left % seconds // fewer
            return f"{left // seconds}{unit}" + (f"{rest}{smaller}" if rest else "")
    return f"{left}s"


def address_text(address: DumpedAddress | None, bind_id: int) -> str:
    """`host:port`, or the listener of a Unix socket."""
    if address is None:
        return "?"
    if address.family == socket.AF_UNIX:
        return f"unix:{bind_id}"
    return f"{address.host}:{address.port}"


def left_text(session: DumpedSession, now_ms: int) -> str:
    """The time until something must have happened; empty for ever."""
    return brief(max(session.deadline_ms - now_ms, 0)) if session.deadline_ms else ""


def side_state(session: DumpedSession) -> tuple[int, str]:
    """What HAProxy calls the state of the server's side."""
    return STATES[session.state][1:]


def line(session: DumpedSession, identity: SessionId, names: SessionNames, now_ms: int) -> str:
    """One session on one line."""
    bind_id = names.binds[session.bind]
    family = session.source.family if session.source else 0
    connecting = left_text(session, now_ms) if DEADLINES[session.deadline_kind] == "connect" else ""
    return (
        f"{identity}: proto={FAMILIES.get(family, '?')} "
        f"src={address_text(session.source, bind_id)} "
        f"fe={names.frontends[session.frontend].name} be={names.backend(session)[0]} "
        f"srv={names.server(session)[0]} ts=00 epoch=0 age={brief(now_ms - session.started_ms)} "
        f"calls=0 rate=0 cpu=0 lat=0 "
        f"rq[f={session.client_flags:06x}h,i={session.server_waiting},an=00h,rx=,wx=,ax=] "
        f"rp[f={session.server_flags:06x}h,i={session.client_waiting},an=00h,rx=,wx=,ax=] "
        f"scf=[8,{session.flags:x}h,fd={session.client_fd}] "
        f"scb=[{side_state(session)[0]},0h,fd={session.server_fd}] "
        f"exp={left_text(session, now_ms)} rc={session.retries} c_exp={connecting}"
        f"{names.of_generation}\n"
    )


def paragraph(
    session: DumpedSession, identity: SessionId, names: SessionNames, now_ms: int, pid: int
) -> Iterator[str]:
    """All that is known of one session."""
    bind_id = names.binds[session.bind]
    began = time.time() - (now_ms - session.started_ms) / 1000
    family = session.source.family if session.source else 0
    frontend = names.frontends[session.frontend]
    backend, backend_id = names.backend(session)
    server, server_id = names.server(session)
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S", time.localtime(began))
    yield (
        f"{identity}: [{stamp}.{int(began % 1 * 1e6):06}] proto={FAMILIES.get(family, '?')} "
        f"source={address_text(session.source, bind_id)}\n"
    )
    yield f"  flags=0x{session.flags:x}, conn_retries={session.retries}, error={session.error}\n"
    yield (
        f"  frontend={frontend.name} (id={frontend.id} mode=tcp), listener=? (id={bind_id}) "
        f"addr={address_text(session.front, bind_id)}\n"
    )
    own = f" addr={address_text(session.own, 0)}" if session.own else ""
    yield f"  backend={backend} (id={backend_id} mode={'tcp' if backend_id >= 0 else '-'}){own}\n"
    called = f" addr={address_text(session.server, 0)}" if session.server else ""
    yield f"  server={server} (id={server_id}){called}\n"
    yield (
        f"  worker={identity.worker} (pid={pid}) state={STATES[session.state][0]} "
        f"age={brief(now_ms - session.started_ms)} exp={left_text(session, now_ms) or '<NEVER>'}"
        f"{due_text(session)}{names.of_generation}\n"
    )
    for name, state, descriptor, flags, total, waiting, active_ms in (
        (
            "scf",
            ESTABLISHED[1],
            session.client_fd,
            session.client_flags,
            session.client_bytes,
            session.client_waiting,
            session.client_activity_ms,
        ),
        (
            "scb",
            side_state(session)[1],
            session.server_fd,
            session.server_flags,
            session.server_bytes,
            session.server_waiting,
            session.server_activity_ms,
        ),
    ):
        quiet = brief(max(now_ms - active_ms, 0)) if active_ms else "-"
        yield (
            f"  {name} state={state} fd={descriptor} flags=0x{flags:04x} total={total} "
            f"waiting={waiting} quiet={quiet}\n"
        )


def due_text(session: DumpedSession) -> str:
    """Which time-out comes first."""
    name = DEADLINES[session.deadline_kind]
    return f" ({name})" if name else ""
