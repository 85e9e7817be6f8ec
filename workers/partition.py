"""`python -m workers.partition N`: the process that owns partition N."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from types import FrameType

import psycopg
import structlog
from confluent_kafka import KafkaException
from psycopg_pool import PoolTimeout

import settings
from events.messages import Policy
from processes import parent
from processes.log import configure
from processes.metrics import use_slot
from processes.titles import title

FENCED = 3
"""The exit code of a worker whose partition has another owner."""

RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0)
"""Pauses before the next claim when Kafka or Postgres was away; the last one repeats."""

GRACE_SECONDS = 4.0
"""A worker whose supervisor died has this long to finish its batch."""

log = structlog.get_logger()


def main(partition: int) -> int:
    """Own the partition until SIGTERM; the exit code."""
    title(f"worker partition {partition}")
    use_slot(f"partition-{partition}")
    from workers.log import Log, LogMovedError
    from workers.publisher import Publisher, PublishError
    from workers.store import Store
    from workers.worker import FencedError, Worker

    config = settings.load()
    configure(config.log_level)
    stop = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def on_term(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_term)
    keeper = parent()
    keeper.watch(GRACE_SECONDS)

    owner = f"{socket.gethostname()} pid {os.getpid()}"
    store = Store(config.require_database(), partition)
    store.open()
    reader = Log(config.require_kafka(), partition)
    failures = 0
    code = 0
    while not stop.is_set():
        publisher = Publisher(config.require_kafka(), partition)
        worker = Worker(
            partition,
            owner,
            reader,
            store,
            publisher,
            first_policy(config),
            config.batch_size,
            alive=keeper.beat,
        )
        try:
            worker.claim()
            keeper.ready()
            said = -1
            while not stop.is_set() and worker.run_once():
                failures = 0
                if worker.progress and worker.progress.next_offset != said:
                    said = worker.progress.next_offset
                    keeper.say("offset", str(said))
            if stop.is_set():
                worker.finish()
        except FencedError as error:
            log.warning("Fenced: " + str(error), partition=partition)
            code = FENCED
            break
        except (psycopg.Error, PoolTimeout, KafkaException, PublishError, LogMovedError) as error:
            log.warning(
                "Kafka or Postgres failed; the partition is claimed again",
                partition=partition,
                error=str(error).strip(),
            )
            pause = RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)]
            failures += 1
            keeper.beat()
            stop.wait(pause)
        finally:
            publisher.close()
    reader.close()
    store.close()
    return code


def first_policy(config: settings.Settings) -> Policy:
    """The policy that the settings give to a partition that has none."""
    return Policy(
        version=1,
        threshold=config.policy_threshold,
        window_ms=round(config.policy_window_seconds * 1000),
        block_ms=round(config.policy_block_seconds * 1000),
        block_max_ms=round(config.policy_block_max_seconds * 1000),
        final_failures=config.policy_final_failures,
    )


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
