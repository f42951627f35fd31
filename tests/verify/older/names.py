"""``python -m tests.verify.older.names FILE``: what the package offers, by kind, as JSON."""

from __future__ import annotations

import inspect
import json
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import django

django.setup()

import actstream  # noqa: E402
from actstream import models, settings  # noqa: E402
from actstream.drf import urls as drf  # noqa: E402
from actstream.managers import ActionManager, FollowManager  # noqa: E402
from actstream.templatetags.activity_tags import register  # noqa: E402
from actstream.urls import urlpatterns  # noqa: E402

HERE = Path(actstream.__file__).parent
MODULES = ("actions", "registry", "streams", "signals", "views", "feeds", "follows", "gfk")


def of_module(name: str) -> list[str]:
    """Functions, classes and other objects that a module has of its own."""
    module = import_module(f"actstream.{name}")
    source = inspect.getsource(module)
    own = re.findall(r"^(?:def|class) ([A-Za-z]\w*)|^([a-z]\w*) = ", source, re.MULTILINE)
    return [f"{name}.{one or other}" for one, other in own]


def of_class(cls: type, prefix: str = "") -> list[str]:
    """Public attributes in a class's own body."""
    return [f"{prefix or cls.__name__}.{name}" for name in vars(cls) if name[0] != "_"]


def of_model(model: Any) -> list[str]:
    fields = [*model._meta.local_fields, *model._meta.private_fields]
    methods = {n for n, v in vars(model).items() if inspect.isfunction(v) and n[0] != "_"}
    methods -= {n for n in methods if n.startswith(("get_next_", "get_previous_"))}
    return [f"{model.__name__}.{name}" for name in (*(f.name for f in fields), *sorted(methods))]


def streams() -> list[str]:
    source = inspect.getsource(models)
    return re.findall(r"^(\w+) = (?:Action|Follow)\.objects\.", source, re.MULTILINE)


def names() -> dict[str, list[str]]:
    source = (HERE / "settings.py").read_text()
    return {
        "Python": [
            *streams(),
            *(name for module in MODULES for name in of_module(module)),
            *of_class(ActionManager),
            *of_class(FollowManager),
        ],
        "models": [*of_model(models.Action), *of_model(models.Follow)],
        "settings": [
            *re.findall(r"SETTINGS\.get\('(\w+)', (?!\{)", source),
            "DRF",
            *(f"DRF.{name}" for name in settings.DRF_SETTINGS),
        ],
        "tags and filters": sorted({*register.tags, *register.filters}),
        "templates": sorted(f"actstream/{path.name}" for path in HERE.rglob("*.html")),
        "URLs": sorted({p.name for p in urlpatterns if getattr(p, "name", None)}),
        "REST": sorted(
            {
                p.name
                for p in drf.urlpatterns
                if p.name and p.name.startswith(("action-", "follow-"))
            }
        ),
    }


if __name__ == "__main__":
    Path(sys.argv[-1]).write_text(json.dumps(names()))
