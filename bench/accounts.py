"""Accounts to log in to, without a hash for each of so many."""

from __future__ import annotations

import psycopg
from argon2 import PasswordHasher

from bench.client import PASSWORD
from settings import Settings

REAL = "real-"
"""Names of accounts whose hash costs what the settings say by default; a number follows."""
CHEAP = "cheap-"
"""Names of accounts with argon2's cheapest hash: a hash has its own parameters."""
COUNT = 20_000


def make(database_url: str) -> None:
    """Those of both kinds."""
    insert(database_url, REAL, COUNT, real_hash())
    insert(database_url, CHEAP, COUNT, cheap_hash())


def insert(database_url: str, names: str, count: int, password_hash: str) -> None:
    """Accounts with these names and numbers from 1 on."""
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO accounts (username, password_hash)"
            " SELECT %s || n, %s FROM generate_series(1, %s) AS n",
            (names, password_hash, count),
        )


def real_hash() -> str:
    """As the gateway makes it."""
    default = Settings()
    return PasswordHasher(
        time_cost=default.argon2_time_cost,
        memory_cost=default.argon2_memory_kib,
        parallelism=default.argon2_parallelism,
    ).hash(PASSWORD)


def cheap_hash() -> str:
    """As cheap as argon2 allows."""
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
