"""The command `millrace`: arguments to one of its few jobs, and its exit status.

Owns what is printed before the program serves. The jobs are elsewhere: reading in `config`,
serving in `supervisor`.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from proxy.arguments import Arguments, UsageError, parse
from proxy.builds.succession import Estate
from proxy.client.version import version_text
from proxy.config.report import render_tagged, summarize
from proxy.config.text.condition import evaluate
from proxy.config.text.messages import ConfigError, Message, Severity
from proxy.master.inheritance import MasterInheritance, MasterMoment
from proxy.runtime import Runtime, ring
from proxy.supervisor.children import Entries
from proxy.supervisor.faults import last_words
from proxy.supervisor.listening import listens
from proxy.supervisor.memory import read_apart
from proxy.supervisor.prepare import Prepared, prepare, with_master_sockets
from proxy.supervisor.reload import log_lines
from proxy.supervisor.start import StartedProgram, serve, start_program
from proxy.terminal import STANDARD_ERROR, STANDARD_OUTPUT, say

CONDITION_UNREADABLE = 2  # HAProxy's exit status, apart from "false"


def run(words: list[str], entries: Callable[[], Entries] | None = None) -> int:
    """Do what the words after the program's name say; `entries` replaces the children's code."""
    try:
        return _run(words, entries or real_entries)
    except Exception as error:
        return _refuse(f"cannot start: {last_words(error)}")


def _run(words: list[str], entries: Callable[[], Entries]) -> int:
    arguments = parse(words)
    if isinstance(arguments, UsageError):
        from proxy.flags.usage import USAGE_HINT  # noqa: PLC0415 - no start needs it

        say(render_tagged(Severity.ALERT, os.getpid(), arguments.text) + "\n" + USAGE_HINT)
        return 1
    if arguments.help:
        from proxy.flags.usage import USAGE  # noqa: PLC0415 - no start needs it

        say(USAGE, STANDARD_OUTPUT)
        return 0
    if arguments.version:
        say(version_text(arguments.version), STANDARD_OUTPUT)
        return 0
    if arguments.condition is not None:
        return _evaluate(arguments.condition)
    if arguments.folder is not None:
        try:
            os.chdir(arguments.folder)
        except OSError as error:
            return _refuse(f"Could not change to directory {arguments.folder} : {error.strerror}")
    return _load_and_serve(arguments, entries)


def run_successor(words: list[str], estate: Estate) -> int:
    """Go on from the former program; raises whatever is in the way of that."""
    from proxy.supervisor.estate import EstateError  # noqa: PLC0415 - likewise
    from proxy.supervisor.legacy import Legacy  # noqa: PLC0415 - few starts go on

    arguments = parse(words)
    assert isinstance(arguments, Arguments)
    if arguments.folder is not None:
        os.chdir(arguments.folder)
    legacy = Legacy.of(estate)
    environ = dict(os.environ)
    former, record = legacy.former, legacy.record
    rows = {(row.backend, row.server): row for row in record.rows}
    read = read_apart(lambda: prepare(arguments, environ, former.previous(), rows))
    prepared, masters = with_master_sockets(arguments, read, environ)
    if prepared.settings is None:
        raise EstateError("the configuration has errors")
    started = start_program(arguments, prepared, masters, real_entries(), environ, legacy=legacy)
    if started is None:
        return 1
    for level, text in log_lines(prepared.messages):
        started.supervisor.current.runtime.log(level, text)
    return serve(started)


def _load_and_serve(arguments: Arguments, entries: Callable[[], Entries]) -> int:
    started = _start(arguments, entries)
    return started if isinstance(started, int) else serve(started)


def _start(arguments: Arguments, entries: Callable[[], Entries]) -> StartedProgram | int:
    """What serves, or the exit status; nothing else keeps what was read."""
    environ = dict(os.environ)
    read = read_apart(lambda: prepare(arguments, environ))
    prepared, masters = with_master_sockets(arguments, read, environ)
    status = _report(arguments, prepared)
    if status == 0 and arguments.against is not None:
        from proxy.client.against import run as compare  # noqa: PLC0415 - few starts ask for it

        references = () if prepared.settings is None else prepared.settings.references
        return compare(arguments.against, prepared.kept, references, environ)
    if status != 0 or arguments.check:
        return status
    return start_program(arguments, prepared, masters, entries(), environ) or 1


def _report(arguments: Arguments, prepared: Prepared) -> int:
    """Say what the files deserve; the exit status that goes with it."""
    settings = prepared.settings
    strict = settings is not None and settings.globals.zero_warning
    quiet = settings is not None and settings.globals.quiet and not arguments.verbose
    idle = tuple(
        Message(Severity.NOTICE, f"'{flag}' has no effect here: {why}")
        for flag, why in arguments.idle_flags
    )
    report = summarize(
        idle + prepared.messages,
        check=arguments.check,
        quiet=arguments.quiet or quiet,
        diagnose=arguments.diagnose,
        warnings_fatal=arguments.warnings_fatal or strict,
        has_listener=settings is None or not arguments.check or listens(settings),
    )
    verdict = STANDARD_OUTPUT if arguments.check and report.exit_status == 0 else STANDARD_ERROR
    for line in report.lines:
        say(line + "\n", STANDARD_ERROR if line.startswith("[") else verdict)
    return report.exit_status


def _evaluate(condition: str) -> int:
    """-cc: 0 true, 1 false, 2 not understood."""
    try:
        return 0 if evaluate(condition, dict(os.environ)) else 1
    except ConfigError as error:
        return _refuse(f"-cc: {error}", CONDITION_UNREADABLE)


def _refuse(text: str, status: int = 1) -> int:
    say(render_tagged(Severity.ALERT, os.getpid(), text) + "\n")
    return status


def real_entries() -> Entries:
    """What the children run; imported here, so that -c and -v stay quick."""
    from proxy.supervisor.preload import preload  # noqa: PLC0415
    from proxy.worker.process import run as run_worker  # noqa: PLC0415

    def control(runtime: Runtime, elders: tuple[Runtime, ...]) -> object:
        from proxy.control.process import run as run_control  # noqa: PLC0415 (workers first)

        return run_control(runtime, elders)

    def resolverd(runtime: Runtime) -> object:
        from proxy.members.kept import KeptMembers  # noqa: PLC0415 (not every file)
        from proxy.members.resolved import ResolvedMembers  # noqa: PLC0415 (likewise)
        from resolverd.daemon import run as run_resolverd  # noqa: PLC0415 (likewise)

        bells = runtime.bells
        return run_resolverd(
            runtime.settings.resolverd,
            runtime.segment,
            bells.resolverd,
            bells.ring_table,
            runtime.log,
            state_files=runtime.state_files,
            ring_control=lambda: ring((bells.control,)),
            resolv_conf=runtime.resolv_conf,
            check_orders=runtime.check_orders,
            members=ResolvedMembers(runtime.segment),
            state_members=lambda: KeptMembers(runtime.segment, runtime.servers),
        )

    def runner(runtime: Runtime) -> object:
        from proxy.runner.process import run as run_runner  # noqa: PLC0415 (few files need it)

        return run_runner(runtime)

    def master(inherited: MasterInheritance, moment: MasterMoment) -> object:
        from proxy.master.process import run as run_master  # noqa: PLC0415 (wants -S)

        return run_master(inherited, moment)

    preload()
    return Entries(
        worker=run_worker,
        control=control,
        resolverd=resolverd,
        runner=runner,
        master=master,
    )
