"""Decisions of all accounts by time, a bounded part of the audit at once.

The audit has an index by account and time, and one of what operators did. By time alone it has only
a coarse one (BRIN), by which a short slice of time costs little, however much there is before and
after it; anything finer would cost the workers something with each decision. So decisions of all
accounts come from slices: the first one is short, and each is longer than the one before it, until
there are enough rows or the time is over.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from gateway.errors import LateAnswerError, UnavailableError
from gateway.postgres.database import Queries
from gateway.postgres.operator_queries import (
    DecisionPlace,
    DecisionRow,
    WantedDecisions,
    select_decision_rows,
)

SLICE_MS = 1_000
"""The first slice: of the busiest log some ten thousand rows."""

GROWTH = 4
"""By how much a slice is longer than one that had too little."""

BEGUN_WITHIN = 0.2
"""The part of the time after which no further slice begins: it may take as long as all before it,
times GROWTH."""

CHUNK = 5_000
"""Rows that are in memory at once, of a list of any length."""

_BEFORE_ALL = (-1, -1, -1)


async def newest_first(
    database: Queries,
    wanted: WantedDecisions,
    after: DecisionPlace | None,
    limit: int,
    seconds: float,
    now_ms: int,
) -> tuple[list[DecisionRow], DecisionPlace | None]:
    """So many decisions, and where to go on; None: there are no more.

    Within this time. A page that takes longer ends early: it may be short, or even empty, and yet
    not the last one. Raises UnavailableError where there is nothing to show for it.
    """
    began = time.monotonic()
    rows: list[DecisionRow] = []
    end = start = wanted.to_ms if after is None else min(wanted.to_ms, after[0] + 1)
    length = end - wanted.from_ms if wanted.by_index else SLICE_MS
    begin = end
    while begin > wanted.from_ms:
        # The log's clock may be ahead: what lies in the future is little.
        begin = max(wanted.from_ms, min(end, now_ms) - length)
        slice_, left = wanted._replace(from_ms=begin, to_ms=end), limit + 1 - len(rows)
        try:
            rows += await database.run(
                lambda c, s=slice_, n=left: select_decision_rows(c, s, after, n),  # type: ignore[misc]
                began + seconds - time.monotonic(),
            )
        except LateAnswerError as error:
            if end < start:
                return rows, (end, *_BEFORE_ALL)
            raise UnavailableError(
                "Postgres could not look through this in time. Give a shorter time by `from` and "
                "`to`, or one account by `user`; or try again later"
            ) from error
        if len(rows) > limit:
            return rows[:limit], rows[limit - 1].place
        if time.monotonic() - began > BEGUN_WITHIN * seconds and begin > wanted.from_ms:
            return rows, (begin, *_BEFORE_ALL)
        end, length = begin, length * GROWTH
    return rows, None


async def oldest_first(
    database: Queries, wanted: WantedDecisions, seconds: float
) -> AsyncIterator[list[DecisionRow]]:
    """All of these decisions, some at a time. Raises UnavailableError.

    Each query may take so many seconds. Between two of them nothing is held: no connection, and no
    transaction, which would keep Postgres from cleaning up.
    """
    begin, length = wanted.from_ms, SLICE_MS
    after: DecisionPlace | None = None
    while begin < wanted.to_ms:
        end = min(wanted.to_ms, begin + length)
        slice_ = wanted._replace(from_ms=begin, to_ms=end)
        rows = await database.run(
            lambda c, s=slice_, a=after: select_decision_rows(c, s, a, CHUNK, oldest_first=True),  # type: ignore[misc]
            seconds,
        )
        if rows:
            yield rows
        if len(rows) == CHUNK:
            after = rows[-1].place
            begin, length = after[0], max(1, length // 2)
        else:
            begin, after = end, None
            if len(rows) < CHUNK // GROWTH:
                length *= GROWTH
