"""The variables of the program: settings with all numbers, when all sections are known."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from proxy.config.linking.rules.conditions import SectionIndex, ValueLinker
from proxy.config.model.rules import SharedSetting, SharedVariables
from proxy.config.text.messages import ConfigError, Messages


def linked_setting(setting: SharedSetting, directory: SectionIndex) -> SharedSetting:
    """A setting with all numbers but its own; ConfigError."""
    values = ValueLinker(directory, "", 0, serves=False)
    return replace(setting, value=values.value(setting.value), form=values.format(setting.form))


def shared_variables(
    settings: Sequence[SharedSetting], directory: SectionIndex, limits: Sequence[int]
) -> SharedVariables:
    """All variables of the program; `directory` has those that sections name. ConfigError.

    `limits` are those of `tune.vars.*`, the program's first and last.
    """
    linked = tuple(
        replace(linked_setting(each, directory), number=directory.variables.shared(each.name))
        for each in settings
    )
    wanted = [limit for limit in (limits[0], limits[-1]) if limit]
    return SharedVariables(directory.variables.shared_names, linked, min(wanted, default=0))


def check_shared_variables(
    settings: Sequence[SharedSetting], directory: SectionIndex, messages: Messages
) -> None:
    """Add an alert for a line that names what there is not."""
    for each in settings:
        try:
            directory.variables.shared(each.name)
            linked_setting(each, directory)
        except ConfigError as error:
            messages.alert(str(error), each.origin)
