"""`show tasks` where something is wrong; programs and libraries that were replaced on disk."""

from __future__ import annotations

import ctypes
import os
import shutil
from pathlib import Path

from proxy.config.model.settings import Check, Origin, Proxy
from proxy.kernel.processes import loaded_files
from proxy.runtime import now_ms
from resolverd.config import (
    Family,
    Nameserver,
    ResolutionSettings,
    ResolverdSettings,
    ResolversSection,
)
from shm.states import HealthState, Operational
from tests.support.control.site import a_server, control_world

RESOLVERD = ResolverdSettings(
    (ResolversSection("r", (Nameserver("n", "127.0.0.1", 1),)),),
    (ResolutionSettings(0, "r", "name.example", Family.IPV4, ()),),
)
INTER_MS = 1_000
IN_PROGRESS = 7  # configured, enabled, under way


def test_a_check_that_does_not_come_to_its_end_is_late() -> None:
    servers = tuple(
        a_server(name, "127.78.20.1", 80, check=Check(inter_ms=INTER_MS)) for name in ("a", "b")
    )
    backend = Proxy("be", 2, "backend", Origin(), servers=servers)
    with control_world([backend], resolverd=RESOLVERD) as world:
        for slot, age_ms in enumerate((INTER_MS, 3 * INTER_MS)):
            state = HealthState(
                *(1, 1, Operational.RUNNING, 6, 3, IN_PROGRESS, 4, 0, 1, 0, 0, 0, 0),
                now_ms() - age_ms,
            )
            world.health.publish(slot, state, changed=True)
        lines = world.ask("show tasks").splitlines()
    assert lines[0] == "Running tasks: 2 (4 processes)"
    (checks,) = (line.split() for line in lines if line.startswith("  checks  "))
    assert checks == ["checks", "2", "2", "0", "1"]
    (names,) = (line.split() for line in lines if line.startswith("  names in DNS"))
    assert names[-4:] == ["1", "0", "0", "0"]
    assert "# resolverd does not answer: which names are being asked for is not known" in lines


def test_a_library_that_was_replaced_is_told_to_be_that(tmp_path: Path) -> None:
    paths = (file.path for file in loaded_files(os.getpid()))
    (original,) = (path for path in paths if "/shm/mailbox." in path)
    copy = tmp_path / "copied.so"
    shutil.copy(original, copy)
    ctypes.CDLL(str(copy))
    copy.unlink()
    found = {file.path: file.gone for file in loaded_files(os.getpid())}
    assert found[str(copy)]
    assert not found[original]
