"""A real Kafka and a real Postgres for the whole test session, or for each of its workers."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import hypothesis
import psycopg
import pytest

from local import tcp_ports
from local.servers import Servers
from processes.lean_imports import without
from settings import variable
from sql.migrate import migrate
from sql.topology import settle_partitions
from tests.harness import small_disk
from tests.kafka import new_topics
from tests.paths import PROJECT
from tests.postgres import EMPTY, create_database, temporary_database

# It builds a parser of IRIs when it is imported: three seconds of each worker, for a format that no
# schema here has.
with without({"rfc3987_syntax": None}):
    import jsonschema  # noqa: F401

FIRST = "test_up.py"
"""It fetches a Kafka that is not there yet, and lets it remember its start: half a minute."""

LONG = (
    "test_up_rights.py",
    "test_chaos.py",
    "test_dependencies.py",
    "test_network.py",
)
"""On servers of their own, and begun first, so that nobody waits for them at the end."""

LATE = ("test_accounts.py", "test_registration.py", "test_verdicts.py")
"""Acceptance tests that share a system, and in the end start one of their own."""

LAST = (
    *("test_five.py", "test_stuck.py", "test_policy_in_force.py"),
    *("test_overload.py", "test_client_gone.py", "test_console_crowd.py"),
)
"""Those that only start systems of their own. Each ends the shared one, which is started again for
the next test that wants it."""

SAID = "said"

# How long an example takes says something about the machine only. The same code has the same
# examples: what fails once fails again, and `make fuzz` looks further.
hypothesis.settings.register_profile("cerrojo", deadline=None, derandomize=True)
hypothesis.settings.load_profile("cerrojo")


def pytest_configure() -> None:
    """No test takes a port that another one, or a program under test, chose and does not use yet.

    Ctrl-C reaches what the tests start, though a shell ignores it for its background jobs. What a
    killed run has mounted is unmounted.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        small_disk.unmount_left_over()
    number = int((worker or "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    tcp_ports.CHOICE = range(26_000, 32_000)[number::workers]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """As few systems as can be, and nothing long at the end.

    All acceptance tests but the long ones come last: their systems live on, on the session's Kafka.
    The simulation, which needs no Kafka, comes while the first one fetches it.
    """
    order = (FIRST, "simulation", *LONG, "any other", *LATE, *LAST)
    items.sort(key=lambda item: order.index(_place(item)))


def _place(item: pytest.Item) -> str:
    name, folder = item.path.name, item.path.parent.name
    if folder == "acceptance" and name in (FIRST, *LONG, *LATE, *LAST):
        return name
    return folder if folder == "simulation" else "any other"


def pytest_collection_finish() -> None:
    """Look for garbage not among what stays for good: a tenth of the simulation's time.

    Each worker has some hundred thousand objects of modules by now.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Look for no garbage while a failure is told, for which the sources are parsed.

    A finalizer that says what went wrong parses, too, and Python 3.11 cannot do both at once: the
    session ended with "AST constructor recursion depth mismatch", and no failure was told at all.
    """
    if call.excinfo is None:
        return (yield)
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the findings of tests, and not only that they pass."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name == SAID:
                terminalreporter.write_line(value)


@pytest.fixture(scope="session")
def cache_dir() -> Path:
    """Where downloads are kept from one test run to the next.

    From then on no Kafka compiles well what it does for some minutes only, which is a third of its
    start.
    """
    os.environ[variable("kafka_java_options")] = "-XX:TieredStopAtLevel=1"
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


@pytest.fixture(scope="session")
def migrated(servers: Servers) -> str:
    """The name of a database as `python -m sql` and `python -m events` leave it, to be copied.

    That takes a tenth of the time of the migrations.
    """
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        create_database(connection, "migrated")
    migrate(servers.url("migrated"))
    with psycopg.connect(servers.url("migrated")) as connection:
        settle_partitions(connection, 4)
    return "migrated"


@pytest.fixture
def database_url(servers: Servers) -> Iterator[str]:
    """An empty database of this test's own, dropped afterwards."""
    with temporary_database(servers, EMPTY) as url:
        yield url


@pytest.fixture
def topics(kafka: str) -> str:
    """Kafka with the topics as `python -m events` makes them, new and empty; four partitions."""
    new_topics(kafka, 4)
    return kafka


@pytest.fixture
def database(servers: Servers, migrated: str) -> Iterator[str]:
    """A database of this test's own as `python -m sql` and `python -m events` leave it."""
    with temporary_database(servers, migrated) as url:
        yield url
