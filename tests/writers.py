"""Transactions that are open beside the test's own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction

from server.models import Action, send_many
from server.records import record


class Writer:
    """A transaction of its own, in a thread of its own, that is open as long as one likes."""

    def __init__(self) -> None:
        self._ended = False
        self._thread = ThreadPoolExecutor(1)
        self._atomic = transaction.atomic()
        self._do(self._atomic.__enter__)

    def record(self, actor: User, **given: Any) -> Action:
        stored: Action = self._do(lambda: record(actor, "posted", **given)[0])
        return stored

    def send_many(self, actor: User, number: int) -> list[Action]:
        items = [{"actor": actor, "verb": "posted"}] * number
        stored: list[Action] = self._do(lambda: [action for action, _ in send_many(items)])
        return stored

    def commit(self) -> None:
        self._end(None)

    def roll_back(self) -> None:
        self._end(RuntimeError())

    def _end(self, error: Exception | None) -> None:
        if self._ended:
            return
        self._ended = True
        self._do(lambda: self._atomic.__exit__(type(error) if error else None, error, None))
        self._do(lambda: connection.close())
        self._thread.shutdown()

    def _do(self, act: Any) -> Any:
        return self._thread.submit(act).result(timeout=20)


Writers = Callable[[], Writer]
