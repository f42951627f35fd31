"""The application for an ASGI server: see ``python -m server``."""

import gc
import os
from typing import Any

import django

from server import ledgers

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "server.settings")
ledgers.share()
django.setup(set_prefix=False)

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402 - Django is set up
from django.urls import path, re_path  # noqa: E402

from server import access, gauges, postgresql, proxies, roles, traces  # noqa: E402
from server.checks import refuse_deaf_processes  # noqa: E402
from server.handlers import Handler  # noqa: E402
from server.health import seen  # noqa: E402
from server.lifespan import until_told  # noqa: E402

from . import schema  # noqa: E402, F401 - built before the first request, not by it
from .shortcuts import Shortcuts  # noqa: E402
from .sockets import Consumer, nowhere  # noqa: E402

shortcuts = Shortcuts()
http = Handler(shortcuts)
sockets: list[Any] = [path("graphql", Consumer.as_asgi()), re_path("", nowhere)]  # type: ignore[arg-type]
router = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": URLRouter(sockets),
        "lifespan": until_told(
            http.stop, gauges.watched, access.written, traces.sent, shortcuts.kept
        ),
    }
)
application = seen(access.noted(proxies.believed(roles.kept(router))))

refuse_deaf_processes()
postgresql.serve()
traces.begin()

# What is here now stays: the collector need not look at it again and again.
gc.collect()
gc.freeze()
