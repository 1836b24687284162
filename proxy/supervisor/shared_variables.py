"""The variables of the program as its configuration sets them: anew for each generation."""

from __future__ import annotations

from proxy.rules.shared.variables import NoRoomError, ProcessVariables
from proxy.runtime import Runtime
from shm.log_level import LogLevel


def set_shared_variables(runtime: Runtime) -> None:
    """Do what the lines `set-var` of the global section say, in their order; before the first fork.

    A value that has no room is told, and not set.
    """
    shared = runtime.settings.shared
    variables = ProcessVariables(runtime.segment, shared.names, runtime.main_pid)
    variables.limit(shared.bytes_max)
    for each in shared.settings:
        try:
            variables.set(
                each.number,
                value=each.value,
                form=each.form,
                when=each.when,
                lists=runtime.every_list,
            )
        except NoRoomError as error:
            origin = f"{each.origin.file}:{each.origin.line}"
            runtime.log(LogLevel.WARNING, f"[{origin}] '{each.name}' is not set: {error}")
