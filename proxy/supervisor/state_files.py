"""Server state files at a start: which there are, what they say, and where resolverd keeps them.

Reads files and opens their folders; what a row means is in restore.py, the format in
resolverd/state_file/format.py. No file that is missing, unreadable or damaged keeps the program
from starting: it is a message, and the servers start as if there were none.
"""

from __future__ import annotations

import ipaddress
import os
import stat
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from proxy.config.model.settings import Proxy
from proxy.config.text.messages import Message, Severity
from proxy.server_table import ServerTable, state_server
from resolverd.config import StateFile, StateServer
from resolverd.dns.unusable import is_usable
from resolverd.state_file.format import FILE_BYTES_MAX, StateFileError, StateRow, parse
from shm.files import read_whole

OPEN_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # opening a fifo must not wait for a writer
OPEN_FOLDER = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY


def backends_by_file(servers: ServerTable) -> dict[str, list[Proxy]]:
    """The files that state is loaded from, each with its backends in the order of the file."""
    files: dict[str, list[Proxy]] = {}
    for proxy in servers.backends:
        if proxy.server_state_file is not None and (servers.of(proxy) or proxy.spare_slots):
            files.setdefault(proxy.server_state_file, []).append(proxy)
    return files


def read_state(
    servers: ServerTable, known: Collection[int] = ()
) -> tuple[dict[int, StateRow], tuple[Message, ...]]:
    """The rows of servers that exist, by slot, and what is to be said of the files.

    A file none of whose servers is new (`known`: from before a reload) is not read.
    """
    found: dict[int, StateRow] = {}
    messages: list[Message] = []
    for path, proxies in backends_by_file(servers).items():
        members = [(proxy, server) for proxy in proxies for server in servers.of(proxy)]
        if all(server.slot in known for _, server in members):
            continue
        rows, message = _read(path)
        if message is not None:
            messages.append(message)
        impossible: list[str] = []
        for proxy, server in members:
            row = rows.get((proxy.name, server.name))
            if row is None:
                continue
            if server.address is None and not _may_be_used(row.address):
                impossible.append(f"'{proxy.name}/{server.name}' at {row.address}")
                row = msgspec.structs.replace(row, address=None)
            found[server.slot] = row
        if impossible:
            more = f" and {len(impossible) - 1} more" if len(impossible) > 1 else ""
            text = f"config: [{path}] : no server can be there: {impossible[0]}{more}; ignored."
            messages.append(Message(Severity.WARNING, text))
    return found, tuple(messages)


def _may_be_used(address: str | None) -> bool:
    """Whether a server can have the address; a file may be older than the look at answers."""
    return address is None or is_usable(ipaddress.ip_address(address).packed)


def _read(path: str) -> tuple[dict[tuple[str, str], StateRow], Message | None]:
    try:
        content = read_regular(path)
    except OSError as error:
        text = f"config: Can't open server state file '{path}': {error.strerror}"
        return {}, Message(Severity.NOTICE, text)
    if not content:
        return {}, Message(Severity.NOTICE, f"config: Empty server state file '{path}'.")
    try:
        return parse(content), None
    except StateFileError as error:
        text = f"config: [{path}:{error.line}] : {error.reason}; the whole file is ignored."
        return {}, Message(Severity.WARNING, text)


def read_regular(path: str) -> bytes:
    """What a file holds, a byte beyond the limit at most; what is no file holds nothing.

    Raises OSError.
    """
    descriptor = os.open(path, OPEN_FILE)
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return read_whole(descriptor, FILE_BYTES_MAX) if regular else b""
    finally:
        os.close(descriptor)


def open_state_files(servers: ServerTable) -> tuple[StateFile, ...]:
    """What resolverd keeps up to date, each with its folder open: it may not see paths later."""
    opened: list[StateFile] = []
    try:
        for path, proxies in backends_by_file(servers).items():
            members = [
                state_server(proxy, server) for proxy in proxies for server in servers.of(proxy)
            ]
            backends = frozenset(proxy.name for proxy in proxies)
            opened.append(_open_state_file(path, tuple(members), backends))
    except BaseException:
        close_state_files(opened)
        raise
    return tuple(opened)


def _open_state_file(
    path: str, servers: tuple[StateServer, ...], backends: frozenset[str]
) -> StateFile:
    real = os.path.realpath(path)  # a link stays a link: its target is replaced
    folder = None
    with suppress(OSError):  # the writer notices, too, and says so
        folder = os.open(Path(real).parent, OPEN_FOLDER)
    return StateFile(real, servers, folder, backends)


def close_state_files(files: Iterable[StateFile]) -> None:
    """Close their folders."""
    for file in files:
        if file.folder is not None:
            os.close(file.folder)
