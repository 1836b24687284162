"""The converters that look up in a map: `map`, `map_<match>`, `map_<match>_<type>` (manual 7.3.1).

Owns their names and arguments; a file of a map is read by lists.py.
"""

from __future__ import annotations

import ipaddress

from proxy.config.lines.rules.arguments import integer
from proxy.config.lines.rules.fetches import SampleType
from proxy.config.lines.rules.lists import list_of
from proxy.config.model.lists import ListUse, Place
from proxy.config.model.matching import MapType, Matcher
from proxy.config.model.rules import Converter
from proxy.config.text.messages import ConfigError

_TAKES = {Matcher.INT: SampleType.NUMBER, Matcher.IP: SampleType.ADDRESS}
_GIVES = {
    MapType.TEXT: SampleType.TEXT,
    MapType.NUMBER: SampleType.NUMBER,
    MapType.ADDRESS: SampleType.ADDRESS,
}
_MATCHERS = (
    *(Matcher.STR, Matcher.BEG, Matcher.END, Matcher.SUB, Matcher.DIR, Matcher.DOM, Matcher.REG),
    *(Matcher.INT, Matcher.IP),
)


def _names() -> dict[str, tuple[Matcher, MapType]]:
    found = {
        "map": (Matcher.STR, MapType.TEXT),
        "map_regm": (Matcher.REGM, MapType.TEXT),
    }
    for matcher in _MATCHERS:
        found[f"map_{matcher.value}"] = (matcher, MapType.TEXT)
        for gives in (MapType.NUMBER, MapType.ADDRESS):
            found[f"map_{matcher.value}_{gives.value}"] = (matcher, gives)
    return found


MAPS = _names()


def types_of(name: str) -> tuple[SampleType, SampleType]:
    """What a converter takes, and what it gives."""
    matcher, gives = MAPS[name]
    return _TAKES.get(matcher, SampleType.TEXT), _GIVES[gives]


def read_map(name: str, arguments: tuple[str, ...], place: Place) -> Converter:
    """The converter with its map; raises ConfigError. A relative path begins in `place`."""
    if len(arguments) > 2:
        raise ConfigError(f"converter '{name}': write {name}(<file>[,<default value>])")
    matcher, gives = MAPS[name]
    default = arguments[1] if len(arguments) > 1 else None
    if default is not None and gives is MapType.NUMBER and default:
        default = str(integer(default, f"{name}: the default value"))
    try:
        if default is not None and gives is MapType.ADDRESS:
            ipaddress.ip_address(default)
    except ValueError:
        raise ConfigError(f"converter '{name}': cannot parse default ip <{default}>") from None
    try:
        use = ListUse(matcher, gives=gives)
        path = arguments[0] if arguments else ""
        listed = list_of(path, place, use, by="map", valued=True)
    except ConfigError as error:
        raise ConfigError(f"invalid args in converter '{name}' : {error}") from error
    return Converter(
        "map",
        default or "",
        (int(default is not None),),
        matcher=matcher,
        gives=gives,
        listed=listed,
    )
