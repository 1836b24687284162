"""Operational log lines to the targets of `log` (manual section 4.2, `log`), in their formats.

Owns the formats and the sockets. Never blocks and never raises: what a target does not take at
once is dropped and counted. Opened by the supervisor before any fork (and any chroot), used by
every process; lines carry the pid of the main process, as HAProxy's do. Notices and worse are
events as well (shm/events.pyx), whatever the targets want.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress

from proxy.config.model.settings import Endpoint, Global, LogTarget, SocketFamily
from proxy.config.report import render_tagged
from proxy.config.text.messages import Severity
from proxy.log_sockets import FAMILIES, open_again, socket_address
from shm.events import EventRing
from shm.log_level import LogLevel

LINE_BYTES_MAX = 1_024  # without `len`, as in HAProxy
STANDARD_ERROR = 2
EVENT_LEVEL = LogLevel.NOTICE  # lines of this level and worse are events
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class LineFacts:
    """What every line of one program carries."""

    def __init__(self, settings: Global, main_pid: int) -> None:
        """Tag and host as configured; without `log-send-hostname` the host stays untold."""
        self.tag = settings.log_tag
        self.host = settings.log_host or (settings.log_host is not None and socket.gethostname())
        self.pid = main_pid


def format_line(
    style: str, facility: int, level: int, text: str, *, facts: LineFacts, now_s: float
) -> str:
    """One line in a format of the manual, without line end; `now_s` is wall clock time."""
    priority = facility * 8 + level
    if style == "raw":
        return text
    if style in ("short", "priority"):
        return f"<{level if style == 'short' else priority}>{text}"
    if style == "timed":
        return timed_line(level, text, int(now_s * 1_000_000))
    if style == "iso":
        return f"{_iso(now_s)} {text}"
    if style == "rfc5424":
        host = facts.host or "-"
        return f"<{priority}>1 {_iso(now_s)} {host} {facts.tag} {facts.pid} - - {text}"
    host = f"{facts.host or 'localhost'} " if style == "rfc3164" else ""
    return f"<{priority}>{_bsd_time(now_s)} {host}{facts.tag}[{facts.pid}]: {text}"


def error_line(error: BaseException) -> str:
    """A traceback as one line, the error first: targets of a log cut long lines."""
    told = " | ".join("".join(traceback.format_exception(error)).splitlines())
    reasons = (traceback.format_exception_only(cause) for cause in _causes(error))
    reason = " | ".join("".join(lines).strip().replace("\n", " | ") for lines in reasons)
    return f"{reason} | {told}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """What a group of tasks has died of is what they have."""
    if not isinstance(error, BaseExceptionGroup):
        yield error
        return
    for each in error.exceptions:
        yield from _causes(each)


def timed_line(level: int, text: str, time_us: int) -> str:
    """One line in the format `timed`; the wall clock in microseconds."""
    return f"<{level}>{_iso(time_us / 1_000_000)} {text}"


def _bsd_time(now_s: float) -> str:
    """RFC 3164 section 4.1.2: `Nov 20 08:15:00`, the day padded with a blank."""
    now = time.localtime(now_s)
    clock = f"{now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02}"
    return f"{MONTHS[now.tm_mon - 1]} {now.tm_mday:>2} {clock}"


def _iso(now_s: float) -> str:
    """RFC 3339 with microseconds and the offset of local time."""
    now = time.localtime(now_s)
    offset = time.strftime("%z", now)
    micro = int(now_s % 1 * 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', now)}.{micro:06}{offset[:3]}:{offset[3:]}"


class _DescriptorTarget:
    """stdout, stderr or fd@N: one line for each message, if the reader has room for it.

    A pipe takes so short a line whole, and does not mix it with other writers'.
    """

    def __init__(self, given: int) -> None:
        self.descriptor = _open_given(given)

    def send(self, line: bytes) -> bool:
        with suppress(OSError):
            return os.write(self.descriptor, line[: select.PIPE_BUF - 1] + b"\n") > 0
        return False

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)


class _GivenSocket:
    """The same for a socket: its flags are shared with others, so each send asks not to wait."""

    def __init__(self, given: int) -> None:
        self._socket = socket.socket(fileno=os.dup(given))
        self.descriptor = self._socket.fileno()

    def send(self, line: bytes) -> bool:
        with suppress(OSError):
            return self._socket.send(line + b"\n", socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL) > 0
        return False

    def close(self) -> None:
        self._socket.close()


class _SocketTarget:
    """A syslog server: datagrams over UDP or a unix socket."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._socket = socket.socket(
            FAMILIES[endpoint.family], socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
        )
        self._socket.setblocking(False)
        self._address = socket_address(endpoint)
        self.descriptor = self._socket.fileno()
        self._connected = self._connect()

    def _connect(self) -> bool:
        """A connected socket goes on working after chroot; a path may also come later."""
        with suppress(OSError):
            self._socket.connect(self._address)
            return True
        return False

    def send(self, line: bytes) -> bool:
        # Twice: the server may have been restarted, or an error of an earlier line come back.
        for _ in range(2):
            self._connected = self._connected or self._connect()
            try:
                return self._connected and self._socket.send(line + b"\n") > 0
            except BlockingIOError:
                return False
            except OSError:
                self._connected = False
        return False

    def close(self) -> None:
        self._socket.close()


_Sender = _DescriptorTarget | _GivenSocket | _SocketTarget


class LogWriter:
    """All targets of one configuration; satisfies `proxy.runtime.Log`."""

    def __init__(
        self,
        settings: Global,
        main_pid: int,
        *,
        fallback: bool = True,
        events: EventRing | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Open the targets; `fallback`: without any, notices and worse go to standard error.

        With targets, warnings and worse go there as well, unless one of them is standard error.
        Raises OSError for a target whose address cannot exist on this host.
        """
        self.dropped = 0
        self._facts = LineFacts(settings, main_pid)
        self._events = events
        self._wall_clock = wall_clock
        self._targets: list[tuple[LogTarget, _Sender]] = []
        self._standard_error: _Sender | None = None
        self._shown_max = LogLevel.NOTICE  # level of what goes to standard error
        try:
            for target in settings.logs:
                self._targets.append((target, _open_target(target)))
            if fallback and not any(map(_is_standard_error, settings.logs)):
                self._standard_error = _open_descriptor(STANDARD_ERROR)
                self._shown_max = LogLevel.WARNING if settings.logs else LogLevel.NOTICE
        except BaseException:
            self.close()
            raise

    def __call__(self, level: int, text: str) -> None:
        """Send one line to every target that wants this level."""
        text = " ".join(text.splitlines())  # one message is one line, whatever is in it
        now_s = self._wall_clock()
        if self._events is not None and level <= EVENT_LEVEL:
            self._events.write(int(now_s * 1_000_000), level, text)
        for target, sender in self._targets:
            if level > target.max_level:
                continue
            shown = max(level, target.min_level)
            line = format_line(
                target.format, target.facility, shown, text, facts=self._facts, now_s=now_s
            )
            self._count(sender.send(_encode(line, target.length_max)))
        if self._standard_error is not None and level <= self._shown_max:
            line = render_tagged(_severity(level), self._facts.pid, text)
            self._count(self._standard_error.send(_encode(line)))

    def _count(self, sent: bool) -> None:
        self.dropped += not sent

    def descriptors(self) -> tuple[int, ...]:
        """What a child must keep open to be able to log."""
        return tuple(sender.descriptor for sender in self._senders())

    def close(self) -> None:
        """Close the targets; descriptors given from outside stay open."""
        for sender in self._senders():
            sender.close()

    def _senders(self) -> list[_Sender]:
        standard = [self._standard_error] if self._standard_error is not None else []
        return [*(sender for _, sender in self._targets), *standard]


def _is_standard_error(target: LogTarget) -> bool:
    endpoint = target.endpoint
    given = endpoint is not None and endpoint.family is SocketFamily.DESCRIPTOR
    return target.descriptor == STANDARD_ERROR or (
        given and endpoint is not None and endpoint.host == str(STANDARD_ERROR)
    )


def _open_target(target: LogTarget) -> _Sender:
    if target.descriptor is not None:
        return _open_descriptor(target.descriptor)
    endpoint = target.endpoint
    assert endpoint is not None, "a log target is an address or a descriptor"
    if endpoint.family is SocketFamily.DESCRIPTOR:
        return _open_descriptor(int(endpoint.host))
    return _SocketTarget(endpoint)


def _open_descriptor(given: int) -> _Sender:
    with suppress(OSError):
        if stat.S_ISSOCK(os.fstat(given).st_mode):
            return _GivenSocket(given)
    return _DescriptorTarget(given)


def _open_given(given: int) -> int:
    """A descriptor to which no write blocks; -1, whose lines are all dropped, if none is open."""
    try:
        return open_again(given)
    except OSError as error:
        if error.errno == errno.EBADF:
            return -1
        raise


def _encode(line: str, length_max: int = LINE_BYTES_MAX) -> bytes:
    return line.encode(errors="backslashreplace")[: length_max - 1]


def _severity(level: int) -> Severity:
    if level < LogLevel.WARNING:
        return Severity.ALERT
    return Severity.WARNING if level == LogLevel.WARNING else Severity.NOTICE


def open_log(
    settings: Global, main_pid: int, *, fallback: bool = True, events: EventRing | None = None
) -> LogWriter:
    """The log of one configuration; see `LogWriter`."""
    return LogWriter(settings, main_pid, fallback=fallback, events=events)
