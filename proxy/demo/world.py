"""The demo's world: an authoritative nameserver, four small backends and a steady client.

All of it real and on loopback addresses of its own (127.77.0.0/16): UDP packets, TCP sockets, one
thread each. Knows nothing of Millrace but the address it listens on.
"""

from __future__ import annotations

import collections
import socket
import threading
from contextlib import suppress

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

NAMESERVER = ("127.77.0.53", 5353)
BACKENDS = tuple(f"127.77.0.{number}" for number in (11, 12, 13, 14))
BACKEND_PORT = 8081
ZONE_NAME = "web.demo.test."
ZONE_TTL_SECONDS = 1
PACKET_BYTES_MAX = 4_096
CLIENT_PAUSE_SECONDS = 0.05
CLIENT_TIMEOUT_SECONDS = 2.0
REQUEST = b"GET / HTTP/1.0\r\nHost: demo\r\n\r\n"


class DemoNameserver:
    """Answers A questions for one name from a list that the story changes.

    `addresses` None means that the name does not exist. Raises OSError when the address is taken.
    """

    def __init__(self) -> None:
        self.addresses: tuple[str, ...] | None = ()
        self.questions = 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(NAMESERVER)
        threading.Thread(target=self.serve, name="nameserver", daemon=True).start()

    def serve(self) -> None:
        """Answer until the socket is closed."""
        with suppress(OSError):
            while True:
                packet, client = self.socket.recvfrom(PACKET_BYTES_MAX)
                with suppress(dns.exception.DNSException):
                    self.socket.sendto(self.answer(packet), client)

    def answer(self, packet: bytes) -> bytes:
        """The reply to one packet (RFC 1035 section 4.1)."""
        query = dns.message.from_wire(packet)
        self.questions += 1
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.AA
        question = query.question[0]
        addresses = self.addresses
        if addresses is None or question.name.to_text().lower() != ZONE_NAME:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        elif question.rdtype == dns.rdatatype.A and addresses:
            reply.answer.append(
                dns.rrset.from_text(
                    question.name, ZONE_TTL_SECONDS, dns.rdataclass.IN, dns.rdatatype.A, *addresses
                )
            )
        return reply.to_wire()

    def close(self) -> None:
        """Stop answering."""
        self.socket.close()


class Backend:
    """A server that says which one it is and closes."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.create_server((address, BACKEND_PORT), backlog=128)
        body = f"{address}\n".encode()
        self.response = (
            b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        threading.Thread(target=self.serve, name=f"backend {address}", daemon=True).start()

    def serve(self) -> None:
        """Answer one client after the other until the socket is closed."""
        with suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                with connection, suppress(OSError):
                    connection.settimeout(CLIENT_TIMEOUT_SECONDS)
                    if connection.recv(PACKET_BYTES_MAX):
                        connection.sendall(self.response)

    def close(self) -> None:
        """Stop listening."""
        self.socket.close()


class DemoClient:
    """Asks the proxy about fifteen times a second, each time on a new connection, and counts."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.answers: collections.Counter[str] = collections.Counter()
        self.failures = 0
        self.failures_in_a_row = 0
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        threading.Thread(target=self.ask_on, name="client", daemon=True).start()

    def ask_on(self) -> None:
        """Ask until told to stop."""
        while not self.stopping.wait(CLIENT_PAUSE_SECONDS):
            server = self.ask()
            with self.lock:
                if server is None:
                    self.failures += 1
                    self.failures_in_a_row += 1
                else:
                    self.answers[server] += 1
                    self.failures_in_a_row = 0

    def ask(self) -> str | None:
        """The address of the server that answered, None when none did."""
        received = b""
        try:
            with socket.create_connection(self.target, CLIENT_TIMEOUT_SECONDS) as connection:
                connection.sendall(REQUEST)
                while chunk := connection.recv(PACKET_BYTES_MAX):
                    received += chunk
        except OSError:
            return None
        _, _, body = received.partition(b"\r\n\r\n")
        return body.decode().strip() or None

    def take(self) -> tuple[collections.Counter[str], int]:
        """Answers by server and failures since the last call."""
        with self.lock:
            taken = (self.answers, self.failures)
            self.answers, self.failures = collections.Counter(), 0
        return taken
