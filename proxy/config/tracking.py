"""`track [<backend>/]<server>`: which server's state another one shares (manual section 5.2).

Owns the search by name and what may not be tracked. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from proxy.config.drafts import ProxyDraft, ServerDraft
from proxy.config.messages import Messages
from proxy.config.model import Proxy
from proxy.config.suggest import hint

Place = tuple[ProxyDraft, ServerDraft]


def full_name(draft: ProxyDraft, track: str) -> str:
    """`backend/server`; a server alone is one of the same section."""
    return track if "/" in track else f"{draft.name}/{track}"


def check_tracking(proxies: Sequence[ProxyDraft], messages: Messages) -> None:
    """Note each server that tracks what it cannot track."""
    serving = [draft for draft in proxies if draft.kind.serves and not draft.disabled]
    places = {
        f"{draft.name}/{server.name}": (draft, server)
        for draft in serving
        for server in draft.servers
    }
    for draft in serving:
        for server in draft.servers:
            wrong = _complaint(draft, server, places)
            if wrong:
                messages.alert(f"'server {draft.name}/{server.name}' : {wrong}", server.origin)


def _complaint(draft: ProxyDraft, server: ServerDraft, places: dict[str, Place]) -> str:
    """What is wrong with the tracking of one server; nothing for one that tracks nobody."""
    track = server.options.track
    if track is None:
        return ""
    if server.options.check:
        return "unable to enable checks and tracking at the same time!"
    seen = [f"{draft.name}/{server.name}"]
    while track is not None:
        name = full_name(draft, track)
        if name in seen:
            return f"unable to track {name} as it belongs to a tracking chain looping back"
        if name not in places:
            return f"unable to find required server '{name}' for tracking{hint(name, places)}"
        seen.append(name)
        draft, server = places[name]
        track = server.options.track
    if not server.options.check:
        return f"unable to use {seen[-1]} for tracking as it does not have any check enabled"
    return ""


def link_tracking(proxies: tuple[Proxy, ...]) -> tuple[Proxy, ...]:
    """Give each server that tracks another one the slot of that one."""
    slots = {
        f"{proxy.name}/{server.name}": server.slot for proxy in proxies for server in proxy.servers
    }
    return tuple(
        msgspec.structs.replace(
            proxy,
            servers=tuple(
                server
                if server.track is None
                else msgspec.structs.replace(server, tracked_slot=slots[server.track])
                for server in proxy.servers
            ),
        )
        for proxy in proxies
    )
