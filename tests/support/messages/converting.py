"""What Millrace makes of a message, by the words of the configuration.

The bytes end where their memory ends, and the address sanitizer watches where it is loaded
(tests/run_sanitized.sh).
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any, NamedTuple

from proxy.config.lines.rules.fetches import Scope
from proxy.config.lines.rules.values import ValueReader
from proxy.config.model.rules import Converter
from proxy.rules import program
from tests.support.compiled import compiled

SOURCE = Path(__file__).parent / "message_reader.pyx"
SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")


class Made(NamedTuple):
    """A value, None where there is none; `unsettled`: more bytes may change it, or bring one."""

    value: int | bytes | None
    unsettled: bool


@functools.cache
def _reader() -> Any:
    flags = ("-fsanitize=address,undefined", "-g") if SANITIZED else ("-O1", "-g0")
    return compiled(SOURCE, *flags)


@functools.cache
def converter_of(word: str) -> Converter:
    """A converter with its arguments, as the configuration has it."""
    return ValueReader(Scope.CONTENT, {}).expression(f"str(x),{word}").converters[0]


def made(word: str, content: bytes | int) -> Made:
    """What a converter makes of bytes, or of a number."""
    step = converter_of(word)
    code = program.CONVERTERS[step.name]
    found, unsettled = _reader().converted(
        code, content, text=step.text.encode(), numbers=step.numbers
    )
    return Made(found, unsettled)
