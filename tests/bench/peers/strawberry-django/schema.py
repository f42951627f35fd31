"""The streams, as one writes them without a second thought for their SQL."""

from collections.abc import Iterable
from datetime import datetime

import strawberry
import strawberry_django
from activity import models  # type: ignore[import-not-found]  # beside this file
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.db.models import Exists, OuterRef, Q, QuerySet
from strawberry import relay
from strawberry.extensions import ParserCache, ValidationCache
from strawberry_django.optimizer import DjangoOptimizerExtension
from strawberry_django.relay import DjangoCursorConnection

ROLES = ("actor", "target", "action_object")


@strawberry.interface
class Subject(relay.Node):
    display_name: str


@strawberry_django.type(User, name="User")
class UserNode(Subject):
    display_name: str = strawberry_django.field(field_name="username")


@strawberry_django.type(Group, name="Group")
class GroupNode(Subject):
    display_name: str = strawberry_django.field(field_name="name")


@strawberry_django.type(models.Action, name="Action")
class ActionNode(relay.Node):
    verb: str
    timestamp: datetime
    actor: Subject | None = strawberry_django.field(
        only=["actor_content_type_id", "actor_object_id"], prefetch_related=["actor"]
    )
    target: Subject | None = strawberry_django.field(
        only=["target_content_type_id", "target_object_id"], prefetch_related=["target"]
    )
    action_object: Subject | None = strawberry_django.field(
        only=["action_object_content_type_id", "action_object_object_id"],
        prefetch_related=["action_object"],
    )


def newest(condition: Q) -> QuerySet[models.Action]:
    public: QuerySet[models.Action] = models.Action.objects.filter(public=True)
    return public.filter(condition).order_by("-timestamp", "-id")


def named(role: str, user_id: str) -> Q:
    user_type = ContentType.objects.get_for_model(User)
    return Q(**{f"{role}_content_type": user_type, f"{role}_object_id": user_id})


@strawberry.type
class Query:
    @strawberry_django.connection(DjangoCursorConnection[ActionNode])
    def actor_stream(self, of: relay.GlobalID) -> Iterable[models.Action]:
        return newest(named("actor", of.node_id))

    @strawberry_django.connection(DjangoCursorConnection[ActionNode])
    def any_stream(self, of: relay.GlobalID) -> Iterable[models.Action]:
        user_id = of.node_id
        return newest(
            named("actor", user_id) | named("target", user_id) | named("action_object", user_id)
        )

    @strawberry_django.connection(DjangoCursorConnection[ActionNode])
    def user_stream(self, of: relay.GlobalID) -> Iterable[models.Action]:
        follows = models.Follow.objects.filter(user_id=of.node_id)
        belongs = Q()
        for role in ROLES:
            same = follows.filter(
                content_type_id=OuterRef(f"{role}_content_type_id"),
                object_id=OuterRef(f"{role}_object_id"),
            )
            belongs |= Q(Exists(same if role == "actor" else same.filter(actor_only=False)))
        return newest(belongs)


schema = strawberry.Schema(
    query=Query,
    types=[UserNode, GroupNode],
    extensions=[DjangoOptimizerExtension, ParserCache, ValidationCache],
)
