"""From settings to a running process tree, and from its end to an exit status.

Everything that can go wrong at a start goes wrong here, as an [ALERT] and status 1, before any
client was accepted. Only what control, resolverd and the runner import (preload.py) comes later: it
ends a start in the same way, while workers accept.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from proxy.arguments import Arguments
from proxy.config.model.settings import Settings, StatsSocket
from proxy.config.report import render_tagged
from proxy.config.text.messages import Severity
from proxy.flags.table import PROGRAM
from proxy.log_thread import finish_log_threads
from proxy.runtime import now_ms
from proxy.supervisor.background import Background, go_background, write_pid
from proxy.supervisor.binding import BindError, remove_path
from proxy.supervisor.build import Builder, Ground, open_all
from proxy.supervisor.children import Entries
from proxy.supervisor.descriptors import DescriptorLimitError, Descriptors
from proxy.supervisor.end import End, exit_status
from proxy.supervisor.faults import NEVER_READY, Faults, last_words
from proxy.supervisor.helper import run_helper
from proxy.supervisor.legacy import Legacy
from proxy.supervisor.limits import LOG_END_LIMIT_MS, TRIAL_LIMIT_MS
from proxy.supervisor.listening import (
    BindingError,
    Held,
    OpenSocket,
    listens,
    open_socket,
    stats_want,
    wanted_sockets,
)
from proxy.supervisor.master import Master
from proxy.supervisor.memory import give_back_memory, limit_memory, share_memory
from proxy.supervisor.notify import Notifier
from proxy.supervisor.ping import PingSocket, is_wanted
from proxy.supervisor.preload import preload_master
from proxy.supervisor.prepare import Prepared, prepare
from proxy.supervisor.privileges import PrivilegeError, Privileges
from proxy.supervisor.reactor import Reactor
from proxy.supervisor.reload_report import ReloadReport
from proxy.supervisor.slices import at_once
from proxy.supervisor.supervisor import Supervisor
from proxy.supervisor.workers import worker_count
from proxy.terminal import say
from shm.events import EventRing
from shm.log_level import LogLevel

NO_LISTENER = "No enabled listener found (check for 'bind' directives) ! Exiting."
NO_LISTENERS = "Some protocols failed to start their listeners! Exiting."
LOADED = "Loading success."
MASTER_PLACE = "[master-socket:0] for proxy MASTER"


class StartError(Exception):
    """Why the program does not start: each argument is a line, shown as [ALERT]."""


class Mode(msgspec.Struct, frozen=True):
    """How the program runs: command line and global section together."""

    background: bool
    master_worker: bool
    quiet: bool
    pidfile: str | None

    @classmethod
    def of(cls, arguments: Arguments, settings: Settings) -> Mode:
        """-D and `daemon`, -W and `master-worker`; -d and -db keep it in the foreground."""
        wants_background = arguments.daemon or settings.globals.daemon
        return cls(
            # systemd follows the main process: -Ws never leaves it.
            background=wants_background
            and not arguments.foreground
            and not arguments.notify_systemd,
            master_worker=arguments.master_worker or settings.globals.master_worker,
            quiet=arguments.quiet or (settings.globals.quiet and not arguments.verbose),
            pidfile=arguments.pidfile or settings.globals.pidfile,
        )


class StartedProgram(NamedTuple):
    """What serves from here on; what was read is in its first generation alone."""

    supervisor: Supervisor
    mode: Mode
    background: Background | None = None


def start_program(
    arguments: Arguments,
    prepared: Prepared,
    masters: tuple[StatsSocket, ...],
    entries: Entries,
    environ: Mapping[str, str],
    *,
    legacy: Legacy | None = None,
) -> StartedProgram | None:
    """Open, build, and be ready to serve; None: that failed, and was told.

    `masters` are the sockets of the master CLI; `legacy` is what a former program has left.
    """
    assert prepared.settings is not None, "nothing to start"
    mode = Mode.of(arguments, prepared.settings)
    background: Background | None = None
    give_back_memory()
    try:
        _limit_memory(arguments.memory_mb or 0, prepared.settings)
        descriptors = Descriptors(None if legacy is None else legacy.record.descriptors)
        held = _take_over(arguments, prepared.settings) if legacy is None else legacy.former.held
        ground = _open(prepared.settings, held, descriptors)
        opened = _open_masters(masters) if legacy is None else legacy.masters(masters)
        background = go_background() if mode.background and legacy is None else None
        supervisor = _supervisor(
            arguments,
            prepared,
            entries,
            environ,
            mode=mode,
            ground=ground,
            opened=opened,
            descriptors=descriptors,
            background=background,
            legacy=legacy,
        )
    except Exception as error:
        known = isinstance(error, StartError)
        told = error.args if known else (f"cannot start: {last_words(error)}",)
        lines = [render_tagged(Severity.ALERT, os.getpid(), line) for line in told]
        if background is not None:
            background.failed(lines)
        say("".join(f"{line}\n" for line in lines))
        finish_log_threads(LOG_END_LIMIT_MS / 1_000)
        return None
    return StartedProgram(supervisor, mode, background)


def serve(program: StartedProgram) -> int:
    """Serve until told to end, and return the exit status (or die by the signal)."""
    try:
        end = _run_to_the_end(program)
    finally:
        finish_log_threads(LOG_END_LIMIT_MS / 1_000)
    return exit_status(end, master_worker=program.mode.master_worker)


def _open(settings: Settings, held: Held, descriptors: Descriptors) -> Ground:
    """Limits, privileges and sockets: what can be refused."""
    if not listens(settings):
        raise StartError(NO_LISTENER)
    try:
        try_privileges(Privileges.of(settings.globals))
        ground = open_all(settings, held, descriptors)
    except BindingError as error:
        raise StartError(*error.lines, NO_LISTENERS) from error
    except (DescriptorLimitError, PrivilegeError) as error:
        raise StartError(str(error)) from error
    for warning in ground.grant.warnings:
        _tell(Severity.WARNING, warning)
    return ground


def _take_over(arguments: Arguments, settings: Settings) -> Held:
    """`-x`: as in HAProxy, a start without the sockets fails, but not under a master."""
    if arguments.old_socket is None:
        return {}
    from proxy.supervisor.takeover import TakeoverError, take_over  # noqa: PLC0415 - few starts

    try:
        wants = wanted_sockets(settings, worker_count(settings))
        return take_over(arguments.old_socket, wants)
    except TakeoverError as error:
        refusal = f"Failed to get the sockets from the old process: {error}"
        if not Mode.of(arguments, settings).master_worker:
            raise StartError(refusal) from error
    _tell(Severity.WARNING, refusal)
    return {}


def _limit_memory(megabytes: int, settings: Settings) -> None:
    """`-m`; 0: none."""
    if not megabytes or limit_memory(megabytes):
        return
    refusal = f"Cannot fix MEM limit to {megabytes} megs."
    if settings.globals.strict_limits:
        raise StartError(refusal)
    _tell(Severity.WARNING, refusal)


def _open_masters(masters: tuple[StatsSocket, ...]) -> list[tuple[OpenSocket, StatsSocket]]:
    """The sockets of the master CLI; no generation has them."""
    opened = []
    for line in masters:
        try:
            opened.append((open_socket(stats_want(line, MASTER_PLACE)), line))
        except BindError as error:
            raise StartError(f"Binding {MASTER_PLACE}: {error}", NO_LISTENERS) from error
    return opened


def try_privileges(privileges: Privileges) -> None:
    """Drop them in a helper first: a child that cannot would only die again and again."""
    if not privileges.any:
        return

    def attempt() -> bytes:
        try:
            privileges.drop()
        except PrivilegeError as error:
            return str(error).encode()
        except Exception as error:
            return last_words(error).encode()
        return b""

    refusal = run_helper(lambda send: send(attempt()), "millrace: privileges", TRIAL_LIMIT_MS)
    if refusal:
        raise PrivilegeError(refusal.decode())


def _supervisor(
    arguments: Arguments,
    prepared: Prepared,
    entries: Entries,
    environ: Mapping[str, str],
    *,
    mode: Mode,
    ground: Ground,
    opened: list[tuple[OpenSocket, StatsSocket]],
    descriptors: Descriptors,
    background: Background | None,
    legacy: Legacy | None,
) -> Supervisor:
    faults = Faults()
    reactor = Reactor(now_ms, faults)
    fallback = not (mode.quiet or mode.background)
    master = _master(entries, opened, reactor, faults) if opened else None
    builder = Builder(
        entries=entries,
        reactor=reactor,
        faults=faults,
        descriptors=descriptors,
        main_pid=os.getpid(),
        begun_ms=now_ms() if legacy is None else legacy.record.begun_ms,
        log_fallback=fallback,
        events=EventRing() if legacy is None else legacy.events(),
        master_calls=None if master is None else master.calls,
    )
    notifier = Notifier(environ, wanted=arguments.notify_systemd)

    former = None if legacy is None else legacy.former

    def when_ready() -> None:
        if former is not None:
            if mode.pidfile is not None:
                supervisor.answer_pings(_ping_socket(mode.pidfile))
            return
        _signal_old(arguments)
        if mode.master_worker and not mode.quiet:
            _tell(Severity.NOTICE, LOADED)
        if background is not None:
            background.serving()

    first = at_once(builder.build(prepared, ground, now_ms(), former))
    if master is not None:
        started = ReloadReport(os.getpid(), first.runtime.startup_logs)
        started.note(LogLevel.NOTICE, LOADED)
        master.settle(started, succeeded=True)
    share_memory()
    supervisor = Supervisor(
        first,
        builder,
        lambda previous: prepare(arguments, environ, previous),
        notifier,
        when_ready,
        master=master,
        former=former,
    )
    if legacy is not None:  # with the pid file that there is
        supervisor.goes_on_from(legacy.record, legacy.failed)
        return supervisor
    # A reader of the file may signal at once: signals are taken already.
    if mode.pidfile is not None:
        try:
            write_pid(mode.pidfile, os.getpid())
        except OSError as error:
            said = f"cannot write the pid file '{mode.pidfile}': {error.strerror}"
            raise StartError(f"cannot start: {said}") from error
        supervisor.ping = _ping_socket(mode.pidfile)
    return supervisor


def _master(
    entries: Entries, opened: list[tuple[OpenSocket, StatsSocket]], reactor: Reactor, faults: Faults
) -> Master:
    assert entries.master is not None, "nothing serves the master CLI"
    preload_master()
    return Master(entries.master, opened, reactor, faults, now_ms())


def _ping_socket(pidfile: str) -> PingSocket | None:
    """None beside a device, and where it cannot be: that is told, and no reason not to serve."""
    try:
        return PingSocket(pidfile) if is_wanted(pidfile) else None
    except BindError as error:
        _tell(Severity.WARNING, f"'{PROGRAM} ping' is not answered: {error}")
        return None


def _run_to_the_end(program: StartedProgram) -> End:
    supervisor, told = program.supervisor, ""
    try:
        end = supervisor.run()
        told = NEVER_READY if end is End.FAILED else ""
        if supervisor.yields and supervisor.soft_stop_ms is not None:
            os.kill(os.getpid(), signal.SIGUSR1)  # held: for the program that goes on
        for held in supervisor.current.sockets.held.values() if not supervisor.yields else ():
            for item in held:
                remove_path(item.endpoint, item.identity)
    except Exception as error:
        # The children die with this process; without a terminal the log is the only witness.
        supervisor.current.runtime.log(
            LogLevel.CRIT, f"supervisor failed: {traceback.format_exc()}"
        )
        end, told = End.FAILED, f"cannot start: {last_words(error)}"
    if told and program.background is not None:
        lines = (told, "Start it with -db to see what happens.")
        program.background.failed(
            render_tagged(Severity.ALERT, os.getpid(), each) for each in lines
        )
    return end


def _signal_old(arguments: Arguments) -> None:
    """-sf and -st: this one serves, the older ones may go."""
    pairs = ((arguments.finish_pids, signal.SIGUSR1), (arguments.end_pids, signal.SIGTERM))
    for pids, number in pairs:
        for pid in pids:
            try:
                os.kill(pid, number)
            except OSError as error:
                _tell(Severity.WARNING, f"cannot signal old process {pid}: {error.strerror}")


def _tell(severity: Severity, text: str) -> None:
    say(render_tagged(severity, os.getpid(), text) + "\n")
