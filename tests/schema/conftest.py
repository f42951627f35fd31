"""What the tests of the GraphQL side begin with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db.models import Model

from schema import catalog
from server import connections
from tests.schema.server import serving, until

Hide = Callable[..., None]


@pytest.fixture
def root(db: None) -> User:
    return User.objects.create(username="root", is_staff=True)


@pytest.fixture
def deputy(db: None) -> User:
    """Neither staff nor superuser, with every permission on actions."""
    user = User.objects.create(username="deputy")
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="activity"))
    return user


@pytest.fixture(scope="module")
def lasting() -> Iterator[str]:
    """The address of a server that serves all tests of a module: it takes long to stop."""
    with serving() as address:
        yield address


@pytest.fixture
def address(lasting: str, settings: Any) -> Iterator[str]:
    """That of a server to which nobody is connected."""
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    yield lasting
    until(lambda: not connections._open)


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch) -> Hide:
    """Hide one object by its type's rule, as a site's ``nodes.py`` would, from all but some."""

    def hidden(obj: Model, *, except_from: Any = None) -> None:
        exempt = except_from if isinstance(except_from, list) else [except_from]
        model = obj._meta.concrete_model
        assert model is not None

        def get_queryset(cls: Any, queryset: Any, info: Any) -> Any:
            if (viewer := info.context.viewer) is not None and viewer in exempt:
                return queryset
            return queryset.exclude(pk=obj.pk)

        declared = catalog.node_type(model)
        monkeypatch.setattr(declared, "get_queryset", classmethod(get_queryset))

    return hidden
