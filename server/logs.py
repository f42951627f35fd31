"""How the log is written, and which request and operation each of its records is about."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import orjson

from . import tallies, traces

#: What a record has by itself; and of others, Django's request, whose text has the variables of a
#: GET, and uvicorn's colours.
LEFT_OUT = {*vars(logging.makeLogRecord({})), "message", "asctime", "about"}
LEFT_OUT |= {"request", "color_message"}


class Ids(logging.Filter):
    """Give a record the ids of the request and the operation that it was made for, if any."""

    def filter(self, record: logging.LogRecord) -> bool:
        tally = tallies.current()
        if tally is not None:
            record.request_id = tally.request
            if tally.operation:
                record.operation_id = tally.operation
        record.__dict__.update(traces.ids())
        return True


class Line(logging.Formatter):
    """Text for people, with the id of the request."""

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname} {name}: {about}{message}", style="{")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        request = getattr(record, "request_id", "")
        record.about = f"[{request}] " if request else ""
        return super().formatMessage(record)


class Json(logging.Formatter):
    """An object in each line, for machines: what is said besides the message as it is."""

    def format(self, record: logging.LogRecord) -> str:
        more = {name: it for name, it in record.__dict__.items() if name not in LEFT_OUT}
        said = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **more,
        }
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(said, str, orjson.OPT_NON_STR_KEYS).decode()
