"""The relay's parts, and the relay under the fault library: one process for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.compiled import compiled
from tests.support.relay.fault_relay import FaultyRelay, faulty_relay
from tests.support.relay.parts import close_segments


@pytest.fixture(scope="session")
def parts() -> Any:
    """The relay's small parts."""
    return compiled(Path(__file__).parent / "parts.pyx", "-O1", "-g0")


@pytest.fixture(autouse=True)
def segments_closed() -> Iterator[None]:
    """No test leaves a segment behind in the process."""
    yield
    close_segments()


class Relays:
    """Hands out the present relay, or a new one after a failure."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self.folders = folders
        self.stack = ExitStack()
        self.present: FaultyRelay | None = None

    def take(self) -> FaultyRelay:
        if self.present is None or self.present.broken:
            self.stack.close()
            self.present = self.stack.enter_context(faulty_relay(self.folders.mktemp("shim")))
        return self.present


@pytest.fixture(scope="module")
def faulty_relays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relays]:
    relays = Relays(tmp_path_factory)
    with relays.stack:
        yield relays


@pytest.fixture
def faulty(faulty_relays: Relays) -> Iterator[FaultyRelay]:
    """A relay without any fault armed; whole again when the test ends."""
    taken = faulty_relays.take()
    taken.reset_shim()
    yield taken
    taken.reset_shim()
    if not taken.broken:
        taken.broken = True
        taken.check_whole()
        taken.broken = False
