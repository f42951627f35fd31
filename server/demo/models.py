"""Repositories, their issues and the comments on these; their commits and releases."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models
from django.utils.text import Truncator


class RepositoryQuerySet(models.QuerySet["Repository"]):
    """Repositories, by the words that chain."""

    def hidden_from(self, viewer: AbstractBaseUser | None) -> RepositoryQuerySet:
        """The private ones, but for those that a viewer owns or is a member of."""
        private = self.filter(private=True)
        if viewer is None:
            return private
        return private.exclude(owner=viewer.pk).exclude(members=viewer.pk)


class Repository(models.Model):
    """Where people work on something together."""

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="owned_repositories"
    )
    members = models.ManyToManyField(
        settings.AUTH_USER_MODEL, related_name="repositories", blank=True
    )
    name = models.SlugField()
    description = models.CharField(max_length=200, blank=True)
    private = models.BooleanField(default=False)
    history = models.CharField(
        max_length=64,
        blank=True,
        default="",
        editable=False,
        help_text="The first commit of the git history that it was loaded from.",
    )

    objects = RepositoryQuerySet.as_manager()

    class Meta:
        ordering = ("name", "pk")
        verbose_name_plural = "repositories"
        constraints = (
            models.UniqueConstraint(fields=["owner", "name"], name="demo_repository_once"),
        )

    def __str__(self) -> str:
        return self.name


class Issue(models.Model):
    """Something to be done in a repository."""

    repository = models.ForeignKey(Repository, models.CASCADE, related_name="issues")
    number = models.PositiveIntegerField()
    title = models.CharField(max_length=200)
    closed = models.BooleanField(default=False)

    class Meta:
        ordering = ("repository", "number")
        constraints = (
            models.UniqueConstraint(fields=["repository", "number"], name="demo_issue_once"),
        )

    def __str__(self) -> str:
        return f"issue {self.number}"


class Comment(models.Model):
    """What somebody said on an issue."""

    issue = models.ForeignKey(Issue, models.CASCADE, related_name="comments")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="comments")
    text = models.TextField()

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return f"“{Truncator(self.text).chars(40)}”"


class Commit(models.Model):
    """A change in the history of a repository; several may have the same, as forks do."""

    repository = models.ForeignKey(
        Repository, models.CASCADE, related_name="commits", db_index=False
    )
    sha = models.CharField(max_length=64)
    subject = models.TextField(blank=True)

    class Meta:
        ordering = ("pk",)
        constraints = (
            models.UniqueConstraint(fields=["repository", "sha"], name="demo_commit_once"),
        )

    def __str__(self) -> str:
        return f"“{Truncator(self.subject).chars(60)}”" if self.subject else self.sha[:7]


class Release(models.Model):
    """A state of a repository that was given a name: a tag."""

    repository = models.ForeignKey(
        Repository, models.CASCADE, related_name="releases", db_index=False
    )
    name = models.CharField(max_length=255)

    class Meta:
        ordering = ("pk",)
        constraints = (
            models.UniqueConstraint(fields=["repository", "name"], name="demo_release_once"),
        )

    def __str__(self) -> str:
        return self.name


class Author(models.Model):
    """A name in git histories, and the user who stands for it: nobody who was here before."""

    name = models.CharField(max_length=150, unique=True, blank=True)
    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="author")

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name
