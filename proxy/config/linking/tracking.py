"""`track [<backend>/]<server>`: a server that shares the state of another (manual section 5.2).

Owns the search by name and the errors. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from proxy.config.drafts import ProxyDraft
from proxy.config.model.settings import Proxy
from proxy.config.server_drafts import ServerDraft
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
    chains = _Chains(by_name, [draft.name for draft in serving])
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
    """The chains of tracking servers; each is walked once. `by_name` is in the file's order."""

    def __init__(self, by_name: dict[str, NamedServer], sections: Sequence[str]) -> None:
        self._by_name = by_name
        self._names = NameIndex(by_name)
        self._sections = frozenset(sections)
        self._section_names = NameIndex(sections)
        self._positions = {name: position for position, name in enumerate(by_name)}
        self._complaints: dict[str, str] = {}  # by the server that the chain begins with
        self._loops: dict[str, str] = {}  # the one error of each loop, by its last line

    def complaint(self, name: str) -> str:
        """The error in the chain of one server; "" if it ends at a server with checks.

        As in HAProxy, a loop is the error of its last line, which closes it.
        """
        found = self._walk(name)
        return self._loops.get(name, found)

    def _walk(self, name: str) -> str:
        walked: dict[str, None] = {}
        while name not in self._complaints and name not in walked:
            if name not in self._by_name:
                return self._remember(walked, self._missing(name))
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
            return self._remember(walked, "")
        return self._remember(walked, self._complaints[name])

    def _missing(self, name: str) -> str:
        section, _, _ = name.rpartition("/")
        if section in self._sections:
            suggestion = self._names.hint(name)
            return f"unable to find required server '{name}' for tracking{suggestion}"
        suggestion = self._section_names.hint(section)
        return f"unable to find required proxy '{section}' for tracking{suggestion}"

    def _remember(self, walked: dict[str, None], text: str) -> str:
        self._complaints.update(dict.fromkeys(walked, text))
        return text

    def _remember_loop(self, walked: list[str], entry: str) -> None:
        """Store the one error of the loop that is entered at `entry`."""
        last = max(walked[walked.index(entry) :], key=self._positions.__getitem__)
        draft, server = self._by_name[last]
        assert server.options.track is not None, "it is in a loop"
        tracked = full_name(draft, server.options.track)
        self._loops[last] = (
            f"unable to track {tracked} as it belongs to a tracking chain looping back to {last}."
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
