"""Where the things are that conditions name: by drafts while they are checked, then by settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from proxy.config.drafts import ProxyDraft, ProxyKind
from proxy.config.http_drafts import UserListDraft
from proxy.config.linking.checks_http import answers_itself
from proxy.config.linking.rules.conditions import NO_ROWS, OwnNumbers
from proxy.config.linking.rules.lists import ListTable
from proxy.config.linking.rules.variables import VariableTable
from proxy.config.model.settings import Proxy
from shm.tables.shape import TableShape


class DraftDirectory:
    """What there is; the numbers are not known yet."""

    def __init__(
        self, drafts: Sequence[ProxyDraft], user_lists: Mapping[str, UserListDraft]
    ) -> None:
        enabled = [draft for draft in drafts if not draft.disabled]
        self.user_lists = user_lists
        self.lists = ListTable()
        self.variables = VariableTable()
        self._backends = {draft.name: draft for draft in enabled if draft.kind.serves}
        self._rowless = {draft.name for draft in enabled if answers_itself(draft)}
        self.backends: Mapping[str, tuple[int, bool]] = {}  # their numbers are not known yet
        self._frontends = {draft.name for draft in enabled if draft.kind.accepts}
        self._tables = {draft.name: draft.table.shape for draft in enabled if draft.table}

    def backend(self, name: str) -> tuple[int, bool] | None:
        """Any number, if there is such a backend."""
        if name in self._rowless and name in self._backends:
            return NO_ROWS
        return (0, False) if name in self._backends else None

    def server(self, backend: str, name: str) -> int | None:
        """Any number, if there is such a server."""
        found = self._backends.get(backend) if backend not in self._rowless else None
        names = () if found is None else (server.name for server in found.servers)
        return 0 if name in names else None

    def frontend(self, name: str) -> int | None:
        """Any number, if there is such a frontend."""
        return 0 if name in self._frontends else None

    def table(self, name: str) -> tuple[int, TableShape] | None:
        """Any number, and what the table is, if there is such a one."""
        found = self._tables.get(name)
        return None if found is None else (0, found)

    def own(self, name: str) -> OwnNumbers:
        """Any numbers, if there is such a backend."""
        assert name in self._backends
        return OwnNumbers()


class SettingsDirectory:
    """The indices and slots of linked sections."""

    def __init__(
        self,
        proxies: Sequence[Proxy],
        user_lists: Mapping[str, UserListDraft],
        tables: Sequence[TableShape],
    ) -> None:
        self.user_lists = user_lists
        self.lists = ListTable()
        self.variables = VariableTable()
        self.named: set[int] = set()  # slots that lines name
        self._tables = {shape.name: (number, shape) for number, shape in enumerate(tables)}
        self._backends = {proxy.name: proxy for proxy in proxies if proxy.backend_index is not None}
        self.backends: Mapping[str, tuple[int, bool]] = {
            proxy.name: (proxy.backend_index, proxy.allbackups)
            for proxy in proxies
            if proxy.backend_index is not None
        }
        self._rowless = {
            proxy.name for proxy in proxies if ProxyKind(proxy.kind).serves
        } - self._backends.keys()
        self._frontends = {
            proxy.name: proxy.frontend_index
            for proxy in proxies
            if proxy.frontend_index is not None
        }

    def backend(self, name: str) -> tuple[int, bool] | None:
        """Its index, and `option allbackups`."""
        found = self._backends.get(name)
        if found is None or found.backend_index is None:
            return NO_ROWS if name in self._rowless else None
        return found.backend_index, found.allbackups

    def server(self, backend: str, name: str) -> int | None:
        """Its slot, which a line names from now on."""
        found = self._backends.get(backend)
        servers = found.servers if found is not None else ()
        slot = next((server.slot for server in servers if server.name == name), None)
        if slot is not None:
            self.named.add(slot)
        return slot

    def frontend(self, name: str) -> int | None:
        """Its index."""
        return self._frontends.get(name)

    def table(self, name: str) -> tuple[int, TableShape] | None:
        """Its number, and what it is."""
        return self._tables.get(name)

    def own(self, name: str) -> OwnNumbers:
        """What a backend's lines say of it."""
        found = self._backends[name]
        times = found.timeouts
        return OwnNumbers(found.id, times.server_ms or 0, times.tunnel_ms or 0)
