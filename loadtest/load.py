"""What a load is: a name, the setup of the program, and the function that measures it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from loadtest.instance import Instance
from loadtest.programs import PROGRAM_NAMES, Setup
from loadtest.site import Site
from loadtest.traffic import Sample

Run = Callable[[Instance, Site, int], Sample]
Prepare = Callable[[Site, Setup], AbstractContextManager[Run]]


@dataclass(frozen=True, slots=True)
class Load:
    """One load: its setup, and the function that applies and measures it.

    `prepare` starts the helpers that must run before the program, and yields that function.
    """

    name: str
    title: str
    prepare: Prepare
    setup: Setup = field(default_factory=Setup)
    quick: Setup | None = None  # instead of `setup` with --quick
    programs: tuple[str, ...] = PROGRAM_NAMES  # those that support this load
    brief: bool = True  # part of a run with --quick


def at_once(run: Run) -> Prepare:
    """A `prepare` without helpers."""
    return lambda _site, _setup: nullcontext(run)
