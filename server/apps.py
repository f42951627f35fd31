"""The Django app."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.signals import connection_created
from django.db.models.signals import pre_migrate
from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from .streams import ActionManager


class BrookConfig(AppConfig):
    """Actions and follows; the app's label is ``activity``."""

    name = "server"
    label = "activity"
    verbose_name = "Activity"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from . import deadlines, indexes, postgresql, records, registry, timestamps
        from .checks import CHECKS
        from .safety import unsafe
        from .signals import action

        for check in CHECKS:
            checks.register(check)
        checks.register(unsafe, checks.Tags.security, deploy=True)
        connection_created.connect(deadlines.watch, dispatch_uid="server.deadlines.watch")
        action.connect(records.store, dispatch_uid="server.records.store")
        pre_migrate.connect(indexes.be_patient, dispatch_uid="server.indexes.be_patient")
        timestamps.connect()
        postgresql.connect()
        registry.register(settings.AUTH_USER_MODEL, "auth.Group")
        # "manage.py check" says what is wrong with a manager, and needs a site that starts.
        with suppress(ImproperlyConfigured):
            install_manager(manager_class())


def manager_class() -> type[ActionManager]:
    """The class that ``ACTSTREAM_SETTINGS["MANAGER"]`` names; ActionManager when it names none.

    Raises ImproperlyConfigured if it cannot be imported or is no ActionManager.
    """
    from .streams import ActionManager

    path = getattr(settings, "ACTSTREAM_SETTINGS", {}).get("MANAGER")
    if path is None:
        return ActionManager
    try:
        found = import_string(path)
    except (ImportError, AttributeError, TypeError) as error:
        raise ImproperlyConfigured(
            f'ACTSTREAM_SETTINGS["MANAGER"] names {path!r}, which cannot be imported: {error}'
        ) from error
    if not (isinstance(found, type) and issubclass(found, ActionManager)):
        raise ImproperlyConfigured(
            f'ACTSTREAM_SETTINGS["MANAGER"] names {path!r}, which is no subclass of '
            "server.streams.ActionManager."
        )
    return found


def install_manager(manager: type[ActionManager]) -> None:
    """Put a manager in the place of the one that Action declares.

    Only now, when every model is loaded: a site's manager imports its models and ours, so that
    naming it in the body of Action would be an import cycle.
    """
    from .actions import Action

    meta = Action._meta
    meta.local_managers[:] = [old for old in meta.local_managers if old.name != "objects"]
    Action.add_to_class("objects", manager())
