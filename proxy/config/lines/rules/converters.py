"""The converters of sample expressions (manual section 7.3.1): one entry each.

To add a converter: an entry here, a number and a function in proxy/rules/.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from proxy.config.lines.rules.arguments import integer, is_variable, variable_name
from proxy.config.lines.rules.fetches import SampleType
from proxy.config.lines.rules.further_converters import FURTHER, REFUSED
from proxy.config.lines.rules.maps import MAPS, read_map, types_of
from proxy.config.lines.rules.message_converters import OF_MESSAGES
from proxy.config.lines.rules.table_words import TABLE_CONVERTERS, converter_asked
from proxy.config.model.lists import NOWHERE, Place
from proxy.config.model.rules import Converter
from proxy.config.text.calls import Call
from proxy.config.text.messages import ConfigError
from proxy.config.text.suggest import hint

ALL_BYTES = -1
FIELD_MAX = 2**31  # no text has so many
_TRUTH, _NUMBER, _ADDRESS, _TEXT, _BYTES, *_ = SampleType
_Reader = Callable[[str, tuple[str, ...]], Converter]


class Kind(NamedTuple):
    """One converter: what it takes, what it gives, and how its arguments are read."""

    takes: SampleType
    gives: SampleType
    read: _Reader


def converters_of(
    given: SampleType, calls: Sequence[Call], place: Place = NOWHERE
) -> tuple[tuple[Converter, ...], SampleType]:
    """The converters behind a fetch, and what the last one gives.

    Raises ConfigError, also for a converter that takes no such sample. The paths of maps begin in
    `place`.
    """
    found = []
    for name, arguments in calls:
        if name in REFUSED:
            raise ConfigError(f"converter '{name}' is not supported: {REFUSED[name]}")
        if name in MAPS:
            takes, gives = types_of(name)
            if not given.becomes(takes):
                raise ConfigError(f"converter '{name}' cannot be applied")
            found.append(read_map(name, arguments or (), place))
            given = gives
            continue
        if name not in CONVERTERS:
            known = hint(name, (*CONVERTERS, *MAPS))
            raise ConfigError(f"unknown converter '{name}', or not supported yet{known}")
        kind = CONVERTERS[name]
        if not given.becomes(kind.takes):
            raise ConfigError(f"converter '{name}' cannot be applied")
        found.append(kind.read(name, arguments or ()))
        given = kind.gives
    return tuple(found), given


def _alone(name: str, arguments: tuple[str, ...]) -> Converter:
    if arguments:
        raise ConfigError(f"converter '{name}' takes no argument ('{arguments[0]}')")
    return Converter(name)


def _with_number(name: str, arguments: tuple[str, ...]) -> Converter:
    if len(arguments) != 1:
        raise ConfigError(f"converter '{name}': write {name}(<number>)")
    argument = arguments[0]
    if is_variable(argument):
        return Converter(name, numbers=(0, 1, -1), variable=variable_name(argument))
    return Converter(name, numbers=(integer(argument, name),))


def _concat(name: str, arguments: tuple[str, ...]) -> Converter:
    """What stands before the variable and behind it, the number being how much is before."""
    if len(arguments) > 3:
        raise ConfigError(f"converter '{name}': write {name}([<start>],[<variable>],[<end>])")
    start, variable, end = (*arguments, "", "", "")[:3]
    before = len(start.encode(errors="surrogateescape"))
    named = variable_name(variable) if variable else ""
    return Converter(name, start + end, (before, 0, -1), variable=named)


def _compared(name: str, arguments: tuple[str, ...]) -> Converter:
    if len(arguments) != 1:
        raise ConfigError(f"converter '{name}': write {name}(<variable>)")
    return Converter(name, numbers=(0, 0, -1), variable=variable_name(arguments[0]))


def _hash(name: str, arguments: tuple[str, ...]) -> Converter:
    """A seed, or 1 for the avalanche."""
    if len(arguments) > 1:
        what = "seed" if name in ("xxh32", "xxh64") else "avalanche"
        raise ConfigError(f"converter '{name}': write {name}([<{what}>])")
    return Converter(name, numbers=(integer(arguments[0], name) if arguments else 0,))


def _bytes(name: str, arguments: tuple[str, ...]) -> Converter:
    if not 1 <= len(arguments) <= 2:
        raise ConfigError(f"converter '{name}': write {name}(<offset>[,<length>])")
    numbers = [integer(argument, name) for argument in arguments]
    if min(numbers) < 0:
        raise ConfigError(f"converter '{name}': no number may be negative")
    return Converter(name, numbers=(numbers[0], numbers[1] if len(numbers) > 1 else ALL_BYTES))


def _parts(name: str, arguments: tuple[str, ...]) -> Converter:
    """`field` and `word`."""
    if not 2 <= len(arguments) <= 3:
        raise ConfigError(f"converter '{name}': write {name}(<index>,<delimiters>[,<count>])")
    index = integer(arguments[0], name)
    count = integer(arguments[2], name) if len(arguments) > 2 else 1
    if index == 0 or count < 0 or not arguments[1]:
        raise ConfigError(
            f"converter '{name}': the index is not 0, the count not negative, "
            "and there are delimiters"
        )
    numbers = (max(-FIELD_MAX, min(index, FIELD_MAX)), min(count, FIELD_MAX))
    return Converter(name, arguments[1], numbers)


def _mask(name: str, arguments: tuple[str, ...]) -> Converter:
    """Bits of IPv4 and IPv6; without the second, an address of IPv6 alone has no sample."""
    if not 1 <= len(arguments) <= 2:
        raise ConfigError(f"converter '{name}': write {name}(<mask4>[,<mask6>])")
    bits = [_mask_bits(name, text, size) for text, size in zip(arguments, (32, 128), strict=False)]
    return Converter(name, numbers=(bits[0], bits[1] if len(bits) > 1 else -1))


def _mask_bits(name: str, text: str, size: int) -> int:
    reader = ipaddress.IPv4Address if size == 32 else ipaddress.IPv6Address
    with suppress(ValueError):
        mask = 0
        bits = int(text) if text.isdecimal() else (mask := int(reader(text))).bit_count()
        if bits <= size and mask in (0, (1 << size) - (1 << (size - bits))):
            return bits
    version = "IPv4" if size == 32 else "IPv6"
    raise ConfigError(
        f"converter '{name}': failed to parse '{text}' as type '{version} mask': write a number "
        "of bits, or a mask whose bits are neighbours"
    )


def _time(name: str, arguments: tuple[str, ...]) -> Converter:
    if not 1 <= len(arguments) <= 2 or not arguments[0]:
        raise ConfigError(f"converter '{name}': write {name}(<format>[,<offset in seconds>])")
    offset = integer(arguments[1], name) if len(arguments) > 1 else 0
    return Converter(name, arguments[0], (offset,))


def _of_table(name: str, arguments: tuple[str, ...]) -> Converter:
    numbers, table = converter_asked(name, arguments)
    return Converter(TABLE_CONVERTERS[name].name, numbers=numbers, table=table)


CONVERTERS: dict[str, Kind] = {
    **dict.fromkeys(("upper", "lower"), Kind(_TEXT, _TEXT, _alone)),
    "hex": Kind(_BYTES, _TEXT, _alone),
    "base64": Kind(_BYTES, _TEXT, _alone),
    "b64dec": Kind(_TEXT, _BYTES, _alone),
    "length": Kind(_TEXT, _NUMBER, _alone),
    "bytes": Kind(_BYTES, _BYTES, _bytes),
    **dict.fromkeys(("field", "word"), Kind(_TEXT, _TEXT, _parts)),
    **dict.fromkeys(("neg", "cpl"), Kind(_NUMBER, _NUMBER, _alone)),
    **dict.fromkeys(("not", "bool", "even", "odd"), Kind(_NUMBER, _TRUTH, _alone)),
    **dict.fromkeys(
        ("add", "sub", "mul", "div", "mod", "and", "or", "xor"),
        Kind(_NUMBER, _NUMBER, _with_number),
    ),
    "ipmask": Kind(_ADDRESS, _ADDRESS, _mask),
    **dict.fromkeys(
        ("djb2", "sdbm", "wt6", "crc32", "crc32c", "xxh32", "xxh64"), Kind(_BYTES, _NUMBER, _hash)
    ),
    **dict.fromkeys(("ltime", "utime"), Kind(_NUMBER, _TEXT, _time)),
    "concat": Kind(_TEXT, _TEXT, _concat),
    "nbsrv": Kind(_TEXT, _NUMBER, _alone),  # its backends are known when all sections are
    "strcmp": Kind(_TEXT, _NUMBER, _compared),
    **{
        name: Kind(_TEXT, _TRUTH if name == "in_table" else _NUMBER, _of_table)
        for name in TABLE_CONVERTERS
    },
    **{name: Kind(*entry) for name, entry in {**FURTHER, **OF_MESSAGES}.items()},
}
