"""P13: what the signatures of records cost: P2 with them, of P2 without."""

from __future__ import annotations

from urllib.parse import urlsplit

import psutil
import psycopg

from bench import accounts
from bench.accounts import CHEAP, COUNT
from bench.client import Job, drive
from bench.extra import login_processes
from bench.figures import Figure, Row, share_of_limit
from bench.harness import Bench, warm
from bench.system import CHEAPEST, Up
from bench.usage import Usage

UNSIGNED = "unsigned"
"""The topics' prefix and the database of a system without keys, on the same servers."""


def measure(bench: Bench) -> Row:
    """Two systems on the same Kafka and Postgres, of which one has keys. They work in turn."""
    signed = bench.system()
    with psycopg.connect(signed.database_url, autocommit=True) as database:
        database.execute(f"DROP DATABASE IF EXISTS {UNSIGNED}")
        database.execute(f"CREATE DATABASE {UNSIGNED}")
    env = {
        **signed.kafka,
        "DATABASE_URL": urlsplit(signed.database_url)._replace(path=f"/{UNSIGNED}").geturl(),
        "CERROJO_TOPIC_PREFIX": f"{UNSIGNED}.",
    }
    notes: dict[str, str] = {}

    def rate(system: Up, port: int, whose: str) -> float:
        names = signed.of_each(psutil.Process.name)
        servers = {process for process, name in names.items() if name in ("java", "postgres")}
        usage = Usage([*servers.union(system.family())])
        job = Job(
            port=port,
            users=CHEAP,
            accounts=COUNT,
            clients=bench.size.connections,
            seconds=bench.size.seconds,
        )
        outcome = drive(job, 200)
        notes[whose] = f"{whose}: p50 {outcome.p50 * 1000:.0f} ms; {usage.sentence(outcome.cpu)}"
        return outcome.rate

    with bench.up(env) as unsigned:
        accounts.make(unsigned.database_url)
        bench.say("P13: warming up a system without keys")
        warm(unsigned, bench.size.warm_seconds)
        with login_processes(unsigned, env=CHEAPEST) as (port, _, _):
            rates, limits = bench.in_turn(
                "P13",
                lambda: rate(unsigned, port, "without signatures"),
                lambda: rate(signed, bench.cheap().port, "with signatures"),
            )
    figure = Figure(
        row="P13",
        what=f"logins with argon2's cheapest hash, {bench.size.connections} connections, records "
        "signed, of the same unsigned",
        unit="/s",
        ours=rates,
        limit=limits,
        goal=share_of_limit(0.97),
    )
    return Row(figures=[figure], notes=list(notes.values()))
