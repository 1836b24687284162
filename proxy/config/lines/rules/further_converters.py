"""Converters by families: texts, bytes, digests and dates (manual section 7.3.1).

Owns how their arguments are read, and why others are refused. converters.py makes entries of them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

from proxy.config.lines.rules.arguments import integer, is_variable
from proxy.config.lines.rules.fetches import SampleType
from proxy.config.model.rules import Converter
from proxy.config.text.messages import ConfigError
from proxy.lists.regex import check

_SHA2_BITS = (224, 256, 384, 512)
_DIGESTS = {"sha1": 160, **{f"sha{bits}": bits for bits in _SHA2_BITS}}
_UNIT_DIGITS = {"s": 0, "ms": 3, "us": 6}
_BE_DECIMAL_BYTES_MAX = 8
_TRUTH, _NUMBER, _TEXT, _BYTES = (
    *(SampleType.TRUTH, SampleType.NUMBER, SampleType.TEXT, SampleType.BYTES),
)
_Arguments = tuple[str, ...]
_Reader = Callable[[str, _Arguments], Converter]


def _wrong(name: str, usage: str) -> ConfigError:
    return ConfigError(f"converter '{name}': write {name}{usage}")


def _invalid(name: str, what: str) -> ConfigError:
    return ConfigError(f"invalid args in converter '{name}' : {what}")


def _alone(name: str, arguments: _Arguments) -> Converter:
    if arguments:
        raise ConfigError(f"converter '{name}' takes no argument ('{arguments[0]}')")
    return Converter(name)


def _choice(name: str, arguments: _Arguments) -> Converter:
    """Two texts behind each other, and how long the first is."""
    if len(arguments) != 2:
        raise _wrong(name, "(<true>,<false>)")
    return Converter(name, "".join(arguments), (len(arguments[0].encode()),))


def _characters(name: str, arguments: _Arguments) -> Converter:
    if len(arguments) > 1:
        raise _wrong(name, "(<characters>)")
    return Converter(name, "".join(arguments))


def _form(name: str, arguments: _Arguments) -> Converter:
    if len(arguments) > 1:
        raise _wrong(name, "([<in_form>])")
    return Converter(name, numbers=(integer(arguments[0], name) if arguments else 0,))


def _encoding(name: str, arguments: _Arguments) -> Converter:
    if len(arguments) > 1 or arguments[:1] not in ((), ("query",)):
        raise _invalid(name, "Unexpected encode type. Allowed value is 'query'.")
    return Converter(name)


def _parameter(name: str, arguments: _Arguments) -> Converter:
    if not 1 <= len(arguments) <= 2 or not arguments[0]:
        raise _wrong(name, "(<name>[,<delimiter>])")
    between = arguments[1] if len(arguments) > 1 else "&"
    if len(between.encode()) != 1:
        raise ConfigError(f"converter '{name}': the delimiter is one character")
    return Converter(name, arguments[0] + between, (len(arguments[0].encode()),))


def _chunks(name: str, arguments: _Arguments) -> Converter:
    """The separator, the size, and whether a last part that is shorter counts."""
    decimal = name == "be2dec"
    if len(arguments) > 3:
        raise _wrong(name, "(<separator>,<size>[,<truncate>])")
    separator = arguments[0] if arguments else ""
    size = integer(arguments[1], name) if len(arguments) > 1 else 0
    truncate = integer(arguments[2], name) if len(arguments) > 2 else 0
    if truncate not in (0, 1):
        raise _invalid(name, f"Unsupported truncate value ({truncate}).")
    if decimal and not 1 <= size <= _BE_DECIMAL_BYTES_MAX:
        raise _invalid(name, f"chunk_size out of [1..{_BE_DECIMAL_BYTES_MAX}] range ({size}).")
    if size < 0 or (size == 0 and separator):
        raise _invalid(name, f"chunk_size needs to be positive ({size}).")
    return Converter(name, separator, (min(size, 2**31), truncate))


def _sha1(name: str, arguments: _Arguments) -> Converter:
    return Converter("digest", numbers=(_DIGESTS[_alone(name, arguments).name],))


def _sha2(name: str, arguments: _Arguments) -> Converter:
    bits = integer(arguments[0], name) if arguments else 256
    if len(arguments) > 1 or bits not in _SHA2_BITS:
        raise _invalid(name, f"Unsupported number of bits: '{bits}'.")
    return Converter("digest", numbers=(bits,))


def _bits(name: str, algorithm: str) -> int:
    if algorithm.lower() not in _DIGESTS:
        known = ", ".join(_DIGESTS)
        raise _invalid(name, f"algorithm '{algorithm}' is not one of those that are here: {known}.")
    return _DIGESTS[algorithm.lower()]


def _digest(name: str, arguments: _Arguments) -> Converter:
    if len(arguments) != 1:
        raise _wrong(name, "(<algorithm>)")
    return Converter(name, numbers=(_bits(name, arguments[0]),))


def _code(name: str, arguments: _Arguments) -> Converter:
    if len(arguments) != 2:
        raise _wrong(name, "(<algorithm>,<key>)")
    bits = _bits(name, arguments[0])
    if is_variable(arguments[1]):
        raise ConfigError(
            f"converter '{name}': a variable there ('{arguments[1]}') is not supported; write the "
            "key in base 64"
        )
    try:
        key = base64.b64decode(arguments[1], validate=True)
    except binascii.Error as error:
        raise _invalid(
            name, f"failed to parse key : '{arguments[1]}' is not base64 encoded."
        ) from error
    return Converter(name, key.decode(errors="surrogateescape"), (bits,))


def _http_date(name: str, arguments: _Arguments) -> Converter:
    unit = arguments[1] if len(arguments) > 1 else "s"
    if len(arguments) > 2:
        raise _wrong(name, "([<offset>[,s|ms|us]])")
    if unit not in _UNIT_DIGITS:
        raise _invalid(name, f"expects 's', 'ms' or 'us', got '{unit}'.")
    offset = integer(arguments[0], name) if arguments else 0
    return Converter(name, numbers=(offset, _UNIT_DIGITS[unit]))


def _substitution(name: str, arguments: _Arguments) -> Converter:
    """The expression and the replacement behind each other, and how long the first is."""
    if not 2 <= len(arguments) <= 3 or not arguments[0]:
        raise _wrong(name, "(<regex>,<replacement>[,<flags>])")
    flags = arguments[2] if len(arguments) > 2 else ""
    for flag in flags:
        if flag not in "gi":
            raise _invalid(name, f"invalid regex flag '{flag}', only 'i' and 'g' are supported.")
    expression = arguments[0].encode(errors="surrogateescape")
    try:
        check(expression, insensitive="i" in flags)
    except (ValueError, ImportError) as error:
        raise ConfigError(
            f"error in regex '{arguments[0]}' in arg 1 of conversion keyword '{name}' : {error}"
        ) from None
    numbers = (len(expression), int("g" in flags), int("i" in flags))
    return Converter(name, arguments[0] + arguments[1], numbers)


FURTHER: dict[str, tuple[SampleType, SampleType, _Reader]] = {
    "regsub": (_TEXT, _TEXT, _substitution),
    "iif": (_TRUTH, _TEXT, _choice),
    **dict.fromkeys(("ltrim", "rtrim"), (_TEXT, _TEXT, _characters)),
    **dict.fromkeys(("cut_crlf", "host_only"), (_TEXT, _TEXT, _alone)),
    **dict.fromkeys(("hex2i", "port_only"), (_TEXT, _NUMBER, _alone)),
    "url_dec": (_TEXT, _TEXT, _form),
    "url_enc": (_TEXT, _TEXT, _encoding),
    "param": (_TEXT, _TEXT, _parameter),
    "htonl": (_NUMBER, _BYTES, _alone),
    **dict.fromkeys(("be2dec", "be2hex"), (_BYTES, _TEXT, _chunks)),
    "ub64enc": (_BYTES, _TEXT, _alone),
    "ub64dec": (_TEXT, _BYTES, _alone),
    "sha1": (_BYTES, _BYTES, _sha1),
    "sha2": (_BYTES, _BYTES, _sha2),
    "digest": (_BYTES, _BYTES, _digest),
    "hmac": (_BYTES, _BYTES, _code),
    "http_date": (_NUMBER, _TEXT, _http_date),
}

_OF_HTTP = "HTTP is forwarded as it is"
_TOKENS = "tokens are read by servers that speak HTTP"
_NO_DOCUMENTS = "no reader of that format is here"
REFUSED = {  # what the manual has and a rule would wait for in vain
    "51d.single": "HAProxy is rarely built with it",
    "da-csv-conv": "HAProxy is rarely built with it",
    "aes_gcm_dec": "nothing is decrypted here; let the server do it",
    "capture-req": _OF_HTTP,
    "capture-res": _OF_HTTP,
    "language": _OF_HTTP,
    "json": _NO_DOCUMENTS,
    "json_query": _NO_DOCUMENTS,
    "jwt_header_query": _TOKENS,
    "jwt_payload_query": _TOKENS,
    "jwt_verify": _TOKENS,
    "protobuf": _NO_DOCUMENTS,
    "ungrpc": _NO_DOCUMENTS,
    "debug": "there is no ring that 'show events' would read; write a log-format",
    "xxh3": "write xxh64",
    "srv_queue": "name the server where it is fetched: srv_queue(<backend>/<server>)",
}
