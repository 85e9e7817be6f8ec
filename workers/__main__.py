"""`python -m workers`: supervise this host's partitions, as long as it runs.

`python -m workers policy`, `quarantine` and `resize` are commands for operators.
"""

from __future__ import annotations

import argparse
import sys

import psycopg
import structlog

import settings
from processes import parent, stop_signals
from processes.log import configure
from processes.metrics import directory, use_slot
from processes.titles import title
from workers import policy_command, quarantine_command, resize_command
from workers.growth import Growth, count_partitions

GRACE_SECONDS = 6.0
"""More than the workers' own, so that they are waited for when `make up` died."""


def main() -> int:
    """Carry out the command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="[policy | quarantine | resize]")
    policy_command.add_arguments(commands.add_parser("policy", help="show or change the policy"))
    quarantine_command.add_arguments(
        commands.add_parser("quarantine", help="list or replay what could not be decided")
    )
    resize_command.add_arguments(
        commands.add_parser("resize", help="show how many partitions are used, or use more")
    )
    arguments = parser.parse_args()
    try:
        config = settings.load()
        configure(config.log_level)
        if arguments.command == "policy":
            print(policy_command.run(config, arguments))
            return 0
        if arguments.command == "quarantine":
            print(quarantine_command.run(config, arguments))
            return 0
        if arguments.command == "resize":
            print(resize_command.run(config, arguments))
            return 0
        config.require_kafka()
        partitions = _partitions(config.require_database())
    except (
        settings.SettingsError,
        policy_command.PolicyCommandError,
        quarantine_command.QuarantineCommandError,
        resize_command.ResizeCommandError,
    ) as error:
        print(error, file=sys.stderr)
        return 2
    except psycopg.Error as error:
        print(f"DATABASE_URL: the database failed: {error}", file=sys.stderr)
        return 1
    title("workers")
    with directory():
        use_slot("supervisor")
        return _run(config, partitions)


def _run(config: settings.Settings, partitions: int) -> int:
    from workers.housekeeping import Housekeeper
    from workers.status import serve
    from workers.supervisor import Supervisor

    log = structlog.get_logger()
    supervisor = Supervisor(config, partitions)
    signals = stop_signals(supervisor.keeper)
    try:
        status = serve(
            config.workers_host,
            config.workers_port,
            lambda: (supervisor.ready, supervisor.not_ready()),
        )
    except OSError as error:
        print(
            f"CERROJO_WORKERS_PORT is {config.workers_port} and cannot be used: {error.strerror}. "
            "Set it to a free port.",
            file=sys.stderr,
        )
        return 2
    housekeeper = Housekeeper(config.require_database(), config.audit_retention_days)
    housekeeper.start()
    growth = Growth(config.require_database(), partitions)
    growth.start()
    parent().watch(GRACE_SECONDS)
    said_ready = False
    while not signals.asked:
        supervisor.use(growth.partitions)
        supervisor.step()
        parent().beat()
        if supervisor.ready and not said_ready:
            said_ready = True
            parent().ready()
            log.info("All workers are ready", partitions=list(supervisor.keeper.states))
    housekeeper.stop()
    growth.stop()
    supervisor.close()
    status.shutdown()
    return 0


def _partitions(database_url: str) -> int:
    try:
        with psycopg.connect(database_url, connect_timeout=5) as database:
            partitions = count_partitions(database)
    except psycopg.Error as error:
        raise settings.SettingsError(
            f"DATABASE_URL: the database cannot be used: {str(error).strip()}. "
            "`python -m sql` and `python -m events` prepare it."
        ) from None
    if partitions is None:
        raise settings.SettingsError(
            "The number of partitions is not settled yet; `python -m events` does it."
        )
    return partitions


if __name__ == "__main__":
    sys.exit(main())
