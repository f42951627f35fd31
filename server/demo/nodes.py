"""The demo's models in GraphQL, and who may see which of their objects."""

from __future__ import annotations

from typing import Any

import strawberry_django
from django.db.models import QuerySet
from strawberry import auto

from schema.nodes import node

from . import models


@node(models.Repository, description="Where people work on something together.")
class Repository:
    name: auto = strawberry_django.field(description="Its name; each owner has it once.")
    description: auto = strawberry_django.field(description="What it is about, in a sentence.")
    private: auto = strawberry_django.field(
        description="Whether its owner and members alone may see it."
    )
    owner: auto = strawberry_django.field(description="Whose it is.")

    @classmethod
    def get_queryset(cls, queryset: QuerySet[Any], info: Any) -> QuerySet[Any]:
        return queryset.exclude(pk__in=hidden_from(info))


@node(models.Issue, description="Something to be done in a repository.")
class Issue:
    repository: auto = strawberry_django.field(description="Where it is to be done.")
    number: auto = strawberry_django.field(description="Counts a repository's issues from 1.")
    title: auto = strawberry_django.field(description="What is to be done.")
    closed: auto = strawberry_django.field(description="Whether it is done.")

    @staticmethod
    def display_name(issue: models.Issue) -> str:
        return f"#{issue.number} {issue.title}"

    @classmethod
    def get_queryset(cls, queryset: QuerySet[Any], info: Any) -> QuerySet[Any]:
        return queryset.exclude(repository__in=hidden_from(info))


@node(models.Comment, description="What somebody said on an issue.")
class Comment:
    issue: auto = strawberry_django.field(description="What it was said on.")
    author: auto = strawberry_django.field(description="Who said it.")
    text: auto = strawberry_django.field(description="What was said, as plain text.")

    @classmethod
    def get_queryset(cls, queryset: QuerySet[Any], info: Any) -> QuerySet[Any]:
        return queryset.exclude(issue__repository__in=hidden_from(info))


@node(models.Commit, description="A change in the history of a repository.")
class Commit:
    repository: auto = strawberry_django.field(description="Whose history it is in.")
    sha: auto = strawberry_django.field(description="Its name in git, whole.")
    subject: auto = strawberry_django.field(description="What was changed, in a line.")

    @staticmethod
    def display_name(commit: models.Commit) -> str:
        return f"{commit.sha[:7]} {commit.subject}".strip()

    @classmethod
    def get_queryset(cls, queryset: QuerySet[Any], info: Any) -> QuerySet[Any]:
        return queryset.exclude(repository__in=hidden_from(info))


@node(models.Release, description="A state of a repository that was given a name.")
class Release:
    repository: auto = strawberry_django.field(description="What was released.")
    name: auto = strawberry_django.field(description="Its name: a tag in git.")

    @classmethod
    def get_queryset(cls, queryset: QuerySet[Any], info: Any) -> QuerySet[Any]:
        return queryset.exclude(repository__in=hidden_from(info))


def hidden_from(info: Any) -> QuerySet[models.Repository]:
    """The repositories that the viewer may not see."""
    return models.Repository.objects.hidden_from(info.context.viewer)
