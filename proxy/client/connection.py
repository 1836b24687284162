"""Connections to a stats socket by the address that an operator writes, and whole answers."""

from __future__ import annotations

import errno
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path

from proxy.config.model.settings import Endpoint, SocketFamily
from proxy.config.text.addresses import parse_address, single_endpoint
from proxy.config.text.messages import ConfigError
from proxy.kernel.local_connect import connect_within
from resolverd.config import Family

CHUNK_BYTES = 65_536
LOCAL_HOSTS = {SocketFamily.IPV4: "127.0.0.1", SocketFamily.IPV6: "::1"}
WILDCARDS = ("0.0.0.0", "::")
RELATIVE_PATH = re.compile(r"[^/@:$\s][^@:$\s]*/[^@:$\s]*")
NAME = re.compile(r"[^/@:$\s]+")


def connect(address: str, environment: Mapping[str, str], seconds: float) -> socket.socket:
    """A connection with a time-out; raises OSError, or ConfigError for what is no address."""
    if Path(address).is_socket():  # that of a relative path, too
        address = str(Path(address).absolute())
    elif RELATIVE_PATH.fullmatch(address):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), address)
    elif NAME.fullmatch(address):  # a path of this folder, or a host: only its user knows
        raise ConfigError("no socket of that name here, and missing port for a host")
    endpoint = single_endpoint(parse_address(address, environment), _resolved)
    if endpoint.family is SocketFamily.DESCRIPTOR:
        raise ConfigError("a descriptor of the program's parent: name another socket with -S")
    if endpoint.family in LOCAL_HOSTS:
        host = LOCAL_HOSTS[endpoint.family] if endpoint.host in WILDCARDS else endpoint.host
        return socket.create_connection((host, endpoint.port), seconds)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connect_within(connection, _local_name(endpoint), seconds)
        connection.settimeout(seconds)
    except BlockingIOError as error:
        connection.close()
        full = f"too many clients wait there, for {seconds} s: nothing was sent"
        raise OSError(error.errno, full) from None
    except BaseException:
        connection.close()
        raise
    return connection


def _local_name(endpoint: Endpoint) -> str | bytes:
    return endpoint.local_name if endpoint.family is SocketFamily.ABSTRACT else endpoint.host


def _resolved(host: str, family: Family) -> str | None:
    asked = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
    found = socket.getaddrinfo(host, None, asked.get(family, socket.AF_UNSPEC))
    return str(found[0][4][0])


def answer_of(address: str, command: str, environment: Mapping[str, str], seconds: int) -> bytes:
    """The whole answer to one command; raises OSError, TimeoutError among them, or ConfigError."""
    with connect(address, environment, seconds) as connection:
        connection.sendall(f"{command}\n".encode())
        return b"".join(iter(lambda: connection.recv(CHUNK_BYTES), b""))
