"""The demo's models in the admin."""

from django.contrib import admin

from .models import Comment, Commit, Issue, Release, Repository

admin.site.register([Repository, Issue, Comment, Commit, Release])
