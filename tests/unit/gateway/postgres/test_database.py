"""Which of Postgres' errors are outages."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import psycopg
import psycopg_pool
import pytest

from gateway.errors import LateAnswerError, UnavailableError
from gateway.postgres.database import Database, Query
from settings import Settings

SETTINGS = Settings(database_url="postgresql://nobody@127.0.0.1:9/nothing")

MISTAKES = ("ProgrammingError", "NotSupportedError", "DataError", "IntegrityError")
OUTAGES = [
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.IdleInTransactionSessionTimeout,
    psycopg.errors.InFailedSqlTransaction,
    psycopg.errors.DataCorrupted,
    psycopg.errors.AdminShutdown,
    psycopg.errors.DiskFull,
    psycopg.errors.QueryCanceled,
    psycopg.errors.SerializationFailure,
    psycopg.errors.UndefinedTable,
    psycopg.errors.InsufficientPrivilege,
    psycopg.DatabaseError,  # of a code that nobody knows
    psycopg.InterfaceError,
    psycopg_pool.PoolTimeout,
    psycopg_pool.PoolClosed,
]


class Failing(Database):
    """Every query fails."""

    def __init__(self, error: Exception) -> None:
        super().__init__(SETTINGS)
        self._error = error

    async def _run(self, query: Query[Any]) -> Any:
        raise self._error


def outcome(error: type[Exception]) -> type[Exception] | None:
    """The error that the caller gets to see."""

    async def nothing(connection: psycopg.AsyncConnection) -> None:
        """No query."""

    async def scenario() -> type[Exception] | None:
        try:
            await Failing(error("it failed")).run(nothing, 1.0)
        except Exception as raised:
            return type(raised)
        return None

    return asyncio.run(scenario())


@pytest.mark.parametrize("error", OUTAGES, ids=lambda error: error.__name__)
def test_these_are_outages(error: type[Exception]) -> None:
    """A client gets 503 and comes again."""
    late = error is psycopg.errors.QueryCanceled
    assert outcome(error) is (LateAnswerError if late else UnavailableError)


def test_every_other_error_is_a_mistake_of_a_query_or_an_outage() -> None:
    """Of all that psycopg knows."""
    known = [
        kind
        for _, kind in inspect.getmembers(psycopg.errors, inspect.isclass)
        if issubclass(kind, psycopg.Error) and kind not in OUTAGES
    ]
    assert len(known) > 200
    for kind in known:
        mistake = any(parent.__name__ in MISTAKES for parent in kind.__mro__)
        assert outcome(kind) is (kind if mistake else UnavailableError), kind


def test_an_error_of_our_own_is_not_changed() -> None:
    """As of a query that finds a name taken."""
    assert outcome(ZeroDivisionError) is ZeroDivisionError
