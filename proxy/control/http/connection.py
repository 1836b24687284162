"""One HTTP connection to a statistics section: requests in, streamed responses out.

A response is an asynchronous stream of parts, sent in chunks, so that a slow reader holds one part.
One of unknown size waits for a place; those that say little, as /ready, need none, so that
slow readers of pages and metrics do not keep them waiting.
Limits: bytes and seconds of a request head, seconds of a response, requests of a connection.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from http import HTTPStatus
from typing import NamedTuple, TypeAlias

from proxy.config.model.http import Denied
from proxy.control.caller import CALLER, Caller, client_name
from proxy.control.http.request import HEAD_END, BadRequestError, Request, parse_head
from proxy.control.limits import (
    KEEP_ALIVE_REQUESTS_MAX,
    REQUEST_HEAD_BYTES_MAX,
    REQUEST_HEAD_SECONDS_MAX,
    RESPONSE_SECONDS_MAX,
)
from proxy.control.places import Client, Places
from proxy.control.rows.service_counters import ServiceCounters
from proxy.control.stats_socket import READ_BYTES, discard, send

LAST_CHUNK = b"0\r\n\r\n"


class Response(NamedTuple):
    """What to answer: status, headers, and the body in parts; `length` where it is known.

    A `small` one has one part, and needs no place.
    """

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    parts: AsyncGenerator[bytes, None]
    length: int | None = None
    small: bool = False


class Addresses(NamedTuple):
    """Address and port of the client and of the listening socket; None for a Unix socket."""

    client: tuple[str, int] | None
    front: tuple[str, int] | None


Admission: TypeAlias = Callable[[Addresses], Denied | None]
Handler: TypeAlias = Callable[[Request, Client, Addresses], Awaitable[Response]]


async def _one_part(content: bytes) -> AsyncGenerator[bytes, None]:
    yield content


def streamed(
    status: HTTPStatus,
    content_type: str,
    parts: AsyncGenerator[bytes, None],
    headers: tuple[tuple[str, str], ...] = (),
) -> Response:
    """A response whose body comes in parts; it is not to be cached, nor to be guessed at."""
    usual = [("Content-Type", content_type), ("X-Content-Type-Options", "nosniff")]
    if not any(name == "Cache-Control" for name, _ in headers):
        usual.append(("Cache-Control", "no-cache"))
    return Response(status.value, status.phrase, (*usual, *headers), parts)


def whole(status: int, reason: str, headers: tuple[tuple[str, str], ...], body: bytes) -> Response:
    """A response whose body is there already."""
    return Response(status, reason, headers, _one_part(body), len(body), small=True)


def plain(status: HTTPStatus, text: str, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """A short text response."""
    response = streamed(status, "text/plain; charset=utf-8", _one_part(text.encode()), headers)
    return response._replace(small=True)


def addresses_of(connection: socket.socket) -> Addresses:
    """The two ends of a connection."""
    if connection.family == socket.AF_UNIX:
        return Addresses(None, None)
    return Addresses(connection.getpeername()[:2], connection.getsockname()[:2])


def refusal(status: HTTPStatus) -> Response:
    """The response to a request that is not served."""
    headers = (("Allow", "GET, HEAD"),) if status is HTTPStatus.METHOD_NOT_ALLOWED else ()
    return plain(status, f"{status.value} {status.phrase}\n", headers)


class HttpConnection:
    """Serves one connection; `handler` answers, `admission` says which client may ask.

    `places` are those of large answers.
    """

    def __init__(
        self,
        connection: socket.socket,
        client: Client,
        handler: Handler,
        counters: ServiceCounters,
        admission: Admission,
        *,
        places: Places,
    ) -> None:
        self.places = places
        self.connection = connection
        self.client = client
        self.handler = handler
        self.counters = counters
        self.admission = admission
        self.received = b""

    async def serve(self) -> None:
        """Answer requests until the connection ends; raises OSError or TimeoutError."""
        denied = self.admission(addresses_of(self.connection))
        if denied is not None:
            self.counters.refused(denied)
            return
        CALLER.set(Caller(self.connection, self.client, f"{client_name(self.connection)} by HTTP"))
        self.counters.opened()
        try:
            for _ in range(KEEP_ALIVE_REQUESTS_MAX):
                if not await self.exchange():
                    return
                await asyncio.sleep(0)  # the next may lie there: others have their turn before it
        finally:
            self.counters.closed()

    async def exchange(self) -> bool:
        """One request and its response; False when the connection ends with it."""
        try:
            head = await self.next_head()
            if head is None:
                return False
            self.client.served()
            request = await self.with_form(parse_head(head))
        except BadRequestError as error:
            await self.respond(None, refusal(error.status), keep_alive=False)
            await discard(self.connection, REQUEST_HEAD_SECONDS_MAX)
            return False
        response = await self.handler(request, self.client, addresses_of(self.connection))
        keep_alive = request.keep_alive and not self.client.leaving
        try:
            if not response.small:
                await self.places.take(self.client)
            await self.respond(request, response, keep_alive=keep_alive)
        finally:
            self.places.leave(self.client)
        self.client.answered()
        if request.has_body:  # unread bytes at the close would reset the response
            await discard(self.connection, REQUEST_HEAD_SECONDS_MAX)
        return keep_alive and not self.client.leaving

    async def with_form(self, request: Request) -> Request:
        """The request with the form that follows it; raises BadRequestError for one cut off."""
        wanted, loop = request.form_bytes, asyncio.get_running_loop()
        if not wanted:
            return request
        try:
            async with asyncio.timeout(REQUEST_HEAD_SECONDS_MAX):
                while len(self.received) < wanted:
                    data = await loop.sock_recv(self.connection, READ_BYTES)
                    if not data:
                        raise BadRequestError(HTTPStatus.BAD_REQUEST)
                    self.counters.bytes_in += len(data)
                    self.received += data
        except TimeoutError as error:
            raise BadRequestError(HTTPStatus.REQUEST_TIMEOUT) from error
        body, self.received = self.received[:wanted], self.received[wanted:]
        return request._replace(body=body)

    async def next_head(self) -> bytes | None:
        """The bytes of the next request head; None when the client has left.

        Raises BadRequestError for one that is too long or takes too long.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(REQUEST_HEAD_SECONDS_MAX):
                while (end := HEAD_END.search(self.received)) is None:
                    if len(self.received) > REQUEST_HEAD_BYTES_MAX:
                        raise BadRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
                    data = await loop.sock_recv(self.connection, READ_BYTES)
                    if not data:
                        return None
                    self.client.asks()
                    self.counters.bytes_in += len(data)
                    self.received = (self.received + data).lstrip(b"\r\n")  # RFC 9112, 2.2
        except TimeoutError as error:
            if not self.received:  # nothing was asked: an idle connection just ends
                return None
            raise BadRequestError(HTTPStatus.REQUEST_TIMEOUT) from error
        self.client.asks()
        head, self.received = self.received[: end.start()], self.received[end.end() :]
        return head

    async def respond(
        self, request: Request | None, response: Response, *, keep_alive: bool
    ) -> None:
        """Send a response; raises TimeoutError when that takes longer than allowed."""
        chunked = request is not None and request.version == "HTTP/1.1" and response.length is None
        head_only = request is not None and request.head_only
        self.counters.answered(response.status)
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
            f"HTTP/1.1 {response.status} {response.reason}",
            *(f"{name}: {value}" for name, value in response.headers),
        ]
        if chunked:
            lines.append("Transfer-Encoding: chunked")
        elif response.length is not None and response.status != HTTPStatus.NO_CONTENT:
            lines.append(f"Content-Length: {response.length}")
        if not keep_alive:
            lines.append("Connection: close")
        # words of the configuration are as they were in the file
        return "\r\n".join((*lines, "", "")).encode(errors="surrogateescape")

    async def send(self, data: bytes) -> None:
        """Send and count."""
        await send(self.connection, data, RESPONSE_SECONDS_MAX, self.client)
        self.counters.bytes_out += len(data)
