"""`millrace -c --against <stats socket>`: what a reload of these files would change.

The files are loaded as by `-c`, with the rights of the operator; the program is asked what it was
loaded from and what was ordered since (`show config json`). It hides secrets, so these are not
compared.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress

import msgspec

from proxy.client.connection import answer_of
from proxy.config.model.lists import Reference
from proxy.config.outline.kept import KeptConfiguration
from proxy.config.outline.outcome import Running, outcome
from proxy.config.outline.secrets import without_secrets
from proxy.config.outline.telling import NOTHING, told_groups
from proxy.config.text.messages import ConfigError
from proxy.terminal import STANDARD_ERROR, STANDARD_OUTPUT, say

QUESTION = "show config json"
OF_MASTER = "@master show cli level"
LEVELS = (b"user", b"operator", b"admin")
SECONDS = 30  # a large configuration takes control a moment
TOLD_MAX = 200  # characters of an answer that is none


def run(
    address: str,
    kept: KeptConfiguration,
    references: tuple[Reference, ...],
    environ: Mapping[str, str],
) -> int:
    """Say what would change; 0, or 1 where the program does not tell what it runs."""
    try:
        answer = answer_of(address, QUESTION, environ, SECONDS)
        running = msgspec.json.decode(answer, type=Running)
    except msgspec.DecodeError:
        if _is_master(address, environ):
            return _fail(f"{address}: that is the master CLI: name a stats socket")
        said = answer.decode(errors="backslashreplace").strip().partition("\n")[0]
        return _fail(f"{address} does not tell what it runs: {said[:TOLD_MAX]}")
    except TimeoutError:
        return _fail(f"{address} does not answer within {SECONDS} s")
    except (OSError, ConfigError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        return _fail(f"{address}: {reason or error}")
    lines = list(kept.lines())
    shown = [without_secrets(line) for line in lines]
    result = outcome(running.source_lines(), shown, running.orders, running.lists, references)
    hidden = sum(line is not found for line, found in zip(lines, shown, strict=True))
    told = list(told_groups(result)) or [NOTHING]
    if hidden:
        told.append(f"not compared: the secrets of {hidden} line{'s' * (hidden != 1)}")
    loaded = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(running.loaded))
    head = f"Against {address} (loaded {loaded}, generation {running.generation}):"
    say("\n".join((head, *told)) + "\n", STANDARD_OUTPUT)
    return 0


def _is_master(address: str, environ: Mapping[str, str]) -> bool:
    """Whether the master CLI answers there: it alone knows prefixes."""
    with suppress(OSError, ConfigError):
        answer = answer_of(address, OF_MASTER, environ, SECONDS)
        return answer.startswith(LEVELS)
    return False


def _fail(text: str) -> int:
    say(f"millrace: --against {text}\n", STANDARD_ERROR)
    return 1
