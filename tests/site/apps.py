"""The tests' site."""

from django.apps import AppConfig


class SiteConfig(AppConfig):
    """Projects, articles and pages: every kind of primary key."""

    name = "tests.site"
    label = "site"

    def ready(self) -> None:
        from server import registry

        registry.register("site.Project", "site.Article", "site.Page", "site.Venue")
