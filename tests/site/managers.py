"""The site's own streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Model, Q, QuerySet

from server.models import Action
from server.streams import ActionManager, stream

from .models import Project


class SiteActions(ActionManager):
    """A stream of each shape."""

    @stream
    def mystream(self, obj: Model, verb: str = "posted") -> Mapping[str, Any]:
        """What an object did, by one verb."""
        return {"actor": obj, "verb": verb}

    @stream
    def project_news(
        self, project: Project, verb: str = "opened"
    ) -> tuple[Mapping[str, Any], ...]:
        """What was done to a project or with it, and what any project did by the verb."""
        return (
            {"target": project},
            {"action_object": project, "verb": verb},
            {"actor": Project, "verb": verb},
        )

    @stream
    def involving(self, obj: Model, **filters: Any) -> QuerySet[Action]:
        """A QuerySet: private actions as well."""
        return self.filter(
            Q(target_object_id=str(obj.pk)) | Q(action_object_object_id=str(obj.pk)), **filters
        )

    @stream
    def everything(self, user: User) -> Mapping[str, Any]:
        """All that anybody may see, whoever asks."""
        return {}

    @stream
    def nothing(self, obj: Model) -> tuple[Mapping[str, Any], ...]:
        """No dict, so no action."""
        return ()

    @stream
    def untargeted(self, obj: Model) -> Mapping[str, Any]:
        """What an object did to nothing."""
        return {"actor": obj, "target": None}

    @stream
    def wrong(self, obj: Model) -> Any:
        """A stream that returns what no stream returns."""
        return [obj]
