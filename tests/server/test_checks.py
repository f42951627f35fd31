"""What "manage.py check" says."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import checks as django_checks
from django.core.checks.registry import registry as registry_of_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db.models import Model
from django.test import override_settings

from server import apps, checks, registry
from server.streams import ActionManager, stream


def manager(path: Any) -> Any:
    return override_settings(ACTSTREAM_SETTINGS={"MANAGER": path})


@pytest.mark.django_db(databases=["default", "other"])  # a check may ask what they can do
def test_the_site_of_the_tests_is_in_order() -> None:
    assert django_checks.run_checks() == []
    call_command("check", stdout=StringIO(), fail_level="WARNING")


@pytest.fixture
def without_users() -> Iterator[None]:
    registry.unregister(User)
    yield
    registry.register(User)


def test_every_check_is_run_by_manage_py_check() -> None:
    assert set(checks.CHECKS) <= set(registry_of_checks.get_checks())


def test_an_unregistered_user_model_is_an_error(without_users: None) -> None:
    [error] = checks.user_model_takes_part(None)
    assert (error.id, error.msg) == (
        "activity.E001",
        "The user model auth.User takes no part in streams.",
    )
    assert isinstance(error, django_checks.Error)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("tests.site.nowhere.Manager", "cannot be imported"),
        ("tests.site.managers.Nothing", "cannot be imported"),
        ("nonsense", "cannot be imported"),
        (7, "cannot be imported"),
        ("tests.site.models.Project", "no subclass of server.streams.ActionManager"),
        ("tests.server.test_checks.NO_CLASS", "no subclass of server.streams.ActionManager"),
    ],
)
def test_a_manager_that_is_none_is_an_error_that_names_it(path: Any, why: str) -> None:
    with manager(path):
        [error] = checks.manager_is_usable(None)
        assert list(checks.stream_parameters_have_types(None)) == []
        with pytest.raises(ImproperlyConfigured, match=why):
            apps.manager_class()
    assert error.id == "activity.E002"
    assert f"{path!r}" in error.msg
    assert why in error.msg


NO_CLASS = 7


class Untyped(ActionManager):
    """A parameter of every kind."""

    @stream
    def untyped(  # type: ignore[no-untyped-def]
        self, obj: Model, what, typed: str, preset=3, *rest: str, **filters: str
    ) -> Any:
        return {"actor": obj}


def test_a_parameter_without_type_and_default_is_a_warning_that_names_it() -> None:
    with manager("tests.server.test_checks.Untyped"):
        [warning] = checks.stream_parameters_have_types(None)
    assert isinstance(warning, django_checks.Warning)
    assert warning.id == "activity.W001"
    assert "The parameter 'what' of the stream 'untyped'" in warning.msg


def test_a_user_name_that_is_the_e_mail_address_is_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(User, "USERNAME_FIELD", "email")
    [warning] = checks.email_is_no_name(None)
    assert warning.id == "activity.W003"
    assert "auth.User.USERNAME_FIELD is the e-mail address" in warning.msg
