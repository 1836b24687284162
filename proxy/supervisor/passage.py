"""What a helper has prepared on its way to the supervisor: frames that are read one at a time.

Settings of many servers take long to read, so they come without their long lists, and these after
them in portions. A frame is its length in eight bytes, and that much msgpack; before the first
comes the length of everything, so that nothing is taken for whole that is not.

What comes over equal to what is in force is dropped at once for the object that is there already:
a reload takes memory for what it changes, and two generations share the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from proxy.config.model.lists import Reference
from proxy.config.model.settings import Proxy, Server, Settings
from proxy.config.text.messages import Message, Severity
from proxy.supervisor.initial import InitialAddress
from proxy.supervisor.prepare import Prepared
from proxy.supervisor.restore import Restored
from proxy.supervisor.slices import PORTION, Steps
from resolverd.config import ResolutionSettings

LENGTH_BYTES = 8
ALIKE = ("init_addr", "connecting", "queueing", "balancing", "check", "agent", "stopping")
FAILED_RESULT = "the process that reads the configuration ended without a result"
replace, force_setattr = msgspec.structs.replace, msgspec.structs.force_setattr
T = TypeVar("T")


class Portion(msgspec.Struct, frozen=True):
    """Some things of one of the long lists; those of the others are empty."""

    proxies: tuple[Proxy, ...] = ()  # each without its servers
    servers: tuple[Server, ...] = ()  # of the last proxy that came
    lists: tuple[bytes, ...] = ()
    references: tuple[Reference, ...] = ()
    resolutions: tuple[ResolutionSettings, ...] = ()
    addressed: tuple[ResolutionSettings, ...] = ()
    initial: tuple[InitialAddress, ...] = ()
    restored: tuple[Restored, ...] = ()


def encode(prepared: Prepared) -> bytes:
    """As bytes, for the way from a helper child."""
    frames = [b""]
    for part in _parts(prepared):
        frame = msgspec.msgpack.encode(part)
        frames += [len(frame).to_bytes(LENGTH_BYTES), frame]
    frames[0] = (LENGTH_BYTES + sum(map(len, frames))).to_bytes(LENGTH_BYTES)
    return b"".join(frames)


def _parts(prepared: Prepared) -> Iterator[Prepared | Portion]:
    settings = prepared.settings
    if settings is None:
        yield prepared
        return
    resolverd = settings.resolverd
    short = replace(resolverd, resolutions=(), addressed=())
    head = replace(settings, proxies=(), resolverd=short, lists=(), references=())
    yield replace(prepared, settings=head, initial=(), restored=())
    for proxy in settings.proxies:
        yield Portion(proxies=(replace(proxy, servers=()),))
        for servers in _portions(proxy.servers):
            yield Portion(servers=servers)
    for packed in settings.lists:
        yield Portion(lists=(packed,))
    for reference in settings.references:
        yield Portion(references=(reference,))
    for resolutions in _portions(resolverd.resolutions):
        yield Portion(resolutions=resolutions)
    for addressed in _portions(resolverd.addressed):
        yield Portion(addressed=addressed)
    for initial in _portions(prepared.initial):
        yield Portion(initial=initial)
    for restored in _portions(prepared.restored):
        yield Portion(restored=restored)


def _portions(items: tuple[T, ...]) -> Iterator[tuple[T, ...]]:
    for first in range(0, len(items), PORTION):
        yield items[first : first + PORTION]


def decode(content: bytes, former: Settings | None = None) -> Steps[Prepared]:
    """From bytes, with the objects of `former` settings for what equals it; a helper that ended
    early reads as an ALERT."""
    if len(content) < LENGTH_BYTES or int.from_bytes(content[:LENGTH_BYTES]) != len(content):
        return Prepared(None, (Message(Severity.ALERT, FAILED_RESULT),))
    return (yield from _decode(content, _Former(former)))


def _decode(content: bytes, former: _Former) -> Steps[Prepared]:
    frames = _frames(content)
    prepared = msgspec.msgpack.decode(next(frames), type=Prepared)
    if prepared.settings is None:
        return prepared
    proxies: list[Proxy] = []
    servers: list[Server] = []
    lists: dict[str, list[Any]] = {
        name: []
        for name in ("lists", "references", "resolutions", "addressed", "initial", "restored")
    }
    decoder = msgspec.msgpack.Decoder(Portion)
    shared: dict[Any, Any] = {}
    for frame in frames:
        portion = decoder.decode(frame)
        if portion.proxies:
            _close(proxies, servers, former)
            proxies += portion.proxies
        if portion.servers:
            servers += _kept(portion.servers, former.servers(proxies[-1]), len(servers))
        for server in portion.servers:
            _share(server, shared)
        for name, items in lists.items():
            items.extend(_kept(getattr(portion, name), former.lists.get(name, ()), len(items)))
        yield
    _close(proxies, servers, former)
    resolverd = replace(
        prepared.settings.resolverd,
        resolutions=tuple(lists["resolutions"]),
        addressed=tuple(lists["addressed"]),
    )
    settings = replace(
        prepared.settings,
        proxies=tuple(proxies),
        resolverd=resolverd,
        lists=tuple(lists["lists"]),
        references=tuple(lists["references"]),
    )
    initial, restored = tuple(lists["initial"]), tuple(lists["restored"])
    return replace(prepared, settings=settings, initial=initial, restored=restored)


def _share(server: Server, shared: dict[Any, Any]) -> None:
    """Equal options of servers become one object, as reading the file makes them: a third of what
    a server takes."""
    for option in ALIKE:
        value = getattr(server, option)
        if value is not None:
            force_setattr(server, option, shared.setdefault(value, value))
    force_setattr(server.origin, "file", shared.setdefault(server.origin.file, server.origin.file))
    if server.address == server.host:
        force_setattr(server, "address", server.host)


class _Former:
    """What is in force, to be found by what may come over equal to it."""

    def __init__(self, settings: Settings | None) -> None:
        """None: nothing is in force."""
        self._proxies: dict[tuple[str, str], Proxy] = {}
        self.lists: dict[str, tuple[Any, ...]] = {}  # by their names in a portion
        if settings is not None:
            self._proxies = {(proxy.kind, proxy.name): proxy for proxy in settings.proxies}
            resolverd = settings.resolverd
            self.lists = {"lists": settings.lists, "references": settings.references}
            self.lists |= {"resolutions": resolverd.resolutions, "addressed": resolverd.addressed}

    def servers(self, proxy: Proxy) -> tuple[Server, ...]:
        """Those of the section of this name."""
        former = self._proxies.get((proxy.kind, proxy.name))
        return () if former is None else former.servers

    def proxy(self, proxy: Proxy) -> Proxy:
        """The former section, where this one equals it."""
        former = self._proxies.get((proxy.kind, proxy.name))
        return former if former is not None and former == proxy else proxy


def _kept(items: tuple[T, ...], former: tuple[T, ...], place: int) -> Iterator[T]:
    """Those of the list from `place` on, and for each that equals the former one that one."""
    for number, item in enumerate(items, place):
        yield former[number] if number < len(former) and former[number] == item else item


def _close(proxies: list[Proxy], servers: list[Server], former: _Former) -> None:
    """The last proxy has all its servers."""
    if proxies:
        proxies[-1] = former.proxy(replace(proxies[-1], servers=tuple(servers)))
        servers.clear()


def _frames(content: bytes) -> Iterator[memoryview]:
    view, place = memoryview(content), LENGTH_BYTES
    while place < len(view):
        end = place + LENGTH_BYTES + int.from_bytes(view[place : place + LENGTH_BYTES])
        yield view[place + LENGTH_BYTES : end]
        place = end
