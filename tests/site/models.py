"""What people do things to: one model for each kind of primary key and of inheritance."""

from __future__ import annotations

from uuid import uuid4

from django.db import models


class Project(models.Model):
    """Its primary key is an integer."""

    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class Fork(Project):
    """A multi-table child, not registered itself."""

    reason = models.CharField(max_length=100, default="")


class Mirror(Project):
    """A multi-table child whose primary key is its own, not the parent's."""

    project = models.OneToOneField(Project, models.CASCADE, parent_link=True)
    address = models.UUIDField(primary_key=True, default=uuid4)


class Finished(Project):
    """A proxy whose base is registered."""

    class Meta:
        proxy = True


class Article(models.Model):
    """Its primary key is a UUID."""

    id = models.UUIDField(primary_key=True, default=uuid4)
    title = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.title


class Page(models.Model):
    """Its primary key is text; an empty page is false."""

    slug = models.SlugField(primary_key=True, max_length=100)
    text = models.TextField(default="")

    def __str__(self) -> str:
        return self.slug

    def __len__(self) -> int:
        return len(self.text)


class Place(models.Model):
    """The base of a proxy that is registered in its stead."""

    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class Venue(Place):
    """A proxy that is registered, unlike its base."""

    class Meta:
        proxy = True

    def __str__(self) -> str:
        return f"{self.name} tonight"


class Diary(models.Model):
    """Never registered."""

    text = models.TextField(default="")

    def __str__(self) -> str:
        return self.text


class Dated(models.Model):
    """Abstract, so no model of which there are objects."""

    class Meta:
        abstract = True


class Clashing(models.Model):
    """An attribute of it is in the way of what register() adds."""

    actor_actions = models.IntegerField(default=0)

    def __str__(self) -> str:
        return str(self.actor_actions)
