"""Accepting when the kernel refuses: a pause that is counted, never the end."""

from __future__ import annotations

import asyncio
import errno
import resource
import socket

import pytest

from proxy.control.acceptor import Acceptor
from proxy.control.places import Client
from tests.support.common import PATIENCE_SECONDS
from tests.support.control.site import read_all


async def greet(connection: socket.socket, client: Client) -> None:
    await asyncio.get_running_loop().sock_sendall(connection, b"hello")


async def break_down(connection: socket.socket, client: Client) -> None:
    raise RuntimeError("made by the test")


class Heard:
    """What an acceptor reports."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.pauses = 0

    def paused(self) -> None:
        self.pauses += 1


def listening_socket() -> socket.socket:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(16)
    return listening


async def answer_of(listening: socket.socket) -> bytes:
    def ask() -> bytes:
        with socket.create_connection(listening.getsockname(), PATIENCE_SECONDS) as client:
            return read_all(client)

    return await asyncio.to_thread(ask)


@pytest.mark.slow
def test_running_out_of_descriptors_is_a_pause() -> None:
    heard = Heard()

    async def scenario() -> bytes:
        with listening_socket() as listening:
            client = socket.create_connection(listening.getsockname(), PATIENCE_SECONDS)
            acceptor = Acceptor(4, heard.errors.append, heard.paused)
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            used = client.fileno() + 1
            resource.setrlimit(resource.RLIMIT_NOFILE, (used, hard))
            try:
                task = asyncio.create_task(acceptor.accept(listening, greet))
                while heard.pauses == 0 and not task.done():
                    await asyncio.sleep(0)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            answer = await asyncio.to_thread(read_all, client)
            client.close()
            task.cancel()
            return answer

    assert asyncio.run(scenario()) == b"hello"
    assert heard.pauses >= 1


def test_what_a_connection_died_of_is_told_and_the_next_is_served() -> None:
    heard = Heard()

    async def scenario() -> list[bytes]:
        with listening_socket() as listening, listening_socket() as other:
            acceptor = Acceptor(1, heard.errors.append, heard.paused)
            tasks = [
                asyncio.create_task(acceptor.accept(listening, break_down)),
                asyncio.create_task(acceptor.accept(other, greet)),
            ]
            answers = [await answer_of(listening), await answer_of(other)]
            for task in tasks:
                task.cancel()
            return answers

    assert asyncio.run(scenario()) == [b"", b"hello"]
    assert [str(error) for error in heard.errors] == ["made by the test"]


def test_a_socket_that_cannot_be_accepted_from_is_an_error() -> None:
    async def scenario() -> None:
        with socket.socket() as not_listening:
            heard = Heard()
            await Acceptor(1, heard.errors.append, heard.paused).accept(not_listening, greet)

    with pytest.raises(OSError, match="Invalid argument") as caught:
        asyncio.run(scenario())
    assert caught.value.errno == errno.EINVAL
