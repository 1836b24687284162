"""How many workers there are by default: affinity and CPU quotas, on trees of files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy.config.model.settings import Global, Settings
from proxy.supervisor.cores import cores_granted
from proxy.supervisor.workers import worker_count
from resolverd.config import ResolverdSettings
from shm.shape import WORKERS_MAX

HOST_CORES = 16
OTHERS = (
    "21 1 8:1 / / rw - ext4 /dev/sda rw\n"
    "22 21 0:9 / /proc rw,nosuid shared:5 master:1 - proc proc rw\n"
)


@pytest.fixture(autouse=True)
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(HOST_CORES)))


class Host:
    """/proc/self and one hierarchy of control groups."""

    def __init__(self, folder: Path, version: int, group: str, root: str = "/") -> None:
        self.version = version
        self.proc, self.top = folder / "proc", folder / "control groups"
        self.proc.mkdir()
        self.top.mkdir()
        top = str(self.top).replace(" ", "\\040")
        kind = "cgroup2 cgroup rw,nsdelegate" if version == 2 else "cgroup cgroup rw,cpu,cpuacct"
        mount = f"30 21 0:26 {root} {top} rw shared:9 - {kind}\n"
        line = f"0::{group}" if version == 2 else f"7:memory:/elsewhere\n4:cpu,cpuacct:{group}"
        (self.proc / "mountinfo").write_text(OTHERS + mount)
        (self.proc / "cgroup").write_text(f"{line}\n")

    def limit(self, folder: str, quota: str, period: int = 100_000) -> None:
        place = self.top / folder
        place.mkdir(parents=True, exist_ok=True)
        if self.version == 2:
            (place / "cpu.max").write_text(f"{quota} {period}\n")
        else:
            (place / "cpu.cfs_quota_us").write_text(f"{-1 if quota == 'max' else quota}\n")
            (place / "cpu.cfs_period_us").write_text(f"{period}\n")


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("quota", "cores"),
    [("200000", 2), ("150000", 2), ("1000", 1), ("100001", 2), ("9900000", HOST_CORES)],
)
def test_a_quota_is_followed_and_a_part_of_a_core_counts_as_one(
    tmp_path: Path, version: int, quota: str, cores: int
) -> None:
    host = Host(tmp_path, version, "/pod/box")
    host.limit("pod/box", quota)
    assert cores_granted(host.proc) == cores


@pytest.mark.parametrize("version", [1, 2])
def test_the_tightest_quota_on_the_way_up_holds(tmp_path: Path, version: int) -> None:
    host = Host(tmp_path, version, "/slice/pod/box")
    host.limit("slice/pod/box", "800000")
    host.limit("slice/pod", "max")
    host.limit("slice", "150000", 50_000)
    host.limit("elsewhere", "100000")
    assert cores_granted(host.proc) == 3


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("group", "root"),
    [
        ("/system.slice/box.scope", "/system.slice/box.scope"),  # the host's names, own mount
        ("/", "/"),  # a namespace of groups
        ("/../../box", "/"),  # a namespace that the process was moved out of
        ("/moved", "/system.slice/box.scope"),
    ],
)
def test_a_container_finds_its_own_group_at_the_top(
    tmp_path: Path, version: int, group: str, root: str
) -> None:
    host = Host(tmp_path, version, group, root)
    host.limit(".", "400000")
    assert cores_granted(host.proc) == 4


@pytest.mark.parametrize("version", [1, 2])
def test_without_a_quota_the_affinity_counts(tmp_path: Path, version: int) -> None:
    host = Host(tmp_path, version, "/box")
    assert cores_granted(host.proc) == HOST_CORES
    host.limit("box", "max")
    assert cores_granted(host.proc) == HOST_CORES
    host.limit("box", "nonsense")
    assert cores_granted(host.proc) == HOST_CORES
    host.limit("box", "100000", 0)
    assert cores_granted(host.proc) == HOST_CORES
    assert cores_granted(tmp_path / "nowhere") == HOST_CORES


def test_another_controllers_group_is_none_of_ours(tmp_path: Path) -> None:
    host = Host(tmp_path, 1, "/box")
    host.limit("elsewhere", "100000")
    assert cores_granted(host.proc) == HOST_CORES


def test_nbthread_overrides_what_is_granted(monkeypatch: pytest.MonkeyPatch) -> None:
    def settings(nbthread: int) -> Settings:
        return Settings(
            globals=Global(nbthread=nbthread), proxies=(), resolverd=ResolverdSettings()
        )

    assert worker_count(settings(64)) == 64
    assert worker_count(settings(0)) == cores_granted()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(2 * WORKERS_MAX)))
    assert worker_count(settings(0)) == WORKERS_MAX
