"""A child process run one machine instruction at a time, to be looked at or killed after any.

Owns ptrace and nothing else: what the child does and what the parent checks is the test's. Works
alike on x86-64 and on arm64 with LSE atomics (an older arm64's exclusive loads never succeed under
single steps).
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Protocol

PTRACE_TRACEME = 0
PTRACE_CONT = 7
PTRACE_SINGLESTEP = 9

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request: int, pid: int, data: int = 0) -> None:
    if _libc.ptrace(request, pid, None, data) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def pause() -> None:
    """Called by the work itself: here the child stops and the steps begin."""
    os.kill(os.getpid(), signal.SIGSTOP)


class SteppedChild:
    """A fork that runs `work` up to its `pause()`, then step by step; gone when the block ends."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.running = True
        self.pid = os.fork()
        if self.pid == 0:
            self._be_the_child(work)
        self._wait()

    def _be_the_child(self, work: Callable[[], object]) -> None:
        try:
            _ptrace(PTRACE_TRACEME, 0)
            work()
            os._exit(0)
        finally:
            os._exit(1)

    def __enter__(self) -> SteppedChild:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def _wait(self) -> None:
        _, status = os.waitpid(self.pid, 0)
        if not os.WIFSTOPPED(status):
            self.running = False
            if os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0:
                raise AssertionError("the work of the stepped child failed")

    def step(self, count: int = 1) -> bool:
        """Run `count` instructions; False once the work is done and the child is gone."""
        while count > 0 and self.running:
            _ptrace(PTRACE_SINGLESTEP, self.pid)
            self._wait()
            count -= 1
        return self.running

    def kill(self) -> None:
        """SIGKILL, between two instructions."""
        if self.running:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.running = False

    def finish(self) -> None:
        """Run the rest of the work."""
        if self.running:
            _ptrace(PTRACE_CONT, self.pid)
            self._wait()

    def to_store(self, memories: Sequence[mmap.mmap], number: int) -> bool:
        """Run up to the `number`-th store into the memories from here; False if there are fewer."""
        stores, seen = 0, [memory[:] for memory in memories]
        while stores < number and self.step():
            now = [memory[:] for memory in memories]
            if now != seen:
                stores, seen = stores + 1, now
        return self.running


class SharedFile(Protocol):
    """Shared memory that is a file: a segment, for example."""

    @property
    def fd(self) -> int: ...

    @property
    def size(self) -> int: ...


def die_at_each_store(
    shared: SharedFile | Sequence[SharedFile], work: Callable[[], object]
) -> Iterator[int]:
    """Kill a process that does `work` after its 1st store into the memory, its 2nd, ... its last.

    The memory is put back before each; yields the number of the store after each death.
    """
    files = shared if isinstance(shared, Sequence) else [shared]
    with ExitStack() as stack:
        memories = [stack.enter_context(mmap.mmap(each.fd, each.size)) for each in files]
        before = [memory[:] for memory in memories]
        for deadly in range(1, 100):
            for memory, content in zip(memories, before, strict=True):
                memory[:] = content
            with SteppedChild(work) as child:
                if not child.to_store(memories, deadly):
                    return
            yield deadly
