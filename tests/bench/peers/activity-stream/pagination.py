"""Pages by a cursor, newest first."""

from rest_framework.pagination import (  # type: ignore[import-not-found,unused-ignore]
    CursorPagination,
)


class NewestFirst(CursorPagination):  # type: ignore[misc,unused-ignore]  # not typed
    page_size = 20
    ordering = ("-timestamp", "-id")
