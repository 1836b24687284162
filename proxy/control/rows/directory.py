"""Finds proxies and servers by the words of a command, at a cost that does not grow with the table.

All names are indexed when control begins, so that no order pays for it.
"""

from __future__ import annotations

from proxy.config.model.settings import Proxy, Server, Settings
from proxy.control.command import CommandError
from proxy.server_table import ServerNames, ServerTable

NUMBER_DIGITS_MAX = 10  # of an id: those of the configuration have 31 bits


def number(word: str) -> int | None:
    """A decimal number with a sign, or None; raises CommandError for one with too many digits."""
    digits = word.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()):
        return None
    digits = digits.lstrip("0") or "0"
    if len(digits) > NUMBER_DIGITS_MAX:
        raise CommandError(
            f"A number has at most {NUMBER_DIGITS_MAX} digits, not {len(digits)}: "
            f"'{word[:NUMBER_DIGITS_MAX]}...'."
        )
    return -int(digits) if word.startswith("-") else int(digits)


class Directory:
    """What the running configuration calls its proxies and servers.

    Disabled sections are not in, and spare backends only while they have a name.
    """

    def __init__(self, settings: Settings, servers: ServerTable, *, indexed: bool = True) -> None:
        """Servers that are not `indexed` are looked for one by one."""
        proxies = [proxy for proxy in settings.proxies if not (proxy.disabled or proxy.spare_of)]
        self.proxies = (*proxies, *servers.named_backends())
        self.backends = tuple(proxy for proxy in self.proxies if proxy.backend_index is not None)
        self.frontends = tuple(proxy for proxy in self.proxies if proxy.frontend_index is not None)
        self._by_name: dict[str, list[Proxy]] = {}
        self._by_id: dict[int, list[Proxy]] = {}
        for proxy in self.proxies:
            self._index(proxy)
        self._servers = ServerNames(servers) if indexed else None
        self._table = servers

    def _index(self, proxy: Proxy) -> None:
        self._by_name.setdefault(proxy.name, []).append(proxy)
        self._by_id.setdefault(proxy.id, []).append(proxy)

    def named(self, proxy: Proxy) -> None:
        """A spare backend has got a name."""
        self.proxies = (*self.proxies, proxy)
        self.backends = (*self.backends, proxy)
        self._index(proxy)

    def unnamed(self, proxy: Proxy) -> None:
        """It has lost it."""
        self.proxies = tuple(each for each in self.proxies if each is not proxy)
        self.backends = tuple(each for each in self.backends if each is not proxy)
        self._by_name[proxy.name].remove(proxy)
        self._by_id[proxy.id].remove(proxy)

    def is_taken(self, name: str) -> bool:
        """Whether a section has this name."""
        return bool(self._by_name.get(name))

    def proxies_called(self, word: str) -> tuple[Proxy, ...]:
        """Proxies by number or name, in the order of the file; raises CommandError for no name."""
        value = number(word)
        named = self._by_name.get(word, [])
        if value is None:
            if not named:
                raise CommandError("No such proxy.")
            return tuple(named)
        numbered = [proxy for proxy in self._by_id.get(value, []) if proxy not in named]
        return (*named, *numbered)

    def backend(self, word: str) -> Proxy | None:
        """A backend by name or by `#id`."""
        found = self._by_name.get(word, [])
        if word.startswith("#"):
            value = number(word[1:])
            found = [] if value is None else self._by_id.get(value, [])
        return next((proxy for proxy in found if proxy.backend_index is not None), None)

    def frontend(self, word: str) -> Proxy | None:
        """A frontend by name or by `#id`."""
        found = self._by_name.get(word, [])
        if word.startswith("#"):
            value = number(word[1:])
            found = [] if value is None else self._by_id.get(value, [])
        return next((proxy for proxy in found if proxy.frontend_index is not None), None)

    def server(self, word: str) -> tuple[Proxy, Server]:
        """A server written `backend/server`, each by name or `#id`; raises CommandError."""
        backend_word, separator, server_word = word.partition("/")
        if not separator or not backend_word or not server_word:
            raise CommandError("Require 'backend/server'.")
        proxy = self.backend(backend_word)
        if proxy is None:
            raise CommandError("No such backend.")
        server = self.server_named(proxy, server_word)
        if server_word.startswith("#"):
            value = number(server_word[1:])
            server = None if value is None else self.server_numbered(proxy, value)
        if server is None:
            raise CommandError("No such server.")
        return proxy, server

    def server_named(self, proxy: Proxy, name: str) -> Server | None:
        """The server of a backend that has this name."""
        if self._servers is not None:
            return self._servers.named(proxy, name)
        return next((each for each in self._table.of(proxy) if each.name == name), None)

    def added(self, server: Server) -> None:
        """The table has a server more."""
        if self._servers is not None:
            self._servers.add(server)

    def removed(self, server: Server) -> None:
        """The table has a server less."""
        if self._servers is not None:
            self._servers.remove(server)

    def server_numbered(self, proxy: Proxy, server_id: int) -> Server | None:
        """The server of a backend that has this id."""
        if self._servers is not None:
            return self._servers.numbered(proxy, server_id)
        return next((each for each in self._table.of(proxy) if each.id == server_id), None)
