"""Converters of whole messages, of fine times, and those that name variables (manual 7.3.1).

Owns how their arguments are read. converters.py makes entries of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from proxy.config.lines.rules.arguments import (
    integer,
    is_variable,
    setting_conditions,
    variable_name,
)
from proxy.config.lines.rules.fetches import SampleType
from proxy.config.model.rules import Converter
from proxy.config.text.messages import ConfigError

_TRUTH, _NUMBER, _TEXT, _BYTES, _ANY = (
    *(SampleType.TRUTH, SampleType.NUMBER, SampleType.TEXT, SampleType.BYTES, SampleType.ANY),
)
_Arguments = tuple[str, ...]
_Reader = Callable[[str, _Arguments], Converter]

_PACKETS = {"connect": 1, "connack": 2}
_FIELDS = {  # numbers as in proxy/rules/converting/mqtt.pxd, behind those of properties
    name: 256 + number
    for number, name in enumerate(
        (
            *("flags", "protocol_name", "protocol_version", "client_identifier", "will_topic"),
            *("will_payload", "username", "password", "keepalive", "reason_code"),
        )
    )
}
_OF_CONNACK = ("flags", "protocol_version", "reason_code")
_FIELDS_OF = {1: _FIELDS.keys() - {"reason_code"}, 2: {*_OF_CONNACK}}
_PROPERTIES = {
    1: {1, 2, 3, 8, 9, 17, 21, 22, 23, 24, 25, 33, 34, 38, 39},
    2: {17, 18, 19, 21, 22, 26, 28, 31, 33, 34, 36, 37, 38, 39, 40, 41, 42},
}
_TAGS = {
    "beginstring": 8,
    "bodylength": 9,
    "msgtype": 35,
    "sendercompid": 49,
    "targetcompid": 56,
    "checksum": 10,
}
_TIMES = {
    f"{unit}_{zone}time": (per_second, int(zone == "u"))
    for unit, per_second in (("ms", 1_000), ("us", 1_000_000))
    for zone in "lu"
}


def _invalid(name: str, what: str) -> ConfigError:
    return ConfigError(f"invalid args in converter '{name}' : {what}")


def _argument(name: str, position: int, what: str) -> ConfigError:
    return ConfigError(f"invalid arg {position} in converter '{name}' : {what}")


def _at_most(name: str, arguments: _Arguments, most: int) -> None:
    if len(arguments) > most:
        before = "," if most else ""
        rest = ",".join(arguments[most:])
        raise _argument(name, max(1, most), f"expected ')' before '{before}{rest})'")


def _at_least_two(name: str, arguments: _Arguments) -> None:
    if len(arguments) < 2:
        raise _argument(name, 2, "missing arguments (got 1/2), type 'string' expected")


def _alone(name: str, arguments: _Arguments) -> Converter:
    _at_most(name, arguments, 0)
    return Converter(name)


def _mqtt_field(name: str, arguments: _Arguments) -> Converter:
    """The kind of the packet, and the number of the field or the property."""
    _at_most(name, arguments, 2)
    _at_least_two(name, arguments)
    packet, field = arguments[0].lower(), arguments[1].lower()
    kind = int(packet) if re.fullmatch("0*[0-9]{1,9}", packet) else _PACKETS.get(packet, 0)
    number = int(field) if re.fullmatch("0*[0-9]{1,9}", field) else 0
    if kind in _PROPERTIES and number in _PROPERTIES[kind]:
        return Converter(name, numbers=(kind, number))
    if field not in _FIELDS_OF.get(kind, ()):
        raise _invalid(
            name, f"Unknown MQTT field name '{arguments[1]}' for packet type '{arguments[0]}'"
        )
    return Converter(name, numbers=(kind, _FIELDS[field]))


def _fix_field(name: str, arguments: _Arguments) -> Converter:
    _at_most(name, arguments, 1)
    word = "".join(arguments)
    tag = int(word) if re.fullmatch("[0-9]{1,18}", word) else _TAGS.get(word.lower(), 0)
    if tag <= 0:
        raise _invalid(name, f"Unknown FIX tag name '{word}'")
    return Converter(name, numbers=(tag,))


def _fine_time(name: str, arguments: _Arguments) -> Converter:
    """The offset, how many of the unit are a second, and whether it is the time of UTC."""
    if not 1 <= len(arguments) <= 2 or not arguments[0]:
        unit = "milliseconds" if name.startswith("ms") else "microseconds"
        raise ConfigError(f"converter '{name}': write {name}(<format>[,<offset in {unit}>])")
    offset = integer(arguments[1], name) if len(arguments) > 1 else 0
    return Converter("fine_time", arguments[0], (offset, *_TIMES[name]))


def _item(name: str, arguments: _Arguments) -> Converter:
    """What stands before the variable and behind it, the number being how much is before."""
    _at_most(name, arguments, 3)
    _at_least_two(name, arguments)
    delimiter, variable, suffix = (*arguments, "")[:3]
    if not variable and not suffix:
        raise _invalid(name, "one of the optional arguments has to be nonempty")
    if variable and not is_variable(variable):
        raise _invalid(name, f"failed to register variable name '{variable}'")
    before = len(delimiter.encode(errors="surrogateescape"))
    named = variable_name(variable) if variable else ""
    return Converter(name, delimiter + suffix, (before, 0, -1), variable=named)


def _same_bytes(name: str, arguments: _Arguments) -> Converter:
    _at_most(name, arguments, 1)
    variable = "".join(arguments)
    if not variable:
        raise _invalid(name, "missing variable name")
    if not is_variable(variable):
        raise _invalid(name, f"failed to register variable name '{variable}'")
    return Converter(name, numbers=(0, 0, -1), variable=variable_name(variable))


def _set_variable(name: str, arguments: _Arguments) -> Converter:
    variable, *conditions = arguments or ("",)
    if name == "unset-var":
        _at_most(name, arguments, 1)
    try:
        named, when = variable_name(variable), setting_conditions(list(conditions))
    except ConfigError as error:
        raise _invalid(name, str(error)) from None
    return Converter(name, numbers=(when, 0, -1), variable=named)


OF_MESSAGES: dict[str, tuple[SampleType, SampleType, _Reader]] = {
    **dict.fromkeys(("mqtt_is_valid", "fix_is_valid"), (_BYTES, _TRUTH, _alone)),
    "mqtt_field_value": (_BYTES, _TEXT, _mqtt_field),
    "fix_tag_value": (_BYTES, _BYTES, _fix_field),
    **dict.fromkeys(_TIMES, (_NUMBER, _TEXT, _fine_time)),
    "add_item": (_TEXT, _TEXT, _item),
    "secure_memcmp": (_BYTES, _TRUTH, _same_bytes),
    **dict.fromkeys(("set-var", "unset-var"), (_ANY, _ANY, _set_variable)),
}
