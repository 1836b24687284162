"""One listening socket: opened, set up, quiesced, shut. All the awkward system calls are here.

Knows nothing of generations or workers. Errors are `BindError`s whose text is what an operator
needs: the reason and the address.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from proxy.config.model.settings import Endpoint, KeepAlive, SocketFamily

SO_ATTACH_FILTER = 26  # <asm-generic/socket.h>
SO_ATTACH_REUSEPORT_CBPF = 51
SO_BINDTOIFINDEX = 62
SO_DETACH_REUSEPORT_BPF = 68
IPV6_TRANSPARENT = 75  # <linux/in6.h>
PROBES = (socket.TCP_KEEPCNT, socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL)
FAST_OPEN_MAX = 65_535  # clients that the kernel lets wait so: it cuts more off
TCP_INFO_UNACKED = 24  # bytes into struct tcp_info: of a listener, the length of its queue
NO_INTERFACE = 0x7FFFFFFF  # the highest number that one can have
INTERNET = (SocketFamily.IPV4, SocketFamily.IPV6)
FAMILIES = {
    SocketFamily.IPV4: socket.AF_INET,
    SocketFamily.IPV6: socket.AF_INET6,
    SocketFamily.UNIX: socket.AF_UNIX,
    SocketFamily.ABSTRACT: socket.AF_UNIX,
}


class BindError(Exception):
    """A socket that cannot listen; the text names reason and address."""


class SocketOptions(msgspec.Struct, frozen=True):
    """How a socket listens. `mode`, `user` and `group` are of a path in the file system."""

    backlog: int
    v6only: bool | None = None  # None: as the kernel is configured
    keepalive: bool = False
    mode: int | None = None
    user: int | None = None
    group: int | None = None
    interface: str | None = None
    transparent: bool = False
    probes: KeepAlive = KeepAlive()
    mss: int = 0
    user_timeout_ms: int = 0
    fast_open: bool = False
    defer_accept: bool = False


def describe(endpoint: Endpoint) -> str:
    """An address as messages show it."""
    if endpoint.family in INTERNET:
        return f"{endpoint.host}:{endpoint.port}"
    if endpoint.family is SocketFamily.UNIX:
        return endpoint.host
    return f"{endpoint.family.value}@{endpoint.host}"


def open_listener(endpoint: Endpoint, options: SocketOptions) -> socket.socket:
    """A socket that listens, non-blocking; raises BindError."""
    if endpoint.family is SocketFamily.DESCRIPTOR:
        return _take_descriptor(int(endpoint.host), options)
    listener = _make_socket(endpoint)
    try:
        listener.setblocking(False)
        if endpoint.family in INTERNET:
            _bind_internet(listener, endpoint, options)
        elif endpoint.family is SocketFamily.ABSTRACT:
            listener.bind(endpoint.local_name)
            listener.listen(options.backlog)
        else:
            _bind_path(listener, endpoint.host, options)
    except BaseException as error:
        listener.close()
        if isinstance(error, BindError):
            raise BindError(f"{error} [{describe(endpoint)}]") from error
        if isinstance(error, OSError | OverflowError):
            raise BindError(
                f"cannot bind socket ({_reason(error)}) [{describe(endpoint)}]"
            ) from error
        raise
    return listener


def _make_socket(endpoint: Endpoint) -> socket.socket:
    try:
        kind = socket.SOCK_STREAM | socket.SOCK_CLOEXEC
        return socket.socket(FAMILIES[endpoint.family], kind)
    except OSError as error:
        told = f"cannot create listening socket ({_reason(error)}) [{describe(endpoint)}]"
        raise BindError(told) from error


def apply_options(listener: socket.socket, options: SocketOptions) -> None:
    """Set what accepted connections inherit, also on a socket that was open before a reload.

    Raises BindError for a value that the kernel refuses.
    """
    if listener.family in (socket.AF_INET, socket.AF_INET6):
        for word, level, name, value in _inherited(options):
            try:
                listener.setsockopt(level, name, value)
            except OSError as error:
                raise BindError(f"cannot set {word} to {value} ({error.strerror})") from error
    try:
        listener.listen(options.backlog)
    except OSError as error:  # it did not listen, and others do by now
        raise BindError(f"cannot bind socket ({_reason(error)})") from error


def _bind_internet(listener: socket.socket, endpoint: Endpoint, options: SocketOptions) -> None:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    _set_place(listener, endpoint, options)
    if endpoint.family is SocketFamily.IPV6 and options.v6only is not None:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(options.v6only))
    listener.bind((endpoint.host, endpoint.port))
    apply_options(listener, options)
    release(listener)


def _inherited(options: SocketOptions) -> tuple[tuple[str, int, int, int], ...]:
    """What accepted connections have from their listener: word, level, name and value.

    Whatever is not asked for is set, too: the socket may come from a configuration that did.
    """
    with socket.socket() as plain:  # as the host is set up
        probes = [plain.getsockopt(socket.IPPROTO_TCP, name) for name in PROBES]
    asked = (options.probes.count, options.probes.idle_s, options.probes.interval_s)
    fast_open = options.backlog if options.fast_open else 0
    return (
        ("TCP_NODELAY", socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        ("keep-alive", socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(options.keepalive)),
        *(
            ("keep-alive probes", socket.IPPROTO_TCP, name, usual if value is None else value)
            for name, usual, value in zip(PROBES, probes, asked, strict=True)
        ),
        ("tcp-ut", socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, options.user_timeout_ms),
        ("defer-accept", socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, int(options.defer_accept)),
        ("tfo", socket.IPPROTO_TCP, socket.TCP_FASTOPEN, min(fast_open, FAST_OPEN_MAX)),
        ("mss", socket.IPPROTO_TCP, socket.TCP_MAXSEG, max(options.mss, 0)),
    )


def _set_place(listener: socket.socket, endpoint: Endpoint, options: SocketOptions) -> None:
    """Which packets it takes at all; this never changes while it is open."""
    if options.transparent:
        ipv6 = endpoint.family is SocketFamily.IPV6
        level, name = (
            (socket.IPPROTO_IPV6, IPV6_TRANSPARENT)
            if ipv6
            else (socket.SOL_IP, socket.IP_TRANSPARENT)
        )
        try:
            listener.setsockopt(level, name, 1)
        except OSError as error:
            raise BindError(f"cannot do transparent binding ({error.strerror})") from error
    if options.interface is not None:
        name_bytes = options.interface.encode() + b"\0"
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name_bytes)
        except OSError as error:
            told = f"cannot bind listener to device '{options.interface}' ({error.strerror})"
            raise BindError(told) from error


def _bind_path(listener: socket.socket, path: str, options: SocketOptions) -> None:
    """Bind beside the path and rename over it: a stale socket is in the way of none."""
    beside = Path(f"{path}.{os.getpid():x}.t")  # nine bytes of the ten that UNIX_PATH_MAX leaves
    beside.unlink(missing_ok=True)
    listener.bind(str(beside))
    try:
        if options.mode is not None:
            beside.chmod(options.mode)
        if options.user is not None or options.group is not None:
            os.chown(
                beside,
                -1 if options.user is None else options.user,
                -1 if options.group is None else options.group,
            )
        listener.listen(options.backlog)
        beside.rename(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _take_descriptor(descriptor: int, options: SocketOptions) -> socket.socket:
    """A socket that the parent opened, perhaps listening already; taken over as it is."""
    try:
        listener = socket.socket(fileno=descriptor)
    except OSError as error:
        raise BindError(f"cannot use descriptor ({error.strerror}) [fd@{descriptor}]") from error
    try:
        listener.setblocking(False)
        if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            listener.listen(options.backlog)
    except BaseException as error:
        listener.detach()  # it is the parent's
        if isinstance(error, OSError):
            told = f"cannot use descriptor ({error.strerror}) [fd@{descriptor}]"
            raise BindError(told) from error
        raise
    return listener


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.EMFILE:
        return "too many open files: raise the hard limit on descriptors"
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def withdraw(listener: socket.socket, endpoint: Endpoint) -> None:
    """Let new clients pass by a socket, while handshakes under way still end in its queue.

    It is bound to an interface that no packet comes from (Linux 5.7 lets every user do so). Only
    for all members of a SO_REUSEPORT group: the kernel finds one by the others.
    """
    if endpoint.family in INTERNET:
        with suppress(OSError):  # there is `quiesce`
            listener.setsockopt(socket.SOL_SOCKET, SO_BINDTOIFINDEX, NO_INTERFACE)


_Instruction = tuple[int, int, int, int]  # operation, jumps, value
# ldb [13]; and #0x12; jeq #0x02, drop, keep: a segment with SYN and without ACK
_DROP_SYN = ((0x30, 0, 0, 13), (0x54, 0, 0, 0x12), (0x15, 0, 1, 0x02), (6, 0, 0, 0), (6, 0, 0, -1))


def quiesce(listener: socket.socket, endpoint: Endpoint) -> None:
    """Let no new handshake begin, while those under way still end in the queue.

    A new client's SYN is dropped; when it is repeated the socket is closed and it is refused. The
    filter sees the TCP header first (tcp_v4_rcv), flags in byte 13. The parent's descriptors are
    left alone.
    """
    if endpoint.family not in INTERNET:
        return
    with suppress(OSError):  # without the filter the close may reset a client; no reason to stop
        _attach(listener, SO_ATTACH_FILTER, _DROP_SYN)


def _attach(listener: socket.socket, name: int, program: Sequence[_Instruction]) -> None:
    AttachedFilter(program).attach(listener, name)


class AttachedFilter:
    """A program of the kernel's for a socket, ready to be attached."""

    def __init__(self, program: Sequence[_Instruction]) -> None:
        code = b"".join(
            struct.pack("HBBI", operation, jump_true, jump_false, value & 0xFFFFFFFF)
            for operation, jump_true, jump_false, value in program
        )
        self._memory = ctypes.create_string_buffer(code)
        self._described = struct.pack("HP", len(program), ctypes.addressof(self._memory))

    def attach(self, listener: socket.socket, name: int) -> None:
        """Give it to a socket, by an option of SOL_SOCKET; raises OSError."""
        listener.setsockopt(socket.SOL_SOCKET, name, self._described)


# ld #random; mod #k; jeq #k; ret #k
_LOAD_RANDOM, _RANDOM, _MODULO, _SAME, _RETURN = 0x20, -0x1000 + 56, 0x94, 0x15, 0x06


class Steering:
    """Lets new clients of a socket's group come to the members with some numbers.

    A number that no member has means that the kernel deals out as ever.
    """

    def __init__(self, numbers: Sequence[int]) -> None:
        program = [(_LOAD_RANDOM, 0, 0, _RANDOM), (_MODULO, 0, 0, len(numbers))]
        for place, number in enumerate(numbers):
            program += [(_SAME, 0, 1, place), (_RETURN, 0, 0, number)]
        program.append((_RETURN, 0, 0, numbers[-1]))
        self._filter = AttachedFilter(program)

    def begin(self, listener: socket.socket) -> None:
        """For the group of a socket, from now on; raises OSError."""
        self._filter.attach(listener, SO_ATTACH_REUSEPORT_CBPF)


def release(listener: socket.socket) -> None:
    """Let the kernel deal new clients out to all members of a socket's group."""
    with suppress(OSError):  # there is no program, as a rule
        listener.setsockopt(socket.SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, 0)


def queue_length(listener: socket.socket) -> int:
    """Clients that are not accepted yet; 0 where the kernel does not say (unix sockets)."""
    if listener.family not in (socket.AF_INET, socket.AF_INET6):
        return 0
    with suppress(OSError):
        information = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_UNACKED + 4)
        return int.from_bytes(information[TCP_INFO_UNACKED:], "little")
    return 0


def shut(listener: socket.socket, endpoint: Endpoint) -> None:
    """End listening for every process that holds the socket, and close this copy.

    A descriptor that came from the parent is only closed: the parent may go on with it.
    """
    if endpoint.family is not SocketFamily.DESCRIPTOR:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def path_identity(endpoint: Endpoint) -> tuple[int, int] | None:
    """Device and inode of a socket's path, to know it again; None without a path."""
    if endpoint.family is not SocketFamily.UNIX:
        return None
    try:
        found = Path(endpoint.host).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def remove_path(endpoint: Endpoint, identity: tuple[int, int] | None) -> None:
    """Unlink a socket's path if it still is the socket that was bound here."""
    if identity is not None and path_identity(endpoint) == identity:
        with suppress(OSError):
            Path(endpoint.host).unlink()
