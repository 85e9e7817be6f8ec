"""`python -m workers`: supervise the workers of this host's partitions until SIGTERM."""

from __future__ import annotations

import argparse
import errno
import signal
import sys
import time

import psycopg
import structlog
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn, Ping

import settings
from events.clients import check_options
from events.signing_keys import check_key_files
from processes import manager_link, stop_signals
from processes.logs import configure, say_why_it_ends
from processes.metrics import directory, use_slot
from processes.start_gate import await_start_gate
from processes.titles import title
from sql.connection import PoolerError, connection_options, require_session
from version import COMMIT, VERSION, describe
from workers.supervisor.topology_poller import TopologyPoller, count_partitions

logger = structlog.get_logger()

GRACE_SECONDS = 6.0
"""Longer than the workers' own grace, so that they can finish when `make up` has died."""

RETRY_SECONDS = 1.0
"""Between two tries to reach Postgres at the start."""

FULL = ("too many", "slots are reserved", "no more connections", "server_login_retry")
"""In what Postgres and PgBouncer say where they answer, and nobody gets in just now.

The client library shows no code of a refused connection. So a Postgres that speaks another language
is not known to be full, and the program ends.
"""


def main() -> int:
    """Run them; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    parser.add_argument("--version", action="version", version=describe())
    parser.parse_args()
    try:
        config = settings.load()
        configure(config.log_level, config.log_format)
        check_options(config)
        check_key_files(config, "workers")
        database_url = config.require_database()
        title("workers")
        with directory():
            use_slot("supervisor")
            return _run(config, database_url)
    except settings.SettingsError as error:
        say_why_it_ends(str(error))
        return 2


def _run(config: settings.Settings, database_url: str) -> int:
    from workers import metrics
    from workers.supervisor.retention import RetentionThread
    from workers.supervisor.status import serve
    from workers.supervisor.supervisor import Supervisor

    await_start_gate()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))  # it may wait for Postgres
    manager_link().watch(GRACE_SECONDS)
    partitions = _partitions(database_url)
    metrics.BUILD_INFO.labels(VERSION, COMMIT).set(1)
    supervisor = Supervisor(config, partitions)
    signals = stop_signals(supervisor.manager)
    try:
        status = serve(
            config.workers_host,
            config.workers_port,
            lambda: (supervisor.ready, supervisor.not_ready()),
            config.host_names,
        )
    except OSError as error:
        say_why_it_ends(_cannot_listen(error, config.workers_host, config.workers_port))
        return 2
    supervisor.start_standbys()
    retention = RetentionThread(database_url, config.audit_retention_days)
    retention.start()
    topology = TopologyPoller(database_url, partitions)
    topology.start()
    reported_ready = False
    while not signals.asked:
        supervisor.use(topology.partitions)
        supervisor.step()
        manager_link().beat()
        if supervisor.ready and not reported_ready:
            reported_ready = True
            manager_link().ready()
            logger.info("All workers are ready", partitions=list(supervisor.manager.states))
    retention.stop()
    topology.leave()
    supervisor.close(lambda: topology.other_hosts)
    topology.stop()
    status.shutdown()
    return 0


def _cannot_listen(error: OSError, host: str, port: int) -> str:
    if error.errno in (errno.EADDRINUSE, errno.EACCES):
        return (
            f"CERROJO_WORKERS_PORT is {port} and cannot be used: {error.strerror}. "
            "Set it to a free port."
        )
    return (
        f"CERROJO_WORKERS_HOST is {host!r}, which cannot be listened on: {error.strerror}. "
        "Set it to an address of this machine, as 127.0.0.1."
    )


def _partitions(database_url: str) -> int:
    """The number of partitions; waits while Postgres is away. Raises SettingsError."""
    said = answers = False
    while True:
        try:
            with psycopg.connect(database_url, **connection_options("workers")) as database:
                require_session(database, database_url)
                partitions = count_partitions(database)
            break
        except psycopg.Error as error:
            away = isinstance(error, psycopg.OperationalError) and not isinstance(
                error, PoolerError
            )
            full = any(text in str(error) for text in FULL)
            answered, answers = answers, not full and _answers(database_url)
            if not away or (answered and answers):  # refused twice: it did not just come back
                raise settings.SettingsError(
                    f"DATABASE_URL: the database cannot be used: {str(error).strip()}. "
                    "`python -m sql` and `python -m events` prepare it."
                ) from None
            if not answers:
                if not said:
                    logger.warning("The workers wait for Postgres", error=str(error).strip())
                said = True
                time.sleep(RETRY_SECONDS)
    if partitions is None:
        raise settings.SettingsError(
            "The number of partitions is not set yet. Run `python -m events`, which sets it."
        )
    return partitions


def _answers(database_url: str) -> bool:
    """Whether Postgres is there, and neither starts nor ends, whomever it lets in."""
    conninfo = make_conninfo(database_url, **connection_options("workers"))
    return PGconn.ping(conninfo.encode()) in (Ping.OK, Ping.NO_ATTEMPT)


if __name__ == "__main__":
    sys.exit(main())
