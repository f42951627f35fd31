"""A site that leaves the feeds out."""

from django.urls import path

from schema.views import GraphQLView

urlpatterns = [path("graphql", GraphQLView.as_view(), name="graphql")]
