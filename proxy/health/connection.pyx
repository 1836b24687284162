"""One non-blocking socket of a check: system calls, without the objects that Python makes of them.

Owns the descriptor. Knows neither check nor dialect. `recv` and `send` are as a socket's.
"""

import socket
from contextlib import contextmanager

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_SetFromErrno
from libc.errno cimport EINPROGRESS, EINTR, EINVAL, ENAMETOOLONG, errno
from libc.stdint cimport uint16_t
from libc.string cimport memcpy, memset

from proxy.relay.state.syscalls cimport (
    AF_INET, AF_INET6, AF_UNIX, SO_ERROR, SO_LINGER, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM,
    SOL_SOCKET, close, connect, getsockopt, htons, inet_pton, linger, recv, send, setsockopt,
    sockaddr, sockaddr_in, sockaddr_in6, sockaddr_un, socket as open_socket, socklen_t)

cdef enum:
    BYTES_MAX = 16384  # read at once: RECEIVED_MAX of the seam


cdef class Connection:
    """Of a check, or none yet; it is closed with its object at the latest."""

    def __cinit__(self):
        self.descriptor = -1

    def __dealloc__(self):
        if self.descriptor >= 0:
            close(self.descriptor)

    cdef int open(self, int family) except -1:
        """Make the socket; raises OSError."""
        self.family = family
        self.descriptor = open_socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
        if self.descriptor < 0:
            PyErr_SetFromErrno(OSError)
        return 0

    cpdef int setsockopt(self, int level, int name, int value) except -1:
        """Set an option that is a number; raises OSError."""
        if setsockopt(self.descriptor, level, name, &value, sizeof(value)) < 0:
            PyErr_SetFromErrno(OSError)
        return 0

    cdef int connect(self, bytes address) except -1:
        """Begin to connect; raises OSError where that has failed already."""
        cdef int done = connect(
            self.descriptor, <const sockaddr *>PyBytes_AS_STRING(address),
            PyBytes_GET_SIZE(address))
        if done < 0 and errno != EINPROGRESS:
            PyErr_SetFromErrno(OSError)
        return 0

    cdef int error(self) except -1:
        """The errno of a connect that has failed, else 0; raises OSError."""
        cdef int code = 0
        cdef socklen_t length = sizeof(code)
        if getsockopt(self.descriptor, SOL_SOCKET, SO_ERROR, &code, &length) < 0:
            PyErr_SetFromErrno(OSError)
        return code

    cdef int reset_on_close(self) except -1:
        """Let the connection end by a reset; raises OSError."""
        cdef linger none
        none.l_onoff, none.l_linger = 1, 0
        if setsockopt(self.descriptor, SOL_SOCKET, SO_LINGER, &none, sizeof(none)) < 0:
            PyErr_SetFromErrno(OSError)
        return 0

    def fileno(self) -> int:
        """The descriptor, -1 once it is closed."""
        return self.descriptor

    def recv(self, Py_ssize_t bytes_max) -> bytes:
        """What has come, empty at the end; raises OSError."""
        cdef char[BYTES_MAX] buffer
        cdef ssize_t taken = -1
        while True:
            taken = recv(self.descriptor, buffer, min(bytes_max, BYTES_MAX), 0)
            if taken >= 0:
                return PyBytes_FromStringAndSize(buffer, taken)
            if errno != EINTR:
                PyErr_SetFromErrno(OSError)

    def send(self, bytes data, int flags=0) -> int:
        """Send some of it; raises OSError."""
        cdef ssize_t taken
        while True:
            taken = send(self.descriptor, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), flags)
            if taken >= 0:
                return taken
            if errno != EINTR:
                PyErr_SetFromErrno(OSError)

    def close(self) -> None:
        """End the connection."""
        if self.descriptor >= 0:
            close(self.descriptor)
            self.descriptor = -1

    @contextmanager
    def lent(self):
        """The descriptor as a socket of Python's, for what few checks ask for."""
        whole = socket.socket(self.family, socket.SOCK_STREAM, 0, self.descriptor)
        try:
            yield whole
        finally:
            whole.detach()

    def ends(self):
        """Our end, and the server's, None on a Unix socket; raises OSError where it is broken."""
        if self.family == AF_UNIX:
            return None, None
        with self.lent() as whole:
            return whole.getsockname()[:2], whole.getpeername()[:2]


cdef Connection new_connection():
    """One that is not open yet."""
    return Connection.__new__(Connection)


cdef bytes packed_address(object host, object port):
    """An address as connect(2) takes it; `host`: numeric text, or the name of a Unix socket.

    Raises OSError.
    """
    cdef sockaddr_in four
    cdef sockaddr_in6 six
    cdef bytes text
    if isinstance(host, bytes):
        return packed_name(host)
    text = host.encode()
    memset(&four, 0, sizeof(four))
    four.sin_family, four.sin_port = AF_INET, htons(<uint16_t>port)
    if inet_pton(AF_INET, text, &four.sin_addr) == 1:
        return PyBytes_FromStringAndSize(<char *>&four, sizeof(four))
    memset(&six, 0, sizeof(six))
    six.sin6_family, six.sin6_port = AF_INET6, htons(<uint16_t>port)
    address, _, scope = text.partition(b"%")
    if inet_pton(AF_INET6, address, &six.sin6_addr) != 1:
        raise OSError(EINVAL, f"no address: {host}")
    if scope:
        six.sin6_scope_id = int(scope) if scope.isdigit() else socket.if_nametoindex(scope)
    return PyBytes_FromStringAndSize(<char *>&six, sizeof(six))


cdef bytes packed_name(bytes name):
    """The address of a Unix socket; an abstract name begins with a zero byte."""
    cdef sockaddr_un local
    cdef Py_ssize_t length = PyBytes_GET_SIZE(name)
    if not name.startswith(b"\0"):
        length += 1  # the zero byte behind a path
    if length > <Py_ssize_t>sizeof(local.sun_path):
        raise OSError(ENAMETOOLONG, "the name of a Unix socket is too long")
    memset(&local, 0, sizeof(local))
    local.sun_family = AF_UNIX
    memcpy(local.sun_path, PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
    return PyBytes_FromStringAndSize(
        <char *>&local, sizeof(local) - sizeof(local.sun_path) + length)
