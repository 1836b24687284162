"""What a forked child has and is: descriptors, signals, parent, privileges."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.supervisor.fork import fork_child
from proxy.supervisor.helper import run_helper
from proxy.supervisor.names import resolve_names
from proxy.supervisor.preload import preload
from proxy.supervisor.privileges import UNCHANGED, PrivilegeError, Privileges
from proxy.supervisor.reaping import Process, kill_and_reap, look_again, reap
from proxy.supervisor.start import StartError, try_privileges
from resolverd.config import Family
from tests.support.common import wait_for
from tests.support.supervisor.program import is_alive

NOBODY = 65534
FAMILIES = (Family.IPV4, Family.IPV6)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def told_by_child(look: Callable[[], object], privileges: Privileges = UNCHANGED) -> object:
    """What `look` sees inside a child."""
    reader, writer = os.pipe()
    child = fork_child(
        lambda: os.write(writer, json.dumps(look()).encode()),
        title="millrace: test",
        keep=(writer,),
        privileges=privileges,
    )
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        content = stream.read()
    assert wait_for(lambda: reap(child) is not None, 15, "the child ends")
    return json.loads(content)


def test_a_child_has_its_own_descriptors_and_no_other() -> None:
    with Path(__file__).open() as stranger:
        seen = told_by_child(lambda: sorted(int(n.name) for n in Path("/proc/self/fd").iterdir()))
        assert isinstance(seen, list)
        assert stranger.fileno() not in seen
    assert len(seen) <= 5, "standard ones, the pipe, and the listing itself"


def test_a_child_ends_by_sigterm_and_leaves_the_terminals_signals_to_its_parent() -> None:
    former = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        seen = told_by_child(
            lambda: [
                signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
                signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
                signal.getsignal(signal.SIGUSR2) == signal.SIG_IGN,
                signal.set_wakeup_fd(-1),
                len(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
            ]
        )
    finally:
        signal.signal(signal.SIGTERM, former)
    assert seen == [True, True, True, -1, 0]


def test_a_child_carries_its_title() -> None:
    assert told_by_child(lambda: _title(os.getpid())) == "millrace: test"


def test_a_child_that_fails_says_why_and_ends_with_status_1(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        raise ValueError("no good")

    child = fork_child(fail, title="millrace: test", keep=())
    status: list[int] = []

    def ended() -> bool:
        found = reap(child)
        status.extend([] if found is None else [found])
        return bool(status)

    wait_for(ended, 15, "the child ends")
    assert status == [1]
    assert "ValueError: no good" in capfd.readouterr().err


def test_a_child_that_cannot_be_watched_does_not_run_on() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = own_children()
    probe = os.dup(0)  # the lowest free number: no descriptor may be as high
    os.close(probe)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            fork_child(signal.pause, title="millrace: test", keep=())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def gone() -> bool:
        look_again()
        return own_children() <= before

    wait_for(gone, 30, "the child is gone")


def own_children() -> set[str]:
    task = Path(f"/proc/{os.getpid()}/task/{threading.get_native_id()}")
    return set((task / "children").read_text().split())


@as_root
def test_a_child_dies_with_its_parent_though_it_changed_its_user() -> None:
    reader, writer = os.pipe()

    def parent() -> None:
        child = fork_child(
            signal.pause, title="millrace: test", keep=(), privileges=Privileges(uid=NOBODY)
        )
        os.write(writer, str(child.pid).encode())
        signal.pause()

    process: Process = fork_child(parent, title="millrace: test parent", keep=(writer,))
    os.close(writer)
    grandchild = int(os.read(reader, 20))
    os.close(reader)
    wait_for(lambda: _uid(grandchild) == NOBODY, 15, "the privileges are gone")
    wait_for(lambda: _title(grandchild) == "millrace: test", 15, "the child is set up")
    kill_and_reap(process)
    wait_for(lambda: not is_alive(grandchild), 1, "the child dies")


def _uid(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid if is_alive(pid) else -1


def _title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()


@as_root
def test_privileges_go_in_an_order_that_works(tmp_path: Path) -> None:
    root = tmp_path / "jail"
    root.mkdir()
    (root / "here").touch()
    seen = told_by_child(
        lambda: [os.getresuid(), os.getresgid(), os.getgroups(), os.listdir("/")],  # noqa: PTH208
        Privileges(uid=NOBODY, gid=NOBODY, chroot=str(root)),
    )
    assert seen == [[NOBODY] * 3, [NOBODY] * 3, [], ["here"]]


def test_the_own_user_is_nothing_to_drop() -> None:
    assert not Privileges(uid=os.geteuid(), gid=os.getegid()).any
    assert not Privileges().any


def test_what_cannot_be_dropped_is_told_before_any_child_needs_it() -> None:
    with pytest.raises(PrivilegeError, match=r"cannot chroot to '/nowhere': No such file"):
        try_privileges(Privileges(chroot="/nowhere"))
    assert issubclass(StartError, Exception)


def test_a_helper_that_hangs_costs_no_more_than_its_limit_and_what_it_sent_counts() -> None:
    def work(send: Callable[[bytes], None]) -> None:
        send(b"first\n")
        signal.pause()

    assert run_helper(work, "millrace: test", 150) == b"first\n"


def test_a_helper_may_send_much() -> None:
    content = bytes(range(256)) * 20_000
    assert run_helper(lambda send: send(content), "millrace: test", 5_000) == content


def test_libc_knows_the_local_host_and_no_other_test_name() -> None:
    found = resolve_names(["localhost", "nowhere.invalid", "127.9.9.9"], FAMILIES)
    assert found["127.9.9.9"] == "127.9.9.9"
    assert found["localhost"] in ("127.0.0.1", "::1")
    assert "nowhere.invalid" not in found


def test_only_accepted_families_count() -> None:
    assert resolve_names(["::1", "127.0.0.1"], (Family.IPV4,)) == {"127.0.0.1": "127.0.0.1"}
    assert resolve_names([], FAMILIES) == {}
    assert resolve_names(["0.0.0.0", "::"], FAMILIES) == {}  # no server can have these


def test_names_after_the_deadline_are_unresolved() -> None:
    assert resolve_names(["localhost"], FAMILIES, limit_ms=0) == {}


def test_what_every_worker_needs_is_imported_before() -> None:
    preload()
    needed = {"proxy.worker.process", "uvloop", "encodings.idna"}
    assert needed <= set(sys.modules)
