"""What goes with an object that is deleted: the rows that name it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.contenttypes.fields import GenericRelation
from django.core.exceptions import EmptyResultSet
from django.db import connections
from django.db.models import Model, Q, QuerySet
from django.db.models.signals import post_delete, pre_delete

from . import registry


class Dependents(GenericRelation):
    """The rows that name an object of a registered model in one role.

    Django's collector deletes them in one statement that loads none of them. Rows that name rows
    of their own model (an action that likes an action) it would all load; so there the relation
    hides from it, and the model, by ``cascades_in_sql``, answers for :func:`delete`. It shows
    itself again where somebody listens to the deletion of each row.
    """

    def __init__(self, model: type[Model], role: str, attribute: Any = None) -> None:
        key: Any = model._meta.get_field(role)
        self.key, self.attribute = key, attribute
        super().__init__(model, content_type_field=key.ct_field, object_id_field=key.fk_field)

    def contribute_to_class(
        self, cls: type[Model], name: str, private_only: bool = True, **kwargs: Any
    ) -> None:
        super().contribute_to_class(cls, name, **kwargs)
        if self.attribute:
            setattr(cls, name, self.attribute)

    @property
    def bulk_related_objects(self) -> Any:
        listened = pre_delete.has_listeners(self.model) or post_delete.has_listeners(self.model)
        if getattr(self.model, "cascades_in_sql", False) and not listened:
            raise AttributeError("The rows are deleted in SQL.")
        return self._rows_that_name

    def _rows_that_name(self, objs: Iterable[Model], using: str) -> QuerySet[Any]:
        model: Any = self.remote_field.model
        rows: QuerySet[Any] = model._default_manager._queryset_class(model, using=using)
        objs, named = list(objs), Q()
        # A multi-table child may be named as what it is, and as each of its parents.
        for named_as in registry.lineage(self.model):
            keys = [str(getattr(obj, registry.pk_name(named_as))) for obj in objs]
            type_id = registry.content_type(named_as, using)
            named |= Q(**{self.key.ct_field: type_id, f"{self.key.fk_field}__in": keys})
        return rows.filter(named)


def delete(rows: QuerySet[Any], using: str) -> int | None:
    """Delete rows and, where their model takes part itself, all that name them, and so on.

    One statement for the rows of the model itself, however deep, and one for each other model
    whose rows name them. Returns how many rows of the model went; None where it takes no part.
    """
    meta: Any = rows.model._meta
    relations = [field for field in meta.private_fields if isinstance(field, Dependents)]
    if not relations:
        return None
    connection = connections[using]
    quote = connection.ops.quote_name
    try:
        seed, params = rows.order_by().values("pk").query.get_compiler(using=using).as_sql()
    except EmptyResultSet:
        return 0
    type_id = registry.content_type(rows.model, using).pk
    pk, table = quote(meta.pk.column), quote(meta.db_table)

    def columns(relation: Dependents) -> tuple[str, str]:
        of: Any = relation.remote_field.model._meta
        type_field, id_field = (
            of.get_field(relation.key.ct_field),
            of.get_field(relation.key.fk_field),
        )
        return quote(type_field.column), quote(id_field.column)

    own = [
        columns(relation) for relation in relations if relation.remote_field.model is rows.model
    ]
    arms = [
        f"{type_column} = {type_id} AND {id_column} = CAST(doomed.id AS text)"
        for type_column, id_column in own
    ]
    if connection.vendor == "postgresql":
        # PostgreSQL would rather scan the table for an OR.
        each = " UNION ALL ".join(f"SELECT {pk} FROM {table} WHERE {arm}" for arm in arms)
        level = f"SELECT later.{pk} FROM doomed CROSS JOIN LATERAL ({each}) AS later"
    else:
        level = f"SELECT later.{pk} FROM doomed JOIN {table} AS later ON {' OR '.join(arms)}"
    # UNION, not UNION ALL: actions that were made to name each other end it too.
    doomed = f"WITH RECURSIVE doomed(id) AS ({seed} UNION {level}) "
    with connection.cursor() as cursor:
        for relation in relations:
            if relation.remote_field.model is rows.model:
                continue
            type_column, id_column = columns(relation)
            cursor.execute(
                f"{doomed} DELETE FROM {quote(relation.remote_field.model._meta.db_table)} "
                f"WHERE {type_column} = {type_id} AND {id_column} IN "
                "(SELECT CAST(id AS text) FROM doomed)",
                params,
            )
        # SQLite counts the rows of a statement that begins with DELETE.
        cursor.execute(
            f"DELETE FROM {table} WHERE {pk} IN ({doomed} SELECT id FROM doomed)", params
        )
        return int(cursor.rowcount)
