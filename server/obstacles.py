"""What hinders a server from starting."""

from __future__ import annotations

from collections.abc import Iterator

import django
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor


def obstacles() -> Iterator[str]:
    """Each in a line: what "manage.py check" finds, and a database that is away or behind."""
    try:
        django.setup(set_prefix=False)
    except (ImproperlyConfigured, ImportError) as error:
        yield f"The site cannot be loaded: {error}"
        return
    if settings.WEB_CONCURRENCY < 1:
        yield f"WEB_CONCURRENCY is {settings.WEB_CONCURRENCY}; it is 1 or more."
    for found in checks.run_checks():
        if found.is_serious():
            yield " ".join(f"{found.msg} {found.hint or ''}".split())
    try:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except (DatabaseError, ImproperlyConfigured) as error:
        yield f"The database does not answer: {' '.join(str(error).split())}"
        return
    finally:
        connection.close()
    if plan:
        first, _ = plan[0]
        yield f'The database lacks {len(plan)} migrations, {first} first: run "manage.py migrate".'
