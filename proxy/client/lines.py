"""What a command needs of the configuration: the few lines that say where the program answers.

The files are not loaded: an operator may ask while they are being changed, and wrong. What cannot
be read is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence
from itertools import pairwise

import msgspec

from proxy.config.text.messages import Messages
from proxy.config.text.sources import expand_sources, read_lines
from proxy.flags.table import CONFIGURATION

LEVELS = ("admin", "operator", "user")  # those that may do more first
LEVEL_USUAL = "operator"


class StatedPlaces(msgspec.Struct):
    """Where a program that was started with these files answers."""

    stats_sockets: list[str]  # addresses as written, those with the highest level first
    pidfile: str | None = None


def read_places(files: Sequence[str], environment: MutableMapping[str, str]) -> StatedPlaces:
    """Read the files, or the usual one; `environment` is changed by their `setenv` lines."""
    messages = Messages()
    sockets: list[tuple[int, str]] = []
    places = StatedPlaces([])
    for file in expand_sources(files or [CONFIGURATION], messages):
        for words in _lines(file, environment, messages):
            match words:
                case ("stats", "socket", address, *options):
                    sockets.append((LEVELS.index(_level(options)), address))
                case ("pidfile", path):
                    places.pidfile = path
                case ("setenv", name, value):
                    environment[name] = value
                case ("presetenv", name, value):
                    environment.setdefault(name, value)
    places.stats_sockets = [address for _, address in sorted(sockets, key=lambda each: each[0])]
    return places


def _lines(
    file: str, environment: MutableMapping[str, str], messages: Messages
) -> Iterator[tuple[str, ...]]:
    for line in read_lines(file, environment, messages):
        yield line.words


def _level(options: Sequence[str]) -> str:
    for word, following in pairwise(options):
        if word == "level" and following in LEVELS:
            return following
    return LEVEL_USUAL
