"""A running system for the tests, one at a time."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import psycopg
import pytest

from local.servers import Servers
from tests.acceptance.browsing import visit
from tests.acceptance.make_up import Up
from tests.acceptance.system import CHEAPEST, PARTITIONS, RunningSystem
from tests.kafka import new_topics
from tests.postgres import create_database, drop_database

__all__ = ["start_system", "system", "up", "visit"]


class StartSystem(Protocol):
    """Starts a system with these settings; a shared one is handed out again while it runs."""

    def __call__(
        self,
        env: Mapping[str, str],
        *,
        shared: bool = False,
        workers: str = "workers",
        partitions: int = PARTITIONS,
    ) -> RunningSystem: ...


@pytest.fixture(scope="session")
def start_system(
    servers: Servers, migrated: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartSystem]:
    """Starts a system with these settings on topics and a database of its own, one at a time."""
    running: list[RunningSystem] = []
    databases: list[str] = []
    shared_env: Mapping[str, str] | None = None

    def start(
        env: Mapping[str, str],
        *,
        shared: bool = False,
        workers: str = "workers",
        partitions: int = PARTITIONS,
    ) -> RunningSystem:
        nonlocal shared_env
        if running and shared and shared_env == env:
            return running[0]
        shared_env = env if shared else None
        while running:
            running.pop().stop()
        name = f"system_{secrets.token_hex(6)}"
        with psycopg.connect(servers.database_url, autocommit=True) as connection:
            create_database(connection, name, migrated)
        databases.append(name)
        with psycopg.connect(servers.url(name)) as connection:
            connection.execute("UPDATE topology SET partitions = %s", (partitions,))
        new_topics(servers.kafka_bootstrap_servers, partitions)
        system = RunningSystem(
            servers.kafka_bootstrap_servers,
            servers.url(name),
            tmp_path_factory.mktemp("system"),
            env,
            workers,
            partitions=partitions,
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


@pytest.fixture
def up(tmp_path: Path, cache_dir: Path) -> Iterator[Up]:
    """A system that is not started yet."""
    system = Up(tmp_path / "data", cache_dir)
    yield system
    system.close()
