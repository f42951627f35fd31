"""Where a server listens."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from server.listening import address, named, opened


@pytest.mark.parametrize(("host", "written"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_a_port_is_one_of_a_host(host: str, written: str) -> None:
    with opened(host, 0) as listener:
        port = listener.getsockname()[1]
        assert address(listener) == f"http://{written}:{port}"
        with pytest.raises(OSError, match="in use"):
            opened(host, port)


def test_a_socket_may_be_one_that_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        listener = opened(f"fd:{given.fileno()}", 0)
        assert address(listener) == f"http://127.0.0.1:{given.getsockname()[1]}"
        listener.detach()
    with pytest.raises(ValueError, match="invalid literal"):
        opened("fd:three", 0)


def test_a_unix_socket_is_for_its_group_and_taken_from_nobody_who_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with opened("unix:brook.sock", 0) as listener:
        assert address(listener) == named("unix:brook.sock", 0) == "unix:brook.sock"
        assert Path("brook.sock").stat().st_mode & 0o777 == 0o660
        with pytest.raises(OSError, match="Another server listens"):
            opened("unix:brook.sock", 0)
    # Whoever died left the file.
    with opened("unix:brook.sock", 0) as listener:
        assert listener.fileno() >= 0


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("something")
    with pytest.raises(OSError, match="in use"):
        opened(f"unix:{file}", 0)
    assert file.read_text() == "something"
