"""What has to be done before a server's first start, as a process of its own.

As a process it can be stopped at any moment, whatever it waits for.
"""

from __future__ import annotations

import warnings

from local.errors import LocalError
from local.kafka import nodes
from local.parts import cache_dir
from local.postgres import Postgres
from local.progress import Progress
from local.system import ERROR, PROGRESS
from processes import parent
from settings import Settings


def run(server: str, settings: Settings) -> int:
    """Prepare `postgres` or a node of Kafka, by its name; the exit code.

    What it does and why it fails is said.
    """
    warnings.simplefilter("ignore")  # of the download's libraries, which a person cannot act on
    keeper = parent()
    keeper.watch(grace=1.0)
    progress = Progress(lambda text: keeper.say(PROGRESS, text))
    data_dir = settings.data_dir
    try:
        if server == "postgres":
            Postgres(data_dir).prepare(progress)
        for node in nodes(data_dir, cache_dir(settings, data_dir), settings.brokers):
            if node.name == server:
                node.prepare(progress)
    except LocalError as error:
        keeper.say(ERROR, " ".join(str(error).split()))
        print(error)
        return 1
    return 0
