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
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Protocol

from tests.support.common import PATIENCE_SECONDS, require_program

PTRACE_TRACEME = 0
PTRACE_CONT = 7
SOURCE = Path(__file__).parent / "stepping.c"
STORES_MAX = 100  # of one piece of work

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


class _Memory(ctypes.Structure):
    """`struct memory` of stepping.c."""

    _fields_ = (("shared", ctypes.c_void_p), ("seen", ctypes.c_void_p), ("size", ctypes.c_size_t))


@cache
def _stepping() -> ctypes.CDLL:
    """stepping.c, compiled once for each test process."""
    with tempfile.TemporaryDirectory() as folder:
        library = f"{folder}/stepping.so"
        subprocess.run(
            [require_program("gcc"), "-O2", "-shared", "-fPIC", "-o", library, str(SOURCE)],
            check=True,
            timeout=PATIENCE_SECONDS,
        )
        loaded = ctypes.CDLL(library, use_errno=True)
    loaded.run_steps.argtypes = [ctypes.c_int, ctypes.c_long, ctypes.c_void_p]
    loaded.step_to_change.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
    loaded.run_steps.restype = loaded.step_to_change.restype = ctypes.c_long
    loaded.look_again.argtypes = [ctypes.c_void_p]
    loaded.put_back.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    return loaded


class Watch:
    """Memories that a child shares, and what was seen in them last."""

    def __init__(self, memories: Sequence[mmap.mmap]) -> None:
        sizes = [len(memory) for memory in memories]
        self._shared = [
            (ctypes.c_char * size).from_buffer(memory)
            for memory, size in zip(memories, sizes, strict=True)
        ]
        self._seen = [ctypes.create_string_buffer(size) for size in sizes]
        self.number = len(sizes)
        self.memories = (_Memory * self.number)(
            *(
                _Memory(ctypes.addressof(shared), ctypes.addressof(seen), size)
                for shared, seen, size in zip(self._shared, self._seen, sizes, strict=True)
            )
        )
        self.look()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the mappings, which can then be closed."""
        self._shared.clear()

    def look(self) -> list[bytes]:
        """What is in the memories now, which is what changes are told from."""
        for memory in self.memories:
            _stepping().look_again(ctypes.byref(memory))
        return [seen.raw for seen in self._seen]

    def put_back(self, contents: list[bytes]) -> None:
        """Make the memories what they were when a look gave these contents."""
        for memory, content in zip(self.memories, contents, strict=True):
            _stepping().put_back(ctypes.byref(memory), content)
        self.look()


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
        self._judge(os.waitpid(self.pid, 0)[1])

    def _judge(self, status: int) -> None:
        if not os.WIFSTOPPED(status):
            self.running = False
            if os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0:
                raise AssertionError("the work of the stepped child failed")

    def _take(self, done: int, status: ctypes.c_int) -> int:
        if done < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        if done > 0:
            self._judge(status.value)
        return done

    def step(self, count: int = 1) -> bool:
        """Run `count` instructions; False once the work is done and the child is gone."""
        if self.running:
            self.count_steps(count)
        return self.running

    def count_steps(self, most: int) -> int:
        """Run to the end of the work or `most` instructions; gives their number."""
        status = ctypes.c_int()
        return self._take(_stepping().run_steps(self.pid, most, ctypes.byref(status)), status)

    def step_to_change(self, watch: Watch) -> int:
        """Run until a memory changes or the work is done; gives the number of instructions."""
        status = ctypes.c_int()
        return self._take(
            _stepping().step_to_change(
                self.pid, watch.memories, watch.number, ctypes.byref(status)
            ),
            status,
        )

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
        with Watch(memories) as watch:
            self.to_change(watch, number)
        return self.running

    def to_change(self, watch: Watch, number: int) -> int:
        """Run up to the `number`-th change, or to the end; gives the number of instructions."""
        done = 0
        for _ in range(number):
            if self.running:
                done += self.step_to_change(watch)
        return done


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
        watch = stack.enter_context(
            Watch([stack.enter_context(mmap.mmap(each.fd, each.size)) for each in files])
        )
        before = left = watch.look()
        reached = 0  # instructions up to the store before
        for deadly in range(1, STORES_MAX):
            watch.put_back(before)
            with SteppedChild(work) as child:
                as_before = child.step(reached) and watch.look() == left
                if as_before:
                    reached += child.step_to_change(watch)
                found = child.running
            if not as_before:  # this child took other steps up to here than the one before
                watch.put_back(before)
                with SteppedChild(work) as child:
                    reached = child.to_change(watch, deadly)
                    found = child.running
            if not found:
                break
            left = watch.look()
            yield deadly
        watch.put_back(before)


def stop_at_each(
    shared: Sequence[SharedFile], work: Callable[[], object], stride: int, most: int
) -> Iterator[tuple[SteppedChild, int]]:
    """A child that does `work`, stopped after no instruction, after `stride`, twice that, ...

    The memory is put back before each; yields the child and the number, while it still works.
    """
    with ExitStack() as stack:
        watch = stack.enter_context(
            Watch([stack.enter_context(mmap.mmap(each.fd, each.size)) for each in shared])
        )
        before = watch.look()
        for count in range(0, most, stride):
            watch.put_back(before)
            with SteppedChild(work) as child:
                if not child.step(count):
                    return
                yield child, count
