"""Where everything is."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path, re_path
from django.views.generic import RedirectView

from server.logins import throttled

from .views import FeedView, GraphQLView, live

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="graphql")),
    path("graphql", GraphQLView.as_view(), name="graphql"),
    path("live", live, name="live"),
    re_path(
        r"^feeds/(?P<stream>\w+)/(?P<reference>.+)\.(?P<form>atom|json)$",
        FeedView.as_view(),
        name="feed",
    ),
    path("login", throttled(LoginView.as_view()), name="login"),
    path("logout", LogoutView.as_view(), name="logout"),
    path("admin/login/", throttled(admin.site.login)),  # in the place of the admin's own
    path("admin/", admin.site.urls),
]
handler500 = "schema.views.failed"
