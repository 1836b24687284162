"""`peers` sections (manual section 3.5): who would exchange tables, and which of them is this host.

Nothing is exchanged. The peer that is this program itself is there so that a table outlives a
reload, which it does here anyway; `linking/rules/peers.py` judges whether there are others.
"""

from __future__ import annotations

import msgspec

from proxy.config.drafts import GlobalDraft
from proxy.config.lines.shapes import ALONE_LENIENT, ONE
from proxy.config.lines.table import Statement, Table, unsupported, works
from proxy.config.model.settings import Origin
from proxy.config.text.messages import ConfigError

LOCAL_PEER = "HAPROXY_LOCALPEER"  # the variable that has this host's name
LOCAL_PEER_ORDERED = ".-L"  # is there where the command line says it


class PeersDraft(msgspec.Struct):
    """A `peers` section: its peers by name."""

    name: str
    origin: Origin
    peers: dict[str, Origin] = {}
    disabled: bool = False


def _peer(statement: Statement, draft: PeersDraft) -> None:
    name = next(iter(statement.arguments), "")
    if not name:
        raise ConfigError(f"'{statement.keyword}' expects <name> <address>:<port> as arguments")
    known = draft.peers.get(name)
    if known is not None and name == statement.context.environment.get(LOCAL_PEER):
        raise ConfigError(
            f"'{statement.keyword} {name}' : local peer name already referenced at "
            f"{known.file}:{known.line}. {name}"
        )
    draft.peers.setdefault(name, statement.origin)


def _disabled(statement: Statement, draft: PeersDraft) -> None:
    draft.disabled = statement.keyword == "disabled"


def _address(_statement: Statement, _draft: PeersDraft) -> None:
    """Where and how peers would talk; the notice of the section says that they do not."""


def _local_peer(statement: Statement, _draft: GlobalDraft) -> None:
    if LOCAL_PEER_ORDERED in statement.context.environment:
        statement.warn(
            "'localpeer' ignored since it is already set by using the '-L' command line argument."
        )
        return
    statement.context.environment[LOCAL_PEER] = statement.arguments[0]


GLOBAL_PEER_WORDS: Table[GlobalDraft] = {"localpeer": works(_local_peer, shape=ONE)}
PEERS_WORDS: Table[PeersDraft] = {
    **dict.fromkeys(("peer", "server"), works(_peer)),
    **dict.fromkeys(("disabled", "enabled"), works(_disabled, shape=ALONE_LENIENT)),
    **dict.fromkeys(("bind", "default-bind", "default-server", "log"), works(_address)),
    "table": unsupported("write 'stick-table' in a backend of that name"),
}
