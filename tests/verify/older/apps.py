"""The models of the tests' site, as they take part here."""

from django.apps import AppConfig


class OlderSite(AppConfig):
    """One more takes part than at the site in Brook."""

    name = "tests.site"
    label = "site"

    def ready(self) -> None:
        from actstream import registry
        from django.contrib.auth.models import Group, User

        names = ("Project", "Article", "Page", "Diary")
        registry.register(User, Group, *map(self.get_model, names))
