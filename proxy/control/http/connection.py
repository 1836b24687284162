"""One HTTP connection to a statistics section: requests in, streamed responses out.

A response is an asynchronous stream of parts, sent in chunks, so that a slow reader holds one part.
Limits: bytes and seconds of a request head, seconds of a response, requests of a connection.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from http import HTTPStatus
from typing import NamedTuple, TypeAlias

from proxy.control.http.request import HEAD_END, BadRequestError, Request, parse_head
from proxy.control.limits import (
    KEEP_ALIVE_REQUESTS_MAX,
    REQUEST_HEAD_BYTES_MAX,
    REQUEST_HEAD_SECONDS_MAX,
    RESPONSE_SECONDS_MAX,
)
from proxy.control.places import Client
from proxy.control.rows.service_counters import ServiceCounters
from proxy.control.stats_socket import READ_BYTES, discard, send

LAST_CHUNK = b"0\r\n\r\n"


class Response(NamedTuple):
    """What to answer: status, type, and the body in parts."""

    status: HTTPStatus
    content_type: str
    parts: AsyncGenerator[bytes, None]
    headers: tuple[tuple[str, str], ...] = ()


Handler: TypeAlias = Callable[[Request, Client], Awaitable[Response]]


async def one_part(text: str) -> AsyncGenerator[bytes, None]:
    """A body that is there already."""
    yield text.encode()


def plain(status: HTTPStatus, text: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """A short text response."""
    return Response(status, "text/plain; charset=utf-8", one_part(text), headers)


def refusal(status: HTTPStatus) -> Response:
    """The response to a request that is not served."""
    headers = (("Allow", "GET, HEAD"),) if status is HTTPStatus.METHOD_NOT_ALLOWED else ()
    return plain(status, f"{status.value} {status.phrase}\n", headers)


class HttpConnection:
    """Serves one connection; `handler` answers, `counters` are the frontend's."""

    def __init__(
        self,
        connection: socket.socket,
        client: Client,
        handler: Handler,
        counters: ServiceCounters,
    ) -> None:
        self.connection = connection
        self.client = client
        self.handler = handler
        self.counters = counters
        self.received = b""

    async def serve(self) -> None:
        """Answer requests until the connection ends; raises OSError or TimeoutError."""
        self.counters.opened()
        try:
            for _ in range(KEEP_ALIVE_REQUESTS_MAX):
                if not await self.exchange():
                    return
        finally:
            self.counters.closed()

    async def exchange(self) -> bool:
        """One request and its response; False when the connection ends with it."""
        try:
            head = await self.next_head()
            if head is None:
                return False
            self.client.served()
            request = parse_head(head)
        except BadRequestError as error:
            await self.respond(None, refusal(error.status), keep_alive=False)
            await discard(self.connection, REQUEST_HEAD_SECONDS_MAX)
            return False
        response = await self.handler(request, self.client)
        keep_alive = request.keep_alive and not self.client.leaving
        await self.respond(request, response, keep_alive=keep_alive)
        self.client.answered()
        return keep_alive and not self.client.leaving

    async def next_head(self) -> bytes | None:
        """The bytes of the next request head; None when the client has left.

        Raises BadRequestError for one that is too long or takes too long.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(REQUEST_HEAD_SECONDS_MAX):
                while HEAD_END not in self.received:
                    if len(self.received) > REQUEST_HEAD_BYTES_MAX:
                        raise BadRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
                    data = await loop.sock_recv(self.connection, READ_BYTES)
                    if not data:
                        return None
                    self.client.asks()
                    self.counters.bytes_in += len(data)
                    self.received += data
        except TimeoutError as error:
            if not self.received:  # nothing was asked: an idle connection just ends
                return None
            raise BadRequestError(HTTPStatus.REQUEST_TIMEOUT) from error
        self.client.asks()
        head, _, self.received = self.received.partition(HEAD_END)
        return head

    async def respond(
        self, request: Request | None, response: Response, *, keep_alive: bool
    ) -> None:
        """Send a response; raises TimeoutError when that takes longer than allowed."""
        chunked = request is not None and request.version == "HTTP/1.1"
        head_only = request is not None and request.head_only
        self.counters.answered(response.status.value)
        async with asyncio.timeout(RESPONSE_SECONDS_MAX), aclosing(response.parts) as parts:
            head = self.head(response, chunked=chunked, keep_alive=keep_alive)
            await self.send(head)
            if head_only:
                return
            async for part in parts:
                if part:
                    await self.send(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
            if chunked:
                await self.send(LAST_CHUNK)

    def head(self, response: Response, *, chunked: bool, keep_alive: bool) -> bytes:
        """Status line and headers."""
        lines = [
            f"HTTP/1.1 {response.status.value} {response.status.phrase}",
            f"Content-Type: {response.content_type}",
            "Cache-Control: no-cache",
            "X-Content-Type-Options: nosniff",
            *(f"{name}: {value}" for name, value in response.headers),
        ]
        if chunked:
            lines.append("Transfer-Encoding: chunked")
        if not keep_alive:
            lines.append("Connection: close")
        return "\r\n".join((*lines, "", "")).encode("latin-1")

    async def send(self, data: bytes) -> None:
        """Send and count."""
        await send(self.connection, data, RESPONSE_SECONDS_MAX, self.client)
        self.counters.bytes_out += len(data)
