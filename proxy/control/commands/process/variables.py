"""`get var` and `set var`: the variables of the program (management manual, section 9.3).

A value that is ordered is in force for all workers at once, until the next reload goes by the files
again.
"""

from __future__ import annotations

import os

from proxy.config.lines.process.shared_variables import read_setting
from proxy.config.lines.rules.fetches import Scope
from proxy.config.lines.rules.values import ValueReader
from proxy.config.linking.directory import SettingsDirectory
from proxy.config.linking.rules.shared_variables import linked_setting
from proxy.config.model.rules import SharedSetting
from proxy.config.model.settings import Origin
from proxy.config.text.messages import ConfigError
from proxy.control.command import EXPERIMENTAL, Answer, Command, CommandError, Level
from proxy.control.rows.report import Report
from proxy.rules.shared.variables import NoRoomError, ProcessVariables, Shown

NO_NAME = "Missing process-wide variable identifier."
ORIGIN = Origin("set var", 0)
WHERE = "here"


class Variables:
    """The orders about variables of the program."""

    def __init__(self, report: Report) -> None:
        runtime = report.runtime
        pairs = (os.fsdecode(each).partition("=") for each in runtime.environment)
        self._environment = {name: value for name, _, value in pairs}
        self._settings = runtime.settings
        self._variables = ProcessVariables(
            runtime.segment, self._settings.shared.names, runtime.main_pid
        )

    def commands(self) -> list[Command]:
        """What this family answers to."""
        operator = Level.OPERATOR
        return [
            Command(("get", "var"), "<name>", "show a variable of the program", operator, self.get),
            Command(
                ("set", "var"),
                "<name> [fmt|expr] {<fmt>|<expr>}",
                "set a variable from an expression or a format",
                operator,
                self.set,
                mode=EXPERIMENTAL,
            ),
        ]

    def get(self, words: list[str], _level: Level) -> Answer:
        """`get var <name>`."""
        if not words:
            raise CommandError(NO_NAME)
        number = self._variables.number(words[0])
        found = None if number is None else self._variables.shown(number)
        if found is None:
            raise CommandError("Variable not found.")
        # as in HAProxy no empty line follows
        return [f"{words[0]}: type={found.type} value=<{printable(found)}>"]

    def set(self, words: list[str], _level: Level) -> Answer:
        """`set var <name> [expr|fmt] <expression or format>`."""
        if not words:
            raise CommandError(NO_NAME)
        if not words[1:]:
            raise CommandError("Missing either 'expr', 'fmt' or expression.")
        target, *said = words
        if not said[1:]:
            said = ["expr", *said]
        if said[0] not in ("expr", "fmt"):
            # as in HAProxy no empty line follows
            return [f"'set var': arg type must be either 'expr' or 'fmt' but got '{said[0]}'."]
        directory = SettingsDirectory(self._settings.proxies, {}, self._settings.tables)
        directory.variables.admit(self._variables.names)
        setting = self._read(target, (said[0], said[1]), directory)
        value, form = setting.value, setting.form
        try:
            for name in directory.variables.shared_names:  # also of those that converters set
                self._variables.name(name)
            number = self._variables.name(setting.name)
            lists = directory.lists.every
            self._variables.set(
                number, value=value, form=form, when=setting.when, lists=lists, ordered=True
            )
        except NoRoomError as error:
            raise CommandError(f"'set var': '{setting.name}' is not set: {error}.") from error
        return []

    def _read(
        self, target: str, words: tuple[str, str], directory: SettingsDirectory
    ) -> SharedSetting:
        """The setting that is ordered, with all numbers; CommandError."""
        reader = ValueReader(Scope.ORDER, self._environment)
        try:
            setting = read_setting(ORIGIN, target, words, reader, WHERE)
            _refuse_maps(setting)
            return linked_setting(setting, directory)
        except ConfigError as error:
            raise CommandError(f"'set var': {str(error).removesuffix('.')}.") from error


def _refuse_maps(setting: SharedSetting) -> None:
    values = (setting.value, *(part.value for part in setting.form))
    converters = (each for value in values if value is not None for each in value.converters)
    if any(each.listed is not None for each in converters):
        raise ConfigError("map: cannot load map at runtime")


def printable(found: Shown) -> str:
    """As in HAProxy: a NUL ends the value, bytes that no terminal shows are dots."""
    said = found.value.partition(b"\0")[0]
    return "".join(chr(byte) if 32 <= byte < 127 else "." for byte in said)
