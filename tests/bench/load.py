"""The load: a closed loop over keep-alive connections, which looks at every response.

Raw sockets in one process, so that it costs a few hundredths of a millisecond a request and leaves
the cores to the server.
"""

from __future__ import annotations

import re
import selectors
import socket
from dataclasses import dataclass, field
from time import perf_counter, process_time

#: Seconds without any answer after which a server is given up.
PATIENCE = 120
#: A connection joins so many seconds after the one before: the processes that share a socket are
#: then busy when they should leave it to another.
STAGGER = 0.01

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


class LoadError(Exception):
    """A server has not answered, or otherwise than it should have; the text has what it said."""


@dataclass(frozen=True)
class Load:
    """One request again and again on each of ``connections``, after ``warm_up`` seconds."""

    address: tuple[str, int]
    request: bytes
    expected: bytes
    """The body that each response must have."""
    connections: int
    seconds: float
    warm_up: float


@dataclass(frozen=True)
class Measured:
    """What a load has found; times in milliseconds."""

    requests: int
    """Answers in all, of the warm-up too."""
    rate: float
    """Answers a second, after the warm-up."""
    p50: float
    p90: float
    p99: float
    client: float
    """The part of one core that the load itself has taken."""


@dataclass(eq=False)
class Connection:
    """A socket and the answer that is coming in on it."""

    socket: socket.socket
    started: float = 0.0
    received: bytes = b""
    answers: int = field(default=0)

    def ask(self, request: bytes) -> None:
        self.received = b""
        self.started = perf_counter()
        self.socket.sendall(request)

    def answer(self) -> bytes | None:
        """The body, once it is whole."""
        arrived = self.socket.recv(262_144)
        if not arrived:
            raise LoadError(f"The server hung up after {self.received[:300]!r}.")
        self.received = self.received + arrived if self.received else arrived
        return body(self.received)


def body(response: bytes) -> bytes | None:
    """The body of a response; None while it is not whole; LoadError for any status but 200."""
    end = response.find(b"\r\n\r\n")
    if end < 0:
        return None
    if not response.startswith((b"HTTP/1.1 200 ", b"HTTP/1.0 200 ")):
        raise LoadError(f"The server said {response[:600]!r}.")
    length = _LENGTH.search(response, 0, end + 2)
    if length:
        content = response[end + 4 :]
        return content if len(content) >= int(length[1]) else None
    if not _CHUNKED.search(response, 0, end + 2):
        raise LoadError(f"A response without its length: {response[:300]!r}.")
    content, at = b"", end + 4
    while True:
        line = response.find(b"\r\n", at)
        if line < 0:
            return None
        size = int(response[at:line].split(b";")[0], 16)
        if len(response) < line + 4 + size:
            return None
        if not size:
            return content
        content += response[line + 2 : line + 2 + size]
        at = line + 4 + size


def fetch(address: tuple[str, int], request: bytes) -> bytes:
    """The body of one answer."""
    with socket.create_connection(address, timeout=PATIENCE) as plain:
        connection = Connection(plain)
        connection.ask(request)
        while True:
            found = connection.answer()
            if found is not None:
                return found


def drive(load: Load) -> Measured:
    """Put the load on the server; in a process of its own, for it keeps one busy.

    Where answers take longer than ``seconds``, it goes on until there is one for each connection.
    """
    selector = selectors.DefaultSelector()
    times: list[float] = []
    begun = perf_counter()
    connections: list[Connection] = []
    counting = worked = 0.0
    try:
        while True:
            now = perf_counter()
            if len(connections) < load.connections and now >= begun + STAGGER * len(connections):
                plain = socket.create_connection(load.address, timeout=PATIENCE)
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connections.append(Connection(plain))
                selector.register(plain, selectors.EVENT_READ, connections[-1])
                connections[-1].ask(load.request)
            waiting = len(connections) < load.connections
            ready = selector.select(STAGGER if waiting else PATIENCE)
            if not ready and not waiting:
                raise LoadError(f"No answer within {PATIENCE} seconds.")
            for key, _ in ready:
                connection: Connection = key.data
                found = connection.answer()
                if found is None:
                    continue
                if found != load.expected:
                    raise LoadError(f"Another answer than before: {found[:600]!r}.")
                now = perf_counter()
                if counting:
                    times.append(now - connection.started)
                connection.answers += 1
                connection.ask(load.request)
            if not counting:
                if (
                    now - begun >= load.warm_up
                    and len(connections) == load.connections
                    and all(connection.answers for connection in connections)
                ):
                    counting, worked = now, process_time()
            elif now - counting >= load.seconds and len(times) >= load.connections:
                busy = (process_time() - worked) / (now - counting)
                answers = sum(connection.answers for connection in connections)
                return measured(answers, times, now - counting, busy)
    finally:
        for connection in connections:
            connection.socket.close()
        selector.close()


def measured(answers: int, times: list[float], seconds: float, busy: float) -> Measured:
    """What these times say; ``busy`` is the part of a core that the load has taken."""
    times.sort()

    def part(share: float) -> float:
        return round(1000 * times[min(int(share * len(times)), len(times) - 1)], 3)

    rate = len(times) / seconds
    return Measured(answers, round(rate, 1), part(0.5), part(0.9), part(0.99), round(busy, 3))
