"""Peers when all sections are known: which tables would be exchanged, and with whom.

HAProxy takes a section away that does not name the local peer; so does this file. A section of the
local peer alone keeps tables over a reload, which they live through here without one. Other hosts
are refused where a table names their section: they would count by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from proxy.config.drafts import ProxyDraft
from proxy.config.lines.process.peers import PeersDraft
from proxy.config.text.messages import Messages
from proxy.config.text.suggest import hint


def check_peers(
    proxies: Sequence[ProxyDraft],
    sections: Mapping[str, PeersDraft],
    local: str,
    messages: Messages,
) -> None:
    """Add a message for each section, and an error where a table is to be exchanged."""
    named = set()
    for draft in proxies:
        if draft.disabled or draft.table is None or not draft.table.peers:
            continue
        name = draft.table.peers
        named.add(name)
        if name not in sections:
            text = f"unable to find sync peers '{name}'.{hint(name, sections)}"
        elif not sections[name].peers:
            text = f"unable to find local peer '{local}' in peers section '{name}'."
        else:
            continue
        messages.alert(f"Proxy '{draft.name}': {text}", draft.table.origin)
    for section in sections.values():
        if not section.disabled:
            _judge(section, local, messages, used=section.name in named)


def _judge(section: PeersDraft, local: str, messages: Messages, *, used: bool) -> None:
    if local not in section.peers:
        messages.warning(
            f"Removing incomplete section 'peers {section.name}' (no peer named '{local}').",
            section.origin,
        )
        return
    others = [name for name in section.peers if name != local]
    if others and used:
        messages.alert(
            f"peers '{section.name}': peer '{others[0]}' is another host, to which Millrace sends "
            "no tables: remove 'peers' from 'stick-table' lines if each host may count by itself "
            "(docs/peers.md)",
            section.peers[others[0]],
        )
        return
    messages.notice(
        f"section 'peers {section.name}' has no effect here: tables live on over reloads without "
        "it; nothing listens at the address of its peer",
        section.origin,
    )
