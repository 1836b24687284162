"""The converters of sample expressions (manual section 7.3.1): one entry each.

To add a converter: an entry here, a number and a function in proxy/rules/.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from proxy.config.lines.rules.arguments import integer, is_variable
from proxy.config.model.rules import Converter
from proxy.config.text.calls import Call
from proxy.config.text.messages import ConfigError
from proxy.config.text.suggest import hint

ALL_BYTES = -1
FIELD_MAX = 2**31  # no text has so many
BINARY = frozenset(  # fetches whose samples HAProxy makes no numbers of
    (
        *("bin", "ipv6", "meth", "method", "res.payload", "res.payload_lv", "res.body"),
        *("payload", "payload_lv", "req.payload", "req.payload_lv", "req.ssl_cipherlist"),
        *("req.ssl_keyshare_groups", "req.ssl_sigalgs", "req.ssl_supported_groups"),
    )
)
_OF_NUMBERS = ("neg", "cpl", "not", "bool", "even", "odd")
_ALONE = ("upper", "lower", "hex", "length", *_OF_NUMBERS)
_WITH_NUMBER = ("add", "sub", "mul", "div", "mod", "and", "or", "xor")


def converter_of(call: Call) -> Converter:
    """The converter that a call is; raises ConfigError."""
    name, arguments = call
    if name not in CONVERTERS:
        found = hint(name, CONVERTERS)
        raise ConfigError(f"converter '{name}' is unknown, or not supported yet{found}")
    return CONVERTERS[name](name, arguments or ())


def converters_of(fetch: str, calls: Sequence[Call]) -> tuple[Converter, ...]:
    """The converters behind a fetch; ConfigError for one that takes no such sample."""
    binary = fetch in BINARY
    found = tuple(map(converter_of, calls))
    for converter in found:
        numeric = converter.name in _WITH_NUMBER or converter.name in _OF_NUMBERS
        if binary and numeric:
            raise ConfigError(f"converter '{converter.name}' cannot be applied to bytes")
        binary = converter.name == "bytes"
    return found


def _alone(name: str, arguments: tuple[str, ...]) -> Converter:
    if arguments:
        raise ConfigError(f"converter '{name}' takes no argument ('{arguments[0]}')")
    return Converter(name)


def _with_number(name: str, arguments: tuple[str, ...]) -> Converter:
    if len(arguments) != 1:
        raise ConfigError(f"converter '{name}': write {name}(<number>)")
    argument = arguments[0]
    if is_variable(argument):
        raise ConfigError(
            f"converter '{name}': a variable there ('{argument}') is not supported; "
            f"write {name}(<number>)"
        )
    return Converter(name, numbers=(integer(argument, name),))


def _bytes(name: str, arguments: tuple[str, ...]) -> Converter:
    if not 1 <= len(arguments) <= 2:
        raise ConfigError(f"converter '{name}': write {name}(<offset>[,<length>])")
    numbers = [integer(argument, name) for argument in arguments]
    if min(numbers) < 0:
        raise ConfigError(f"converter '{name}': no number may be negative")
    return Converter(name, numbers=(numbers[0], numbers[1] if len(numbers) > 1 else ALL_BYTES))


def _field(name: str, arguments: tuple[str, ...]) -> Converter:
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


CONVERTERS: dict[str, Callable[[str, tuple[str, ...]], Converter]] = {
    **dict.fromkeys(_ALONE, _alone),
    **dict.fromkeys(_WITH_NUMBER, _with_number),
    "bytes": _bytes,
    "field": _field,
}
