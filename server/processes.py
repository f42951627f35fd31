"""The processes that serve, and the one that looks after them."""

from __future__ import annotations

import logging
import socket

from django.conf import settings
from uvicorn import Config
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from . import pulse

#: The most bytes of a message over WebSocket; the application refuses it more gently before.
MOST_BYTES = 128 * 1024
#: Seconds for which an idle connection stays: behind a proxy longer than it keeps one itself
#: (nginx: 60), else it would use one that is just being closed.
KEEP_ALIVE, KEEP_ALIVE_BEHIND_PROXY = 5, 75
#: Seconds that a process has to answer its supervisor, and a new one to be ready at a reload.
PATIENCE = 30


class Processes(Multiprocess):
    """Uvicorn's: who dies or answers nothing is replaced, SIGHUP replaces all, one by one."""

    def terminate_all(self) -> None:
        # From here on nobody connects, instead of waiting for those who do not take it any more.
        for listener in self.sockets:
            listener.close()
        super().terminate_all()


def run(listener: socket.socket) -> int:
    """Serve until a signal; 0, or what a process says that cannot start."""
    processes = Processes(config(), [listener])
    logging.getLogger("uvicorn.error").setLevel(logging.INFO)
    processes.run()
    failed = any(process.exitcode == STARTUP_FAILURE for process in processes.processes)
    return STARTUP_FAILURE if failed else 0


def config() -> Config:
    """How each process serves."""
    return Config(
        ":".join(settings.ASGI_APPLICATION.rsplit(".", 1)),
        workers=settings.WEB_CONCURRENCY,
        ws="websockets-sansio",  # by which a client learns why it was closed
        ws_max_size=MOST_BYTES,
        ws_per_message_deflate=False,
        # Whom a proxy says to be is said by ``proxies.py``.
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        log_level="warning",
        timeout_keep_alive=KEEP_ALIVE_BEHIND_PROXY if settings.PROXIES else KEEP_ALIVE,
        timeout_graceful_shutdown=settings.STOP_SECONDS,
        timeout_worker_healthcheck=PATIENCE,
        callback_notify=pulse.beat,
        timeout_notify=1,
    )
