"""A short-lived child that does what may block or bloat, and sends bytes back.

Names are resolved and new configurations parsed in such a child: a resolver that hangs or a
parser that eats memory costs a helper, never the supervisor.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable

from proxy.runtime import now_ms
from proxy.supervisor.fork import fork_child
from proxy.supervisor.limits import MESSAGE_BYTES_MAX
from proxy.supervisor.reaping import Process, kill

READ_BYTES = 1 << 20


class Sender:
    """What a helper calls with what it has to send; `descriptor` is the pipe itself."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __call__(self, content: bytes) -> None:
        """Send all of it."""
        view = memoryview(content)
        while view:
            view = view[os.write(self.descriptor, view) :]


Work = Callable[[Sender], None]


class Helper:
    """One running helper: readable `descriptor`, bytes so far, and its end."""

    def __init__(self, work: Work, title: str) -> None:
        """Fork it; raises OSError when the kernel refuses."""
        self._received = bytearray()
        self.descriptor, sender = os.pipe2(os.O_CLOEXEC)
        try:
            os.set_blocking(self.descriptor, False)
            self._process: Process | None = fork_child(
                lambda: work(Sender(sender)),
                title=title,
                keep=(sender,),
            )
        except BaseException:
            os.close(self.descriptor)
            raise
        finally:
            os.close(sender)

    def receive(self) -> bool:
        """Take what is there; True when nothing more will come."""
        try:
            content = os.read(self.descriptor, READ_BYTES)
        except BlockingIOError:
            return False
        self._received += content
        return not content or len(self._received) > MESSAGE_BYTES_MAX

    def end(self) -> bytes:
        """End the helper, whatever it does; all that it sent.

        That end is not waited for: giving back much memory takes the kernel a while.
        """
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:  # else this was tried before, and the number may be another's by now
            os.close(descriptor)
        if self._process is not None:
            kill(self._process)
            self._process = None  # at last: a call that was never made is made again
        return bytes(self._received)


def run_helper(work: Work, title: str, limit_ms: int) -> bytes:
    """Run `work` in a helper and wait for it; what it sent within the limit."""
    helper = Helper(work, title)
    deadline_ms = now_ms() + limit_ms
    poll = select.poll()
    poll.register(helper.descriptor, select.POLLIN)
    ended = False
    while not ended and (remaining_ms := deadline_ms - now_ms()) > 0:
        ended = bool(poll.poll(remaining_ms)) and helper.receive()
    return helper.end()
