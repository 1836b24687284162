"""`track [<backend>/]<server>`: a server that shares the state of another (manual section 5.2).

Owns the search by name and the errors. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from proxy.config.drafts import ProxyDraft, ServerDraft
from proxy.config.model.settings import Proxy
from proxy.config.text.messages import Messages
from proxy.config.text.suggest import NameIndex

NamedServer = tuple[ProxyDraft, ServerDraft]


def full_name(draft: ProxyDraft, track: str) -> str:
    """`backend/server`; a name without backend is of the same section."""
    return track if "/" in track else f"{draft.name}/{track}"


def check_tracking(proxies: Sequence[ProxyDraft], messages: Messages) -> None:
    """Add an error for each server whose `track` cannot work."""
    serving = [draft for draft in proxies if draft.kind.serves and not draft.disabled]
    by_name = {
        f"{draft.name}/{server.name}": (draft, server)
        for draft in serving
        for server in draft.servers
    }
    chains = _Chains(by_name)
    for draft in serving:
        for server in draft.servers:
            if server.options.track is None:
                continue
            wrong = "unable to enable checks and tracking at the same time!"
            if not server.options.check:
                wrong = chains.complaint(f"{draft.name}/{server.name}")
            if wrong:
                messages.alert(f"'server {draft.name}/{server.name}' : {wrong}", server.origin)


class _Chains:
    """The chains of tracking servers; each is walked once."""

    def __init__(self, by_name: dict[str, NamedServer]) -> None:
        self._by_name = by_name
        self._names = NameIndex(by_name)
        self._complaints: dict[str, str] = {}  # by the server that the chain begins with

    def complaint(self, name: str) -> str:
        """The error in the chain of one server; "" if it ends at a server with checks."""
        walked: dict[str, None] = {}
        while name not in self._complaints and name not in walked:
            if name not in self._by_name:
                suggestion = self._names.hint(name)
                text = f"unable to find required server '{name}' for tracking{suggestion}"
                return self._remember(walked, text)
            walked[name] = None
            draft, server = self._by_name[name]
            if server.options.track is None:
                return self._remember(walked, "" if _is_watched(server) else _unchecked(name))
            name = full_name(draft, server.options.track)
            tracked = self._by_name.get(name)
            if tracked and tracked[0].disable_on_404 != draft.disable_on_404:
                text = f"unable to use {name} for tracking: disable-on-404 option inconsistency"
                return self._remember(walked, text)
        if name in walked:
            self._remember_loop(list(walked), name)
            return self._complaints[next(iter(walked))]
        return self._remember(walked, self._complaints[name])

    def _remember(self, walked: dict[str, None], text: str) -> str:
        self._complaints.update(dict.fromkeys(walked, text))
        return text

    def _remember_loop(self, walked: list[str], entry: str) -> None:
        """Store the error of each server of a loop, and of each server before the loop."""
        start = walked.index(entry)
        for position, name in enumerate(walked):
            again = name if position > start else entry
            self._complaints[name] = (
                f"unable to track {again} as it belongs to a tracking chain looping back"
            )


def _is_watched(server: ServerDraft) -> bool:
    return server.options.check or server.options.agent_check


def _unchecked(name: str) -> str:
    return f"unable to use {name} for tracking as it does not have any check nor agent enabled"


def link_tracking(proxies: tuple[Proxy, ...]) -> tuple[Proxy, ...]:
    """The proxies with the tracked slot of each server that tracks another."""
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
