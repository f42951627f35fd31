"""The Django app: GraphiQL's template and static files, and whether the schema can be built."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core import checks


class SchemaConfig(AppConfig):
    """What can be said, and where."""

    name = "schema"
    label = "brook_schema"

    def ready(self) -> None:
        checks.register(schema_builds)


def schema_builds(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[checks.CheckMessage]:
    """activity.E003: the schema cannot be built, for two things of one name or a strange type."""
    try:
        from . import schema  # noqa: F401 - built when it is first asked for
    except Exception as error:  # whatever a site's types may raise
        return [checks.Error(str(error), id="activity.E003")]
    return []
