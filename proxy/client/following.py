"""`millrace show events state -w` goes on over reloads, behind which another process answers.

The old control ends its answer when it gives way; the next one is asked for what has happened since
the last event that was shown, and a little before, because the clocks of writers may differ: what
was shown is known, and not shown again.
"""

from __future__ import annotations

import datetime
import os
import re
from collections import deque
from collections.abc import Iterable, Mapping
from itertools import chain

from proxy.arguments import Arguments
from proxy.client.ask import CUT, begun, connected, fail, received, request, write
from proxy.client.ask import run as ask
from proxy.terminal import STANDARD_ERROR, STANDARD_OUTPUT

STAMP = re.compile(rb"<\d>(\S+) ")
FOLLOW = re.compile(r"-n?w[nw]*")
BEFORE = datetime.timedelta(seconds=1)
SHOWN_MAX = 1_024  # events that the program itself remembers


def run(arguments: Arguments, environ: Mapping[str, str]) -> int:
    """Ask, and as long as the program goes on ask its next control; the status."""
    if not any(map(FOLLOW.fullmatch, arguments.command[2:])):
        return ask(arguments, environ)
    follower = Follower(arguments, environ)
    try:
        while follower.follow():
            pass
    except TimeoutError:
        return fail(f"no answer within {arguments.timeout_seconds} s")
    except OSError as error:
        return fail(str(error.strerror or error))
    return follower.status


class Follower:
    """What was shown, and how to ask for more."""

    def __init__(self, arguments: Arguments, environ: Mapping[str, str]) -> None:
        self.status = 0
        self._arguments = arguments
        self._environ = environ
        self._words = arguments.command
        self._shown: deque[bytes] = deque(maxlen=SHOWN_MAX)
        self._first: datetime.datetime | None = None  # when the first event happened

    def follow(self) -> bool:
        """Show one answer; False: there is no other. Raises OSError, TimeoutError among them."""
        with connected(self._arguments, self._environ) as connection:
            connection.sendall(request(self._words))
            chunks = received(connection)
            start, refused = begun(chunks, connection, patient=True)
            if refused:
                self.status = 1
                write(STANDARD_ERROR, chain([start], chunks))
                return False
            last = self._last_of(chain([start], chunks))
        if last is None:
            return False
        since = max(self._first or last, last - BEFORE)
        self._words = (*self._arguments.command[:3], "-w", "since", since.isoformat())
        return True

    def _last_of(self, chunks: Iterable[bytes]) -> datetime.datetime | None:
        """Show the events of an answer; when the last of them happened.

        None where no control has given way in good order, or the reader of the output has left.
        """
        rest, ended, last = b"", False, None
        for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            ended = lines[-1] == b"" if lines else ended
            news = [line for line in lines if line and line not in self._shown]
            for line in news:
                self._shown.append(line)
                stamp = STAMP.match(line)
                if stamp is not None:
                    last = datetime.datetime.fromisoformat(stamp[1].decode())
                    self._first = self._first or last
            if not _show(b"".join(line + b"\n" for line in news)):
                return None
        if not ended:
            self.status = fail(CUT)
            return None
        return last


def _show(content: bytes) -> bool:
    """Whether its reader takes it, or has seen enough, as `head` has."""
    view = memoryview(content)
    try:
        while view:
            view = view[os.write(STANDARD_OUTPUT, view) :]
    except BrokenPipeError:
        return False
    return True
