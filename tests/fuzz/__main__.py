"""Fuzz every port, topic and decoder: `python -m tests.fuzz`, which is `make fuzz`.

It starts a system of its own. The same seed gives the same inputs. The first input that breaks a
promise ends it: it is kept as a file, and `--again FILE` repeats it. The exit status is then 1.
"""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from local.servers import Servers
from processes.escapes import escaped
from sql.migrate import migrate
from sql.topology import settle_partitions
from tests.acceptance.system import CHEAPEST, SERVICE_TOKEN, RunningSystem
from tests.fuzz import decoders, described, finding, records, requests
from tests.fuzz.finding import FoundError
from tests.fuzz.health import Health
from tests.harness.operators import OPERATOR_TOKEN
from tests.kafka import new_topics
from tests.paths import PROJECT

FOLDER = PROJECT / ".cerrojo" / "fuzz"
PARTS = ("decoders", "records", "described", "requests")
OF_THE_DESCRIPTION = 0.1
"""The share of the requests that are made up from the description; making one up takes long."""

Part = Callable[[Callable[[int], None]], "Counter[str]"]


def main() -> int:
    """Run it as the arguments say; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--messages", type=int, default=1_000_000, help="for the decoders")
    parser.add_argument("--records", type=int, default=20_000, help="in the topics themselves")
    parser.add_argument("--only", choices=PARTS, help="one part")
    parser.add_argument("--again", type=Path, metavar="FILE", help="repeat what was found")
    options = parser.parse_args()
    console = Console()
    try:
        if options.again:
            _again(options.again)
            console.print(f"{options.again} breaks nothing any more.")
        else:
            _run(options, console)
    except FoundError as found:
        path = options.again or found.keep(FOLDER)
        said = escape(escaped(str(found), keep="\n"))
        console.print(f"[red]Broken:[/] {said}", highlight=False)
        console.print(f"The input is in {path}. Repeat it: python -m tests.fuzz --again {path}")
        if found.log:
            console.print(f"What the system logged is in {path.with_suffix('.log')}")
        return 1
    return 0


def _run(options: argparse.Namespace, console: Console) -> None:
    console.print(f"Seed {options.seed}")
    share = 0 if options.only == "requests" else OF_THE_DESCRIPTION
    of_description = round(options.requests * share)
    sizes = {
        "decoders": options.messages,
        "records": options.records,
        "described": of_description,
        "requests": options.requests - of_description,
    }
    chosen = [options.only] if options.only else list(PARTS)
    with _columns(console) as progress:
        tasks = {part: progress.add_task(part, total=sizes[part]) for part in chosen}

        def tell(part: str) -> Callable[[int], None]:
            return lambda number: progress.advance(tasks[part], number)

        done: dict[str, tuple[float, Counter[str]]] = {}

        def do(part: str, work: Part) -> None:
            if part in chosen:
                began = time.monotonic()
                counts = work(tell(part))
                done[part] = time.monotonic() - began, counts

        seed = options.seed
        do("decoders", lambda told: decoders.run(seed, options.messages, told))
        if chosen != ["decoders"]:
            with _system() as (system, kafka):
                health = Health(system)
                urls = _urls(system)
                do("records", lambda told: records.run(system, kafka, seed, sizes["records"], told))
                do(
                    "described",
                    lambda told: described.run(
                        urls["login"], urls["operator"], seed, sizes["described"], told
                    ),
                )
                if done.get("described"):  # some operations have too few different requests
                    sizes["requests"] = options.requests - done["described"][1].total()
                if "requests" in chosen:
                    progress.update(tasks["requests"], total=sizes["requests"])
                do(
                    "requests",
                    lambda told: requests.run(
                        urls, seed, sizes["requests"], [SERVICE_TOKEN, OPERATOR_TOKEN], told
                    ),
                )
                health.check()
    for part, (seconds, counts) in done.items():
        table = Table(f"{part}, {seconds:.0f} s", "times")
        for name, count in sorted(counts.items()):
            table.add_row(name, f"{count:,}")
        console.print(table)
    console.print(f"Nothing broke. Seed {options.seed}")


def _again(path: Path) -> None:
    """Repeat what is in this file."""
    target, inputs = finding.read(path)
    for one in decoders.TARGETS:
        if one.name == target:
            decoders.try_all(one, inputs)
            return
    if target not in requests.PATHS:
        sys.exit(f"{path} is of {target}, which is repeated by its seed only: --seed N --only ...")
    with _system() as (system, _):
        health = Health(system)
        for data in inputs:
            requests.try_one(target, _urls(system)[target], data)
        health.check()


def _urls(system: RunningSystem) -> dict[str, str]:
    return {
        "login": system.login_url,
        "operator": system.operator_url,
        "workers": system.workers_url,
    }


@contextmanager
def _system() -> Iterator[tuple[RunningSystem, str]]:
    """A system with the cheapest hash, on servers of its own, and the address of its Kafka."""
    with (
        tempfile.TemporaryDirectory(prefix="cerrojo-fuzz-") as folder,
        Servers(Path(folder, "servers"), PROJECT / ".cerrojo" / "cache") as servers,
    ):
        name = f"fuzz_{secrets.token_hex(6)}"
        with psycopg.connect(servers.database_url, autocommit=True) as connection:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        url, kafka = servers.url(name), servers.kafka_bootstrap_servers
        migrate(url)
        with psycopg.connect(url) as connection:
            settle_partitions(connection, decoders.PARTITIONS)
        new_topics(kafka, decoders.PARTITIONS)
        logs = Path(folder, "system")
        logs.mkdir()
        system = RunningSystem(kafka, url, logs, CHEAPEST)
        system.start()
        try:
            yield system, kafka
        except FoundError as found:
            found.log = system.logs()
            raise
        finally:
            system.stop()


def _columns(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )


if __name__ == "__main__":
    sys.exit(main())
