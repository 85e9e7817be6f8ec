"""Prepares a server's first start, in a process of its own.

A process can be stopped at any moment, whatever it waits for.
"""

from __future__ import annotations

import os
import signal
import warnings

from local.errors import LocalError, unusable
from local.kafka import nodes
from local.parts import cache_dir
from local.postgres import Postgres
from local.progress import ProgressReporter
from local.system import ERROR, PROGRESS
from processes import manager_link
from settings import Settings


def run(server: str, settings: Settings) -> int:
    """Prepare `postgres` or the Kafka node of this name; the exit code.

    Progress and the reason of a failure are sent to the manager.
    """
    warnings.simplefilter("ignore")  # those of the download's libraries call for no action
    manager = manager_link()
    signal.signal(signal.SIGTERM, _end)
    manager.watch(grace=1.0)
    progress = ProgressReporter(lambda text: manager.say(PROGRESS, text))
    data_dir = settings.data_dir
    try:
        if server == "postgres":
            Postgres(data_dir).prepare(progress)
        for node in nodes(
            data_dir,
            cache_dir(settings, data_dir),
            settings.brokers,
            java_options=settings.kafka_java_options,
        ):
            if node.name == server:
                node.prepare(progress)
    except (LocalError, OSError) as error:
        why = unusable(error, data_dir) if isinstance(error, OSError) else str(error)
        manager.say(ERROR, " ".join(why.split()))
        print(why)
        return 1
    return 0


def _end(*_: object) -> None:
    """End with what this process has started, as a Java."""
    if os.getpgrp() == os.getpid():  # its manager has started it in a session of its own
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
