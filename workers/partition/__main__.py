"""`python -m workers.partition N`: the process that owns partition N.

With `standby-1` instead of N it is a standby: it connects, then waits for a partition's number.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

import settings
from events.messages import Policy
from processes import gc_tuning, manager_link
from processes.logs import configure
from processes.metrics import use_slot
from processes.titles import title
from workers.partition.launch import FENCED, RECORD_NOT_TO_BLAME, STANDBY

if TYPE_CHECKING:
    from workers.partition.clients import Clients

REPORT_SECONDS = {True: 0.2, False: 1.0}
"""How often a worker reports its offset: if it has moved, and if not. Each report costs its host
a tenth of a millisecond; one that repeats the last is for a host that has cleared it."""

RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0)
"""Pauses before the next claim when Kafka or Postgres was away; the last one repeats."""

GRACE_SECONDS = 4.0
"""A worker whose supervisor died has this long to finish its batch."""

NO_PARTITION = -1
"""The partition of a standby until it gets one."""

logger = structlog.get_logger()


def main(name: str, *flags: str) -> int:
    """Own the partition of this number until SIGTERM; return the exit code.

    A standby, whose name is "standby-1" or so, gets everything ready and waits for a number
    first. The flag "excused" after the number says that no record killed the last owner (see
    `workers.partition.poison_records`).
    """
    standby = name.startswith(STANDBY)
    _become("worker " + (name.replace("-", " ") if standby else f"partition {name}"))
    with gc_tuning.paused():
        from workers.partition.clients import (
            Clients,  # these define metrics, which must know their slot
        )

    config = settings.load()
    configure(config.log_level, config.log_format)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        clients = Clients(config, NO_PARTITION if standby else int(name))
    except settings.SettingsError as error:  # the supervisor tries again: a file may yet change
        logger.error(str(error))
        return 2
    if standby:
        clients.warm()
        gc_tuning.settle()
        assignment = manager_link().listen()
        if assignment is None:
            return 0
        number, *flags_of_partition = assignment.split()
        flags = tuple(flags_of_partition)
        clients.take_partition(int(number))
        _become(f"worker partition {number}")
    else:
        gc_tuning.settle()
    clients.store.record_not_to_blame = RECORD_NOT_TO_BLAME in flags

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    manager_link().watch(GRACE_SECONDS)
    try:
        return _own(clients, config, stop)
    finally:
        clients.close()


def _own(clients: Clients, config: settings.Settings, stop: threading.Event) -> int:
    """Claim the partition and decide its records until `stop` is set or another owner fences it."""
    from events.clients import reason
    from workers.partition.clients import FAILURES
    from workers.partition.worker import FencedError, Worker

    # The start time tells it from an earlier process of the same pid: in every container the first
    # process has the same one.
    started = datetime.now(UTC).isoformat(" ", "milliseconds")
    owner = f"{socket.gethostname()} pid {os.getpid()} of {started}"
    failures = epoch = 0
    while not stop.is_set():
        worker = Worker(
            clients.partition,
            owner,
            clients.reader,
            clients.store,
            clients.publisher,
            first_policy(config),
            config.batch_size,
            alive=manager_link().beat,
            computing=_report_computing,
            opener=clients.opener,
        )
        try:
            if epoch and clients.store.taken(owner, epoch):
                raise FencedError("somebody else took the partition while Kafka or Postgres failed")
            worker.claim()
            worker.heartbeat()  # at once: gateways wait for it, and a read may take a while
            manager_link().ready()
            reported_offset, reported_at = -1, 0.0
            while not stop.is_set() and worker.run_once():
                failures = 0
                progress, now = worker.progress, time.monotonic()
                moved = progress is not None and progress.next_offset != reported_offset
                if progress and now - reported_at >= REPORT_SECONDS[moved]:
                    reported_offset, reported_at = progress.next_offset, now
                    manager_link().say("offset", str(reported_offset))
                    if worker.waits_for_layout:
                        manager_link().say("waits", "layout")
            if stop.is_set():
                worker.shut_down()
                break
        except FencedError as error:
            logger.warning(f"Fenced: {error}", partition=clients.partition)
            return FENCED
        except FAILURES as error:
            logger.warning(
                "Kafka or Postgres failed; the partition is claimed again",
                partition=clients.partition,
                error=reason(error),
            )
            manager_link().say("failed", type(error).__name__)
            stop.wait(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
            failures += 1
        if worker.progress:
            epoch = worker.progress.epoch
        while not (stop.is_set() or _renewed(clients)):
            manager_link().beat()
            stop.wait(RETRY_SECONDS[-1])
    return 0


def _renewed(clients: Clients) -> bool:
    """Whether the publisher could be replaced."""
    from confluent_kafka import KafkaException

    from events.clients import reason

    try:
        clients.renew_publisher()
    except KafkaException as error:  # a file may yet change
        logger.warning("No new client of Kafka can be made", error=reason(error))
        return False
    return True


def _report_computing(begins: bool) -> None:
    manager_link().say("computing", "begins" if begins else "ends")


def _become(name: str) -> None:
    title(name)
    use_slot(name.removeprefix("worker ").replace(" ", "-"))


def first_policy(config: settings.Settings) -> Policy:
    """The policy from the settings, for a partition that has none yet."""
    return Policy(
        version=1,
        threshold=config.policy_threshold,
        window_ms=round(config.policy_window_seconds * 1000),
        block_ms=round(config.policy_block_seconds * 1000),
        block_max_ms=round(config.policy_block_max_seconds * 1000),
        final_failures=config.policy_final_failures,
        forget_ms=config.policy_forget_days * 86_400_000,
        repeated_guesses=config.policy_repeated_guesses,
        forget_each_ms=config.policy_forget_each_days * 86_400_000,
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
