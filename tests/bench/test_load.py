"""The load tells a right answer from a wrong one, and counts the right ones."""

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from .calls import called
from .load import Load, LoadError, body, drive, fetch
from .sides import http

SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\npages"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\npa\r\n3;x=y\r\nges\r\n0\r\n\r\n"
)


@pytest.mark.parametrize("response", [SIZED, CHUNKED])
def test_a_body_is_taken_when_all_of_it_is_there(response: bytes) -> None:
    parts = [body(response[:end]) for end in range(len(response) + 1)]

    assert parts == [None] * len(response) + [b"pages"]


def test_another_status_is_refused_with_what_the_server_said() -> None:
    with pytest.raises(LoadError, match="404 Not Found"):
        body(SIZED.replace(b"200 OK", b"404 Not Found"))


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"pages")

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A load ends in the middle of answers."""


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    with Server(("127.0.0.1", 0), Answers) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield ("127.0.0.1", server.server_port)
        server.shutdown()
        thread.join()


def test_every_answer_is_counted_and_timed(address: tuple[str, int]) -> None:
    request = http("GET /", b"", {})

    measured = drive(Load(address, request, fetch(address, request), 2, 0.1, 0.0))

    assert measured.requests >= 2
    assert 0 < measured.p50 <= measured.p90 <= measured.p99


def test_an_answer_unlike_the_first_ends_the_load(address: tuple[str, int]) -> None:
    with pytest.raises(LoadError, match="Another answer than before: b'pages'"):
        drive(Load(address, http("GET /", b"", {}), b"other", 2, 0.1, 0.0))


def answer(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
    asked = (environ["PATH_INFO"], environ["HTTP_COOKIE"], environ["wsgi.input"].read())
    start_response("200 OK" if asked == ("/graphql", "a=b", b"{}") else "400 Bad Request", [])
    return [b"pa", b"ges"]


def test_an_application_is_called_as_a_server_would() -> None:
    assert called(answer, http("POST /graphql", b"{}", {"Cookie": "a=b"})) == b"pages"
    with pytest.raises(LoadError, match="400 Bad Request: b'pages'"):
        called(answer, http("POST /graphql", b"[]", {"Cookie": "a=b"}))
