"""The relay's parts, and the relay under the fault library: one process for all tests of a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support_fault_relay import FaultyRelay, faulty_relay
from tests.support_parts import build_parts, close_segments


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """parts.pyx, once for all processes of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    return build_parts((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "parts")


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
