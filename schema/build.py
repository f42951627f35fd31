"""The schema, of everything that is registered and every stream of the manager."""

from datetime import datetime

import strawberry
from django.conf import settings
from graphql import GraphQLInputObjectType, GraphQLInterfaceType, GraphQLObjectType, Undefined
from strawberry.schema.config import StrawberryConfig

from . import catalog, compiled, replicas, subscriptions
from .execution import Schema
from .mutations import Mutation
from .queries import Query
from .streams import extend_nodes
from .times import DateTime

_streams = {field.python_name: field for field in extend_nodes()}


_executors = (
    subscriptions.Executor,
    *((replicas.Executor,) if settings.REPLICAS else ()),
    *((compiled.Executor,) if settings.COMPILED else ()),
)


class Executor(*_executors):  # type: ignore[misc]
    """graphql-core's, with events of subscriptions, replicas, and plain selections compiled."""


schema = Schema(
    query=strawberry.type(
        type("Query", (Query,), {**vars(Query), **_streams}),
        description="Streams, and nodes by id.",
    ),
    mutation=Mutation,
    subscription=strawberry.type(
        type("Subscription", (), {field.python_name: field for field in subscriptions.fields()}),
        description="What arrives in a stream, as soon as it is recorded.",
    ),
    types=[catalog.node_type(model) for model in catalog.all_models()],
    config=StrawberryConfig(scalar_map={datetime: DateTime}),
    execution_context_class=Executor,
)

# What may be left out has no default: "flag: String", not "flag: String = null".
for _type in schema._schema.type_map.values():
    if isinstance(_type, GraphQLInputObjectType):
        _given = [_type.fields.values()]
    elif isinstance(_type, GraphQLInterfaceType | GraphQLObjectType):
        _given = [field.args.values() for field in _type.fields.values()]
    else:
        continue
    for _values in _given:
        for _value in _values:
            if _value.default_value is None:
                _value.default_value = Undefined
