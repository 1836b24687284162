"""`setenv`, `presetenv`, `unsetenv`, `resetenv`: the value of `"$NAME"` in later lines.

Changes the load's copy of the environment, never the process's.
"""

from __future__ import annotations

from proxy.config.drafts import GlobalDraft
from proxy.config.lines.shapes import AT_MOST_TWO
from proxy.config.lines.table import Statement, Table, works
from proxy.config.text.messages import ConfigError


def _pair(statement: Statement) -> tuple[str, str]:
    if len(statement.arguments) < 2:
        raise ConfigError(f"'{statement.keyword}' expects a name and a value")
    return statement.words[1], statement.words[2]


def _setenv(statement: Statement, _draft: GlobalDraft) -> None:
    name, value = _pair(statement)
    statement.context.environment[name] = value


def _presetenv(statement: Statement, _draft: GlobalDraft) -> None:
    name, value = _pair(statement)
    statement.context.environment.setdefault(name, value)


def _unsetenv(statement: Statement, _draft: GlobalDraft) -> None:
    if not statement.arguments:
        raise ConfigError("'unsetenv' expects at least one name")
    for name in statement.arguments:
        statement.context.environment.pop(name, None)


def _resetenv(statement: Statement, _draft: GlobalDraft) -> None:
    """Remove every variable but those named and the pseudo variables, which begin with a dot."""
    environment = statement.context.environment
    for name in list(environment):
        if name not in statement.arguments and not name.startswith("."):
            del environment[name]


ENVIRONMENT_WORDS: Table[GlobalDraft] = {
    "setenv": works(_setenv, shape=AT_MOST_TWO),
    "presetenv": works(_presetenv, shape=AT_MOST_TWO),
    "unsetenv": works(_unsetenv),
    "resetenv": works(_resetenv),
}
