"""`set-var` and `set-var-fmt` of the global section: variables of the program (manual section 3.1).

Owns the forms of a setting: an order of the stats socket is read by the same.
"""

from __future__ import annotations

from proxy.config.drafts import GlobalDraft
from proxy.config.lines.rules.arguments import is_shared, setting_conditions, variable_name
from proxy.config.lines.rules.fetches import Scope
from proxy.config.lines.rules.values import ValueReader
from proxy.config.lines.table import Statement, Table, works
from proxy.config.model.rules import SharedSetting
from proxy.config.model.settings import Origin
from proxy.config.text.messages import ConfigError
from proxy.config.text.pem import place_of


def read_setting(
    origin: Origin, target: str, words: tuple[str, str], reader: ValueReader, where: str
) -> SharedSetting:
    """A setting of `<name>[,<condition>...]`; `words` are `expr` or `fmt`, and what it gets.

    ConfigError, also for a variable that is not the program's: none other is there `where` it says.
    """
    name, *conditions = target.split(",")
    if not is_shared(variable_name(name)):
        raise ConfigError(f"cannot set variable '{name}', only scope 'proc' is permitted {where}.")
    setting = SharedSetting(name, origin, when=setting_conditions(conditions))
    if words[0] == "fmt":
        return SharedSetting(name, origin, form=reader.format(words[1]), when=setting.when)
    return SharedSetting(name, origin, value=reader.expression(words[1]), when=setting.when)


def _set(statement: Statement, draft: GlobalDraft) -> None:
    kind = "fmt" if statement.keyword == "set-var-fmt" else "expr"
    what = "a format string" if kind == "fmt" else "a sample expression"
    if len(statement.arguments) < 2 or "" in statement.arguments[:2]:
        raise ConfigError(
            f"'{statement.keyword}' requires a process-wide variable name ('proc.<name>') and "
            f"{what}."
        )
    statement = statement.pass_over(2, f"'{statement.keyword}'")
    context = statement.context
    place = place_of(context, statement.origin)
    reader = ValueReader(Scope.PROCESS, context.environment, place=place)
    target, said = statement.arguments
    where = "in the global section"
    try:
        setting = read_setting(statement.origin, target, (kind, said), reader, where)
    except ConfigError as error:
        raise ConfigError(f"'{statement.keyword}' : {error}") from error
    draft.shared_settings = (*draft.shared_settings, setting)


SHARED_VARIABLE_WORDS: Table[GlobalDraft] = {
    "set-var": works(_set),
    "set-var-fmt": works(_set),
}
