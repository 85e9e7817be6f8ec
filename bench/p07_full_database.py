"""P7: whether a full database is as fast as an empty one."""

from __future__ import annotations

import time

import psycopg
import uvloop

from bench import accounts, blocks
from bench.client import Job, drive
from bench.figures import Figure, Goal, Row
from bench.harness import Bench, warm
from bench.load import Load, get
from bench.system import HOST, Up

NAMES = "account-"
FEW = 1_000
STEPS = 20
PAGES = 100


def measure(bench: Bench) -> Row:
    """Two systems, one of them with a full database, in turn."""
    bench.alone()
    bench.say("P7: starting two systems")
    count = bench.size.accounts
    with bench.up({}) as empty, bench.up({}) as full:
        for system in (empty, full):
            accounts.make(system.database_url)
            warm(system, bench.size.warm_seconds)
        accounts.insert(empty.database_url, NAMES, FEW, accounts.real_hash())
        bench.say(f"P7: making {count:,} accounts")
        accounts.insert(full.database_url, NAMES, count, accounts.real_hash())
        bench.say(f"P7: making {count // 10:,} blocks")
        blocks.insert(full.database_url, count // 10)
        _insert_decisions(bench, full, 10 * count, count)

        def login(system: Up, users: int) -> float:
            job = Job(
                port=system.login_port,
                users=NAMES,
                accounts=users,
                clients=1,
                seconds=bench.size.seconds,
            )
            return 1000 * drive(job, 200).p50

        full_ms, empty_ms = bench.in_turn(
            "P7 login", lambda: login(empty, FEW), lambda: login(full, count)
        )
        full_page, empty_page = bench.in_turn("P7 page", lambda: _page(empty), lambda: _page(full))
    sizes = f"{count:,} accounts, {10 * count:,} decisions, {count // 10:,} blocks"
    return Row(
        figures=[
            Figure(
                row="P7",
                what=f"login p50 with {sizes}; the limit is an empty database",
                unit="ms",
                ours=full_ms,
                limit=empty_ms,
                goal=Goal(at_most=1.1, of_the_limit=True),
            ),
            Figure(
                row="P7",
                what="the first page of GET /blocked, p50, there",
                unit="ms",
                ours=full_page,
                limit=empty_page,
                goal=Goal(at_most=20),
            ),
        ],
        notes=[
            "One client; the logins are of accounts at random. Both databases have "
            f"{2 * accounts.COUNT:,} accounts more, by which their systems were warmed up"
        ],
    )


def _insert_decisions(bench: Bench, system: Up, count: int, users: int) -> None:
    """Audit rows of today, as if decided by partitions that nobody has."""
    step = count // STEPS
    began = time.monotonic()
    with psycopg.connect(system.database_url, autocommit=True) as connection:
        for number in range(STEPS):
            connection.execute(
                "INSERT INTO audit SELECT day_ms + n %% 86400000, 1000 + n %% 4, 1, n,"
                " uuid_send(gen_random_uuid()), 'attempt', %s || (1 + n %% %s), true, 0, 0, 0, 1, 0"
                " FROM generate_series(%s::bigint, %s::bigint) AS n,"
                " (SELECT (extract(epoch FROM date_trunc('day', now())) * 1000)::bigint AS day_ms)"
                " AS today",
                (NAMES, users, number * step, (number + 1) * step - 1),
            )
            if number % 4 == 3:
                done, took = (number + 1) * step, time.monotonic() - began
                bench.say(f"P7: {done:,} of {count:,} decisions after {took:.0f} s")
        connection.execute("VACUUM ANALYZE audit")
        connection.execute("VACUUM ANALYZE accounts")


def _page(system: Up) -> float:
    async def look() -> float:
        load = Load(HOST, system.operator_port)
        samples = await load.each([get("/blocked")] * PAGES, at_once=1)
        load.close()
        assert samples.statuses() == {200: PAGES}, samples.statuses()
        return 1000 * samples.percentile(0.5)

    return uvloop.run(look())
