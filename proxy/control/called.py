"""Control's side of calls of the master CLI: which generation each is for, and the conversation.

The pids of `show proc` name generations, as do those of all their processes. The running one
answers with all commands. For an older one its successor answers: of sessions, which are all that
it still has, and of the program.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import NamedTuple

from proxy.control.call import CALL_BYTES_MAX, RUNNING, decode
from proxy.control.caller import Caller
from proxy.control.command import CommandTable, Level
from proxy.control.command_line import CommandLine
from proxy.control.commands.sessions.generations import Sessions
from proxy.control.commands.sessions.show_sess import ShowSess
from proxy.control.commands.sessions.shutdown import Shutdown
from proxy.control.places import Client
from proxy.control.rows.report import Report
from proxy.control.stats_socket import StatsConversation, send
from proxy.control.turns import Turns

OF_THE_PROGRAM = (("show", "proc"), ("show", "version"))


class CalledGeneration(NamedTuple):
    """The generation of a process: the pid that it is shown with, and its commands."""

    pid: int
    commands: CommandTable


class Called:
    """Serves calls with the `commands` of this process."""

    def __init__(
        self,
        report: Report,
        commands: CommandTable,
        turns: Turns,
        timeout_ms: int,
        note: Callable[[str], None],
    ) -> None:
        """`note` is told each order that was obeyed."""
        self.report = report
        self.commands = commands
        self.turns = turns
        self.timeout_ms = timeout_ms
        self.note = note
        self._of_old: dict[int, CommandTable] = {}  # by number of the generation

    async def serve(self, stream: socket.socket, client: Client) -> None:
        """One conversation; raises TimeoutError or OSError, as that ends."""
        received = await self._first_line(stream)
        line, _, rest = received.partition(b"\n")
        client.asks()
        call = decode(line)
        found = self.find(call.pid)
        said = b"\n" if found is None else f"{found.pid}\n".encode()
        await send(stream, said, self.timeout_ms / 1_000, client)
        if found is not None:
            text = CommandLine(found.commands, Level(call.level), self.timeout_ms, self.note)
            text.modes = {*call.modes}
            name = f"{call.client} by the master CLI"
            caller = Caller(stream, client, name, silent=True)
            await StatsConversation(stream, client, self.turns, text, rest, caller=caller).serve()

    async def _first_line(self, stream: socket.socket) -> bytes:
        """What has come by the end of the line of the call."""
        loop = asyncio.get_running_loop()
        received = b""
        async with asyncio.timeout(self.timeout_ms / 1_000):
            while b"\n" not in received and len(received) <= CALL_BYTES_MAX:
                more = await loop.sock_recv(stream, CALL_BYTES_MAX)
                if not more:
                    raise ConnectionAbortedError("the master hung up")
                received += more
        return received

    def find(self, pid: int) -> CalledGeneration | None:
        """The generation that a process is of, or that runs; None: it is of none that lives."""
        segment, board = self.report.runtime.segment, self.report.monitor.board
        shape = segment.shape
        pids = [board.status(position).pid for position in range(len(shape.process_names))]
        if pid == RUNNING or pid in pids:
            return CalledGeneration(pids[shape.control_process], self.commands)
        living = self.report.old.living()
        self._of_old = {each.number: self._commands_of(each.number) for each in living}
        for each in living:
            if pid in each.worker_pids():
                return CalledGeneration(pid, self._of_old[each.number])
        return None

    def _commands_of(self, number: int) -> CommandTable:
        """What is answered for an older generation; the same for all its callers."""
        known = self._of_old.get(number)
        if known is not None:
            return known
        sessions = Sessions(self.report, number)
        shared = [each for each in self.commands if each.words in OF_THE_PROGRAM]
        return CommandTable(
            [*ShowSess(sessions).commands(), *Shutdown(sessions).commands(), *shared]
        )
