"""A database that is away: it cannot be reached, or takes nothing, for reasons of its own."""

from __future__ import annotations

import sqlite3

import psycopg
from django.db import Error

#: The beginnings of PostgreSQL's SQLSTATEs that say so: no connection, no room, read-only, another
#: was first, a lock that others keep, shut down, its disk is broken. 57014 is a time limit's.
STATES = ("08", "53", "25006", "40", "55P03", "57P", "58030")
#: The same of SQLite, as primary result codes.
CODES = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}


def is_outage(error: BaseException) -> bool:
    """Whether an error says that the database is away: what was asked may be asked again."""
    cause = error.__cause__ if isinstance(error, Error) else error
    if isinstance(cause, psycopg.Error):
        if cause.sqlstate is not None:
            return cause.sqlstate.startswith(STATES)
        return isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
    code = getattr(cause, "sqlite_errorcode", None)  # of an extended code, the last byte
    return code is not None and code & 0xFF in CODES
