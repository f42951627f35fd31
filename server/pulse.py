"""A process that makes no progress ends itself, for its supervisor to replace it."""

from __future__ import annotations

import faulthandler
import multiprocessing
import signal
from time import monotonic

from django.conf import settings

from . import threads

#: Seconds more, in which there is another beat, or a process that stops is gone.
GRACE = 5


async def beat() -> None:
    """The event loop lives: all is well, as long as no request takes STUCK_SECONDS.

    Else where each thread is goes to the log, and the process ends.
    """
    supervisor = multiprocessing.parent_process()
    if supervisor is not None and not supervisor.is_alive():
        signal.raise_signal(signal.SIGTERM)
    if not settings.STUCK_SECONDS:
        return
    began = threads.began()
    left = settings.STUCK_SECONDS - (monotonic() - began if began else 0)
    if left > 0:
        _end_in(left + GRACE)


def last() -> None:
    """There is no beat any more: what is still there some seconds after STOP_SECONDS is ended."""
    if multiprocessing.parent_process() is not None:
        _end_in(settings.STOP_SECONDS + GRACE)


def _end_in(seconds: float) -> None:
    # By a thread of its own that needs nothing of Python's.
    faulthandler.dump_traceback_later(seconds, exit=True)
