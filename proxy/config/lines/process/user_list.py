"""`userlist` sections: users, passwords, groups (manual section 3.4).

Owns their lines, and the check that users and groups that name each other are there.
"""

from __future__ import annotations

import msgspec

from proxy.config.http_drafts import UserListDraft
from proxy.config.lines.table import Statement, Table, works
from proxy.config.model.http import User
from proxy.config.text.messages import ConfigError, Messages
from proxy.config.text.suggest import hint
from proxy.passwords import LIBRARY, ROUNDS_MAX, is_available, is_too_dear


def _user(statement: Statement, draft: UserListDraft) -> None:
    if not statement.arguments:
        raise ConfigError("'user' expects <name> as arguments.")
    name, *words = statement.arguments
    found = User(name)
    while words:
        option, *rest = words
        value, words = (rest[0] if rest else ""), rest[1:]
        if option == "password":
            _check_crypt(name, value)
        if option in ("password", "insecure-password"):
            found = msgspec.structs.replace(found, password=value, encrypted=option == "password")
        elif option == "groups":
            names = tuple(filter(None, value.split(",")))
            found = msgspec.structs.replace(found, groups=names)
        else:
            raise ConfigError(
                "'user' only supports 'password', 'insecure-password' and 'groups' options, not "
                f"'{option}'"
            )
    if name in draft.users:
        statement.warn(f"ignoring duplicated user '{name}' in userlist '{draft.name}'.")
    else:
        draft.users[name] = found


def _check_crypt(name: str, setting: str) -> None:
    if not is_available():
        raise ConfigError(
            f"the password of user '{name}' needs {LIBRARY} (Debian's libcrypt1), which is not here"
        )
    if is_too_dear(setting.encode(errors="surrogateescape")):
        raise ConfigError(
            f"the password of user '{name}' has more than {ROUNDS_MAX:,} rounds: each request "
            "with that name would take seconds"
        )


def _group(statement: Statement, draft: UserListDraft) -> None:
    if not statement.arguments:
        raise ConfigError("'group' expects <name> as arguments.")
    name, *words = statement.arguments
    if words and (words[0] != "users" or len(words) > 2):
        raise ConfigError(f"'group' only supports 'users' option, not '{words[0]}'")
    if name in draft.members:
        statement.warn(f"ignoring duplicated group '{name}' in userlist '{draft.name}'.")
    else:
        draft.members[name] = tuple(words[1].split(",")) if len(words) == 2 else ()


USER_LIST_WORDS: Table[UserListDraft] = {"user": works(_user), "group": works(_group)}


def check_user_list(draft: UserListDraft, messages: Messages) -> None:
    """Add an error for each user or group that another line of the section names in vain."""
    for user in draft.users.values():
        for group in user.groups:
            if group not in draft.members:
                messages.alert(
                    f"userlist '{draft.name}': no such group '{group}' specified in user "
                    f"'{user.name}'{hint(group, draft.members)}",
                    draft.origin,
                )
    for group, members in draft.members.items():
        for member in members:
            if member not in draft.users:
                messages.alert(
                    f"userlist '{draft.name}': no such user '{member}' specified in group "
                    f"'{group}'{hint(member, draft.users)}",
                    draft.origin,
                )
