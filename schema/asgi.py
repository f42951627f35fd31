"""The application for an ASGI server: see "make serve"."""

import gc
import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "server.settings")
django.setup(set_prefix=False)

from channels.routing import ProtocolTypeRouter  # noqa: E402 - Django is set up

from server.checks import refuse_deaf_processes  # noqa: E402
from server.handlers import Handler  # noqa: E402
from server.lifespan import until_told  # noqa: E402

from . import schema  # noqa: E402, F401 - built before the first request, not by it

http = Handler()
application = ProtocolTypeRouter(
    {
        "http": http,
        "lifespan": until_told(http.stop),
    }
)

refuse_deaf_processes()

# What is here now stays: the collector need not look at it again and again.
gc.collect()
gc.freeze()
