"""The lines that files have now, without loading them: what is wrong in them does not matter.

Variables that lines set count for the lines behind them, as in a load.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence

from proxy.config.lines.process.peers import LOCAL_PEER, LOCAL_PEER_ORDERED
from proxy.config.sections import SECTIONS
from proxy.config.text.messages import Messages
from proxy.config.text.sources import SourceLine, expand_sources, read_lines


def lines_now(
    sources: Sequence[str], environment: MutableMapping[str, str], messages: Messages
) -> Iterator[SourceLine]:
    """The lines in force, read as they are asked for; `environment` is changed by them."""
    for file in expand_sources(sources, messages):
        for line in read_lines(file, environment, messages):
            if line.words[0] in SECTIONS:
                environment[".SECTION"] = line.words[0]
            follow_environment(line.words, environment)
            yield line


def follow_environment(words: tuple[str, ...], environment: MutableMapping[str, str]) -> None:
    """Do what a line says about variables."""
    match words:
        case ("setenv", name, value):
            environment[name] = value
        case ("presetenv", name, value):
            environment.setdefault(name, value)
        case ("localpeer", name) if LOCAL_PEER_ORDERED not in environment:
            environment[LOCAL_PEER] = name
        case ("unsetenv", *names):
            for name in names:
                environment.pop(name, None)
        case ("resetenv", *names):
            for name in [each for each in environment if each not in names and each[:1] != "."]:
                del environment[name]
