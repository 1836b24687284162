"""The words about server state files, and the paths that follow from them.

Owns the rules of joining `server-state-base` with a file's name (manual sections 3.1 and 4.2).
Opens no file.
"""

from __future__ import annotations

from pathlib import Path

from proxy.config.drafts import GlobalDraft, ProxyDraft, ServerStateSource
from proxy.config.lines.table import Handler, Statement
from proxy.config.text.messages import ConfigError

OWN_NAME = "use-backend-name"


def global_path(field: str, what: str) -> Handler[GlobalDraft]:
    """A handler for `server-state-file` and `server-state-base`; the first one given counts."""

    def handle(statement: Statement, draft: GlobalDraft) -> None:
        path = statement.one(what)
        if getattr(draft, field) is None:
            setattr(draft, field, path)
        else:
            statement.notice(f"'{statement.keyword}' is ignored: it was given before")

    return handle


def load_server_state(statement: Statement, draft: ProxyDraft) -> None:
    """`load-server-state-from-file global|local|none`."""
    known = [source.value for source in ServerStateSource]
    statement.at_most(1)
    text = statement.words[1] if statement.arguments else ""
    if text not in known:
        raise ConfigError(
            f"'{statement.keyword}' expects 'global', 'local' or 'none'. Got '{text}'"
        )
    draft.server_state = ServerStateSource(text)


def server_state_file_name(statement: Statement, draft: ProxyDraft) -> None:
    """`server-state-file-name [<file>|use-backend-name]`; the default is the section's name."""
    statement.at_most(1)
    name = statement.words[1] if statement.arguments else ""
    draft.server_state_name = None if name in ("", OWN_NAME) else name


def state_base(draft: GlobalDraft) -> str | None:
    """The full path of `server-state-base`, relative to the working directory at the start."""
    return None if draft.server_state_base is None else _full_path(draft.server_state_base)


def global_state_file(draft: GlobalDraft) -> str | None:
    """The full path of `server-state-file`, None without one."""
    if draft.server_state_file is None:
        return None
    return _full_path(draft.server_state_base or "", draft.server_state_file)


def loads_globally(draft: ProxyDraft) -> bool:
    """Whether a section shares the file of all backends."""
    return draft.server_state is ServerStateSource.GLOBAL


def state_file_of(draft: ProxyDraft, globals_draft: GlobalDraft) -> str | None:
    """The full path of the file with a backend's state, None without one."""
    if draft.server_state is ServerStateSource.NONE:
        return None
    if loads_globally(draft):
        return global_state_file(globals_draft)
    return _full_path(globals_draft.server_state_base or "", draft.server_state_name or draft.name)


def _full_path(*parts: str) -> str:
    return str(Path(*parts).absolute())
