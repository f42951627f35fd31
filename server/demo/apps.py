"""The Django app; it says which models take part in streams."""

from django.apps import AppConfig


class DemoConfig(AppConfig):
    """Repositories, and what is in them."""

    name = "server.demo"
    label = "demo"

    def ready(self) -> None:
        from server.registry import register

        from .models import Comment, Commit, Issue, Release, Repository

        register(Repository, Issue, Comment, Commit, Release)
