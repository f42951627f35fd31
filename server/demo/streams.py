"""The demo's own streams, and what its streams leave out."""

from __future__ import annotations

from itertools import product
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.contenttypes.models import ContentType
from django.db.models import CharField, Model, Q, QuerySet
from django.db.models.functions import Cast

from server.actions import Action
from server.references import ROLES
from server.streams import ActionManager, stream

from .models import Comment, Commit, Issue, Release, Repository


class DemoActionManager(ActionManager):
    """Brook's streams and the demo's."""

    @stream
    def mystream(self, obj: Model, verb: str = "posted") -> dict[str, Any]:
        """What an object did under one verb."""
        return {"actor": obj, "verb": verb}

    @stream
    def repository_stream(self, repository: Repository) -> tuple[dict[str, Any], ...]:
        """What was done to a repository, and with it."""
        return {"target": repository}, {"action_object": repository}

    def visible_to(
        self, queryset: QuerySet[Action], viewer: AbstractBaseUser | None
    ) -> QuerySet[Action]:
        """Leave out what names a hidden repository, or something in it."""
        hidden = Repository.objects.hidden_from(viewer)
        if not hidden.exists():
            return queryset
        concerned: dict[type[Model], QuerySet[Any]] = {
            Repository: hidden,
            Issue: Issue.objects.filter(repository__in=hidden),
            Comment: Comment.objects.filter(issue__repository__in=hidden),
            Commit: Commit.objects.filter(repository__in=hidden),
            Release: Release.objects.filter(repository__in=hidden),
        }
        named = Q()
        for role, (model, objects) in product(ROLES, concerned.items()):
            content_type = ContentType.objects.get_for_model(model)
            # An action keeps every id as text, whatever the type of the key.
            ids = objects.values(key=Cast("pk", CharField()))
            named |= Q(**{f"{role}_content_type": content_type, f"{role}_object_id__in": ids})
        return queryset.exclude(named)
