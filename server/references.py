"""How a row names an object of any registered model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from . import objects, registry

#: The roles that an object can have in an action.
ROLES = ("actor", "target", "action_object")


class ObjectIdField(models.CharField):  # type: ignore[type-arg]
    """A primary key of any type (int, UUID, slug) as text of at most 255 characters.

    Compared byte by byte: on PostgreSQL with the collation "C", whose index is within a tenth of
    a bigint's and serves equality under every locale. SQLite compares so anyway, and has no
    collation of that name, so the field names it on PostgreSQL alone.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"max_length": registry.KEY_LENGTH, **kwargs})

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        parameters = super().db_parameters(connection)
        if connection.vendor == "postgresql":
            parameters["collation"] = "C"
        return parameters


class Role(GenericForeignKey):
    """A generic foreign key to what is registered.

    An instance of a proxy or of a multi-table child is stored as the model that takes part, and
    comes out as that model; an object that no longer exists, or whose key does not fit its model,
    comes out as None.
    """

    def get_content_type(
        self,
        obj: models.Model | None = None,
        id: int | None = None,  # Django's name for the parameter
        using: str | None = None,
        model: type[models.Model] | None = None,
    ) -> ContentType:
        if obj is not None:
            found = registry.lookup(obj.__class__) or obj.__class__
            return registry.content_type(found, using or obj._state.db)
        return super().get_content_type(id=id, using=using, model=model)

    if TYPE_CHECKING:

        def __get__(self, instance: Any, owner: Any = None) -> Any: ...

    def contribute_to_class(
        self, cls: type[models.Model], name: str, private_only: bool = True, **kwargs: Any
    ) -> None:
        super().contribute_to_class(cls, name, **kwargs)
        setattr(cls, name, RoleAttribute(self, vars(cls)[name]))


class RoleAttribute:
    """The attribute of a row that is the object it names.

    Over Django's own, which until 6.0 is the field itself.
    """

    def __init__(self, field: Role, django: Any) -> None:
        self.field = field
        self.django = django

    def __getattr__(self, name: str) -> Any:
        return getattr(self.django, name)  # what prefetch_related() asks for

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        field, using = self.field, instance._state.db
        cached = field.get_cached_value(instance, default=None)
        # Django compares primary keys; a multi-table child's may be another than the one stored.
        if not field.is_cached(instance) or (
            cached is not None
            and registry.reference(cached, using) != objects.refers(instance, field)
        ):
            objects.attach([instance], [field.name], using=using)
        return field.get_cached_value(instance)

    def __set__(self, instance: Any, value: models.Model | None) -> None:
        self.django.__set__(instance, value)
        if value is not None and (named := registry.reference(value, value._state.db)):
            setattr(instance, self.field.fk_field, named[1])
