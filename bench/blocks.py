"""Accounts that are blocked, by the row: for what depends on how many there are."""

from __future__ import annotations

import psycopg

NAMES = "blocked-"
DAYS = 30


def insert(database_url: str, count: int) -> None:
    """Blocks of accounts with these names and numbers from 1 on, as a worker would keep them."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO lock_states (username, failures_ms, in_a_row, blocks, blocked_since_ms,"
            " blocked_until_ms, blocked_why, last_ms, partition, generation, log_offset)"
            " SELECT %s || n, '{}', 5, 1, now_ms, now_ms + %s::bigint * 86400000,"
            "        '5 wrong passwords within 900 s', now_ms, n %% 4, 1, n"
            "   FROM generate_series(1, %s) AS n,"
            "        (SELECT (extract(epoch FROM now()) * 1000)::bigint AS now_ms) AS clock"
            " ON CONFLICT DO NOTHING",
            (NAMES, DAYS, count),
        )
        connection.execute("VACUUM ANALYZE lock_states")
