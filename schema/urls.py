"""Where everything is."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path
from django.views.generic import RedirectView

from .views import GraphQLView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="graphql")),
    path("graphql", GraphQLView.as_view(), name="graphql"),
    path("login", LoginView.as_view(), name="login"),
    path("logout", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
]
