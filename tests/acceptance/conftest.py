"""A running system for the tests, one at a time."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from typing import Protocol

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from local.servers import Servers
from sql.migrate import migrate
from sql.topology import settle_partitions
from tests.acceptance.system import CHEAPEST, RunningSystem
from tests.kafka import new_topics
from tests.postgres import drop_database


class StartSystem(Protocol):
    """Starts a system with these settings; one that is shared is handed out while it runs."""

    def __call__(
        self, env: Mapping[str, str], *, shared: bool = False, workers: str = "workers"
    ) -> RunningSystem: ...


@pytest.fixture(scope="session")
def start_system(
    servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartSystem]:
    """Starts a system with these settings on topics and a database of its own, one at a time."""
    running: list[RunningSystem] = []
    databases: list[str] = []
    is_shared = False

    def start(
        env: Mapping[str, str], *, shared: bool = False, workers: str = "workers"
    ) -> RunningSystem:
        nonlocal is_shared
        if running and shared and is_shared:
            return running[0]
        is_shared = shared
        while running:
            running.pop().stop()
        name = f"system_{secrets.token_hex(6)}"
        with psycopg.connect(servers.database_url, autocommit=True) as connection:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        databases.append(name)
        migrate(servers.url(name))
        with psycopg.connect(servers.url(name)) as connection:
            settle_partitions(connection, 4)
        new_topics(servers.kafka_bootstrap_servers, 4)
        system = RunningSystem(
            servers.kafka_bootstrap_servers,
            servers.url(name),
            tmp_path_factory.mktemp("system"),
            env,
            workers,
        )
        running.append(system)
        system.start()
        return system

    yield start
    while running:
        running.pop().stop()
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        for name in databases:
            drop_database(connection, name)


@pytest.fixture(scope="module")
def system(start_system: StartSystem) -> RunningSystem:
    """A system with the default policy and the cheapest hash, for several modules in a row."""
    return start_system(CHEAPEST, shared=True)
