"""A real Kafka and a real Postgres for the whole test session, or for each of its workers."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from local import kafka_options, ports
from local.servers import Servers
from sql.migrate import migrate
from sql.topology import settle_partitions
from tests.kafka import new_topics
from tests.postgres import drop_database

PROJECT = Path(__file__).parents[1]

LONG = ("test_up.py", "test_chaos.py")
"""On servers of their own, and begun first, so that nobody waits for them at the end. Others of
the acceptance tests must stay last: their systems live on, on the session's Kafka."""

SAID = "said"


def pytest_configure() -> None:
    """No worker takes a port that another one has chosen and does not use yet.

    And no Kafka compiles well what it does for some minutes only: that is a third of its start.
    """
    kafka_options.ALONE = (*kafka_options.ALONE, "-XX:TieredStopAtLevel=1")
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is not None:
        workers = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
        ports.CHOICE = ports.CHOICE[int(worker.removeprefix("gw")) :: workers]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long ones first."""
    items.sort(key=lambda item: item.path.name not in LONG)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests have found out, and not only that it is right."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name == SAID:
                terminalreporter.write_line(value)


@pytest.fixture(scope="session")
def cache_dir() -> Path:
    """Where downloads are kept from one test run to the next."""
    return PROJECT / ".cerrojo" / "cache"


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Iterator[Servers]:
    """One Kafka and one Postgres; do not stop or freeze them, others use them too."""
    with Servers(tmp_path_factory.mktemp("servers"), cache_dir) as started:
        yield started


@pytest.fixture(scope="session")
def kafka(servers: Servers) -> str:
    """The session's Kafka, as `host:port`. Name topics after the test: it has no others."""
    return servers.kafka_bootstrap_servers


@pytest.fixture
def database_url(servers: Servers) -> Iterator[str]:
    """An empty database of this test's own, dropped afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        yield servers.url(name)
        drop_database(connection, name)


@pytest.fixture
def topics(kafka: str) -> str:
    """Kafka with the topics as `python -m events` makes them, new and empty; four partitions."""
    new_topics(kafka, 4)
    return kafka


@pytest.fixture
def database(database_url: str) -> str:
    """A database as `python -m sql` and `python -m events` leave it."""
    migrate(database_url)
    with psycopg.connect(database_url) as connection:
        settle_partitions(connection, 4)
    return database_url
