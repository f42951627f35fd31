"""What can be said, and where: ``schema``, which is built when it is first asked for."""

from typing import Any


def __getattr__(name: str) -> Any:
    # Built late, because the types of a site import schema.nodes, and so this module, first.
    if name == "schema":
        from .build import schema

        return schema
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
