"""The views of django-activity-stream, under /api/."""

from actstream import registry  # type: ignore[import-not-found,unused-ignore]
from django.contrib.auth.models import Group, User
from django.urls import include, path

# Before its views are imported: they look at what is registered.
registry.register(User, Group)

urlpatterns = [path("api/", include("actstream.drf.urls"))]
