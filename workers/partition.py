"""`python -m workers.partition N`: the process that owns partition N; `spare-1` may own one."""

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
from processes import garbage, parent
from processes.log import configure
from processes.metrics import use_slot
from processes.titles import title

if TYPE_CHECKING:
    from workers.clients import Clients

FENCED = 3
"""The exit code of a worker whose partition has another owner."""

SAY_SECONDS = 1.0
"""How often a worker says where it is though it has not moved: its host may have forgotten."""

RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0)
"""Pauses before the next claim when Kafka or Postgres was away; the last one repeats."""

GRACE_SECONDS = 4.0
"""A worker whose supervisor died has this long to finish its batch."""

EXCUSED = "excused"

SPARE = "spare-"
"""What a spare is called, with a number behind it, until it gets a partition."""

NO_PARTITION = -1
"""What a spare has until it gets one."""

log = structlog.get_logger()


def main(what: str, *words: str) -> int:
    """Own the partition of this number until SIGTERM; the exit code.

    As a spare, get everything ready and wait for the number first. The word "excused"
    behind the number says that its last owner died of no record (see `workers.alone`).
    """
    spare = what.startswith(SPARE)
    _become("worker " + (what.replace("-", " ") if spare else f"partition {what}"))
    from workers.clients import Clients  # these define metrics, which must know their slot

    config = settings.load()
    configure(config.log_level)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    clients = Clients(config, NO_PARTITION if spare else int(what))
    if spare:
        clients.warm()
        garbage.settle()
        told = parent().listen()
        if told is None:
            return 0
        number, *words_told = told.split()
        words = tuple(words_told)
        clients.serve(int(number))
        _become(f"worker partition {number}")
    else:
        garbage.settle()
    clients.store.excused = EXCUSED in words

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    parent().watch(GRACE_SECONDS)
    try:
        return _own(clients, config, stop)
    finally:
        clients.close()


def _own(clients: Clients, config: settings.Settings, stop: threading.Event) -> int:
    """Claim and decide, again and again, until told to stop or fenced."""
    from workers.clients import FAILURES
    from workers.worker import FencedError, Worker

    # The time tells it from one of the same number before, as the first in every container has.
    started = datetime.now(UTC).isoformat(" ", "milliseconds")
    owner = f"{socket.gethostname()} pid {os.getpid()} of {started}"
    failures = 0
    while not stop.is_set():
        worker = Worker(
            clients.partition,
            owner,
            clients.log,
            clients.store,
            clients.publisher,
            first_policy(config),
            config.batch_size,
            alive=parent().beat,
            computing=_say_computing,
        )
        try:
            worker.claim()
            parent().ready()
            said, say_at = -1, 0.0
            while not stop.is_set() and worker.run_once():
                failures = 0
                here, now = worker.progress, time.monotonic()
                if here and (here.next_offset != said or now >= say_at):
                    said, say_at = here.next_offset, now + SAY_SECONDS
                    parent().say("offset", str(said))
            if stop.is_set():
                worker.leave()
                break
        except FencedError as error:
            log.warning("Fenced: " + str(error), partition=clients.partition)
            return FENCED
        except FAILURES as error:
            log.warning(
                "Kafka or Postgres failed; the partition is claimed again",
                partition=clients.partition,
                error=str(error).strip(),
            )
            parent().say("failed", type(error).__name__)
            stop.wait(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
            failures += 1
        clients.renew_publisher()
    return 0


def _say_computing(begins: bool) -> None:
    parent().say("computing", "begins" if begins else "ends")


def _become(what: str) -> None:
    title(what)
    use_slot(what.removeprefix("worker ").replace(" ", "-"))


def first_policy(config: settings.Settings) -> Policy:
    """The policy that the settings give to a partition that has none."""
    return Policy(
        version=1,
        threshold=config.policy_threshold,
        window_ms=round(config.policy_window_seconds * 1000),
        block_ms=round(config.policy_block_seconds * 1000),
        block_max_ms=round(config.policy_block_max_seconds * 1000),
        final_failures=config.policy_final_failures,
        forget_ms=config.policy_forget_days * 86_400_000,
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
