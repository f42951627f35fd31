"""The demo's settings: Brook's own, the demo's app, and its streams."""

from server.settings import *  # noqa: F403
from server.settings import INSTALLED_APPS, env

INSTALLED_APPS = [*INSTALLED_APPS, "server.demo"]

# A demo is there to be looked at.
INTROSPECTION = env.str("INTROSPECTION", default="everyone")

ACTSTREAM_SETTINGS = {
    "MANAGER": "server.demo.streams.DemoActionManager",
    # The tabs with which GraphiQL opens.
    "TOUR": "server.demo.tour.tabs",
}
