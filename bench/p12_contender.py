"""P12: why Kafka: the same API with a row lock in Postgres (:mod:`bench.contender`), side by side.

Both have the same Postgres, each a database of its own, so that it is away for both at once.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
import psycopg
import uvloop

from bench import accounts
from bench.client import PASSWORD, Job, drive
from bench.errors import BenchError
from bench.extra import login_processes
from bench.figures import Figure, Goal, Row
from bench.harness import Bench, warm
from bench.load import Load, Sample, post
from bench.system import CACHE, CHEAPEST, HOST
from bench.usage import Usage
from local.servers import Servers
from settings import Settings, variable
from sql.migrate import migrate

OURS, CONTENDER = "Cerrojo", "the contender"
DATABASE = "contender"
WRONG = "a wrong password"
GUESSES, LOGINS, THRESHOLD = 200, 100, 5
CLIENTS = 32
AWAY_RATE = 10.0  # logins a second, of each, around the time when Postgres is away
BEFORE_SECONDS = 1.0
AGAIN = 10  # answers one after the other that say that all is well again
AGAIN_SECONDS = 60.0  # within which it has to be
SLACK_SECONDS = 0.5  # of an answer at the deadline


class Side(NamedTuple):
    """One of the two."""

    name: str
    port: int
    cheap_port: int
    """With the cheapest hash."""
    database_url: str


class Attempt(NamedTuple):
    """One login while Postgres is there, is not, and is again; each of another account."""

    user: str
    sent: float
    sample: Sample


class Away(NamedTuple):
    """The answers of one side while Postgres was away, and after that."""

    slowest: float
    """Seconds of the slowest answer."""
    until_well: float
    """Seconds from Postgres' return until the last login was sent that was refused."""
    lost: int
    """Revealed, and in no table afterwards."""
    sentence: str


def measure(bench: Bench) -> Row:
    """All of it on the same cores; the one that is not measured is idle."""
    bench.alone()
    bench.say("P12: starting two systems on one Postgres")
    wanted = bench.size.env.get(variable("gateway_processes"))
    count = int(wanted or Settings().gateway_processes)
    with (
        tempfile.TemporaryDirectory(prefix="bench") as folder,
        _postgres(Path(folder)) as postgres,
        bench.up({variable("database_url"): postgres.database_url}) as system,
        login_processes(system, env=CHEAPEST) as (cheap_port, _, _),
        login_processes(system, count, "bench.contender", _env(postgres)) as (port, _, _),
    ):
        accounts.make(postgres.database_url)
        accounts.make(postgres.url(DATABASE))
        bench.say("P12: warming up")
        warm(system, bench.size.warm_seconds)
        sides = (
            Side(OURS, system.login_port, cheap_port, postgres.database_url),
            Side(CONTENDER, port, port, postgres.url(DATABASE)),
        )
        of_all = [*system.family(), *_processes(postgres)]
        notes: list[str] = []
        figures = [
            *_promises(bench, sides, notes),
            _saturation(bench, sides, of_all, notes, cheap=False),
            _saturation(bench, sides, of_all, notes, cheap=True),
            *uvloop.run(_outage(bench, sides, postgres, notes)),
        ]
    return Row(figures=figures, notes=[*notes, "The limit is the contender"])


def _figure(
    what: str, unit: str, ours: list[float], contender: list[float], goal: Goal | None = None
) -> Figure:
    return Figure(row="P12", what=what, unit=unit, ours=ours, limit=contender, goal=goal)


def _promises(bench: Bench, sides: tuple[Side, Side], notes: list[str]) -> list[Figure]:
    revealed, refused = [], []
    count = bench.size.guessed_accounts
    for side in sides:
        counts: list[int] = []
        worst = 0
        wrong_ones, right_ones = Counter[int](), Counter[int]()
        for names, port, stored in (
            ("real", side.port, accounts.real_hash()),
            ("cheap", side.cheap_port, accounts.cheap_hash()),
        ):
            accounts.insert(side.database_url, f"guessed-{names}-", count, stored)
            accounts.insert(side.database_url, f"often-{names}-", count, stored)
            for number in range(1, count + 1):
                wrong = post("/login", f"guessed-{names}-{number}", WRONG)
                answers = uvloop.run(_at_once(port, wrong, GUESSES))
                counts.append(answers[401])
                wrong_ones += answers
                right = post("/login", f"often-{names}-{number}", PASSWORD)
                answers = uvloop.run(_at_once(port, right, LOGINS))
                worst = max(worst, LOGINS - answers[200])
                right_ones += answers
        revealed.append(float(max(counts, key=lambda n: abs(n - THRESHOLD))))
        refused.append(float(worst))
        notes.append(
            f"{side.name}: {GUESSES} wrong ones at once, {2 * count} times: {_listed(wrong_ones)}; "
            f"{LOGINS} right ones: {_listed(right_ones)}"
        )
        bench.say(f"P12 {notes[-1]}")
    return [
        _figure(
            f"answers 401 to {GUESSES} wrong ones at once, of {2 * count} accounts that furthest "
            f"from {THRESHOLD}",
            "",
            revealed[:1],
            revealed[1:],
            Goal(at_least=THRESHOLD, at_most=THRESHOLD),
        ),
        _figure(
            f"right ones refused of {LOGINS} at once, the worst of {2 * count} accounts",
            "",
            refused[:1],
            refused[1:],
            Goal(at_most=0),
        ),
    ]


def _listed(statuses: Counter[int]) -> str:
    """As in "5 times 401"; a connection that broke is a 0."""
    return ", ".join(f"{count} times {status}" for status, count in sorted(statuses.items()))


async def _at_once(port: int, request: bytes, times: int) -> Counter[int]:
    load = Load(HOST, port)
    samples = await load.each([request] * times, at_once=times)
    load.close()
    return samples.statuses()


def _saturation(
    bench: Bench,
    sides: tuple[Side, Side],
    of_all: list[psutil.Process],
    notes: list[str],
    *,
    cheap: bool,
) -> Figure:
    said: dict[str, str] = {}

    def rate(side: Side) -> float:
        job = Job(
            port=side.cheap_port if cheap else side.port,
            users=accounts.CHEAP if cheap else accounts.REAL,
            accounts=accounts.COUNT,
            clients=bench.size.connections if cheap else CLIENTS,
            seconds=bench.size.seconds,
        )
        usage = Usage(of_all)
        outcome = drive(job, 200)
        said[side.name] = (
            f"{side.name} with the {'cheapest' if cheap else 'real'} hash: "
            f"p50 {outcome.p50 * 1000:.0f} ms, p99 {outcome.p99 * 1000:.0f} ms; "
            f"{usage.sentence(outcome.cpu)}"
        )
        return outcome.rate

    ours, contender = sides
    rates, others = bench.in_turn("P12", lambda: rate(contender), lambda: rate(ours))
    notes += said.values()
    what = "argon2's cheapest hash" if cheap else "the real hash"
    return _figure(f"logins at saturation with {what}", "/s", rates, others)


async def _outage(
    bench: Bench, sides: tuple[Side, Side], postgres: Servers, notes: list[str]
) -> list[Figure]:
    enough = asyncio.Event()
    attempts: list[list[Attempt]] = [[], []]
    loads = [
        asyncio.ensure_future(_attempts(side, of_side, enough))
        for side, of_side in zip(sides, attempts, strict=True)
    ]
    await asyncio.sleep(BEFORE_SECONDS)
    went = time.monotonic()
    await asyncio.to_thread(postgres.kill)
    await asyncio.sleep(bench.size.away_seconds)
    await asyncio.to_thread(_start, postgres)
    back = time.monotonic()
    bench.say(f"P12: Postgres was away for {back - went:.1f} s")
    while not all(_well(of_side, back) for of_side in attempts):
        if time.monotonic() > back + AGAIN_SECONDS:
            raise BenchError(
                f"{AGAIN_SECONDS:g} s after Postgres came back logins are still refused."
            )
        await asyncio.sleep(0.05)
    enough.set()
    await asyncio.gather(*loads)
    ours, contender = (
        _judge(side, of_side, went, back) for side, of_side in zip(sides, attempts, strict=True)
    )
    notes += (ours.sentence, contender.sentence)
    env = bench.size.env.get(variable("deadline_seconds"))
    deadline = float(env or Settings().deadline_seconds)
    pairs = {
        "slowest answer around Postgres' absence": "slowest",
        "from Postgres' return to the last login that is refused": "until_well",
        "wrong ones revealed then, and in no table afterwards": "lost",
    }
    goals = (Goal(at_most=deadline + SLACK_SECONDS), None, Goal(at_most=0))
    return [
        _figure(
            what,
            "" if name == "lost" else "s",
            [float(getattr(ours, name))],
            [float(getattr(contender, name))],
            goal,
        )
        for (what, name), goal in zip(pairs.items(), goals, strict=True)
    ]


async def _attempts(side: Side, into: list[Attempt], enough: asyncio.Event) -> None:
    """Guess so often a second, each time at another account, until it is enough."""
    load = Load(HOST, side.port)
    tasks: set[asyncio.Task[None]] = set()

    async def guess(user: str) -> None:
        sent = time.monotonic()
        into.append(Attempt(user, sent, await load.ask(post("/login", user, WRONG))))

    number = 0
    while not enough.is_set():
        number += 1
        task = asyncio.ensure_future(guess(f"away-{number}"))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        await asyncio.sleep(1 / AWAY_RATE)
    if tasks:
        await asyncio.wait(tasks)
    load.close()


def _well(attempts: list[Attempt], back: float) -> bool:
    since = sorted((a.sent, a.sample.status) for a in attempts if a.sent > back)
    return len(since) >= AGAIN and all(status == 401 for _, status in since[-AGAIN:])


def _judge(side: Side, attempts: list[Attempt], went: float, back: float) -> Away:
    with psycopg.connect(side.database_url) as connection:
        rows = connection.execute("SELECT username FROM audit WHERE username LIKE 'away-%'")
        counted = {user for (user,) in rows.fetchall()}
    revealed = {a.user for a in attempts if a.sample.status == 401}
    refused = [a for a in attempts if a.sample.status == 503]
    if len(revealed) + len(refused) != len(attempts):
        answers = Counter(a.sample.status for a in attempts)
        raise BenchError(f"While Postgres was away, {side.name} answered {dict(answers)}.")
    meanwhile = [a for a in attempts if went < a.sent < back]
    decided = sum(a.user in revealed for a in meanwhile)
    seconds = [a.sample.seconds for a in refused]
    late = [a.sent - back for a in refused]
    return Away(
        slowest=max(a.sample.seconds for a in attempts),
        until_well=max(0.0, *late) if late else 0.0,
        lost=len(revealed - counted),
        sentence=(
            f"{side.name}, Postgres killed and away for {back - went:.1f} s: of "
            f"{len(meanwhile)} logins sent meanwhile {decided} were decided when it was back, "
            f"the others got 503 (all 503: {len(refused)}, after "
            f"{min(seconds, default=0.0):.2f} to {max(seconds, default=0.0):.2f} s); "
            f"{len({a.user for a in refused} & counted)} of these wrong ones count all the same"
        ),
    )


@contextmanager
def _postgres(folder: Path) -> Iterator[Servers]:
    """A Postgres without a Kafka, and with the contender's database."""
    servers = Servers(folder / "data", CACHE)
    _start(servers)
    try:
        with psycopg.connect(servers.database_url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}")
        migrate(servers.url(DATABASE))
        with psycopg.connect(servers.url(DATABASE), autocommit=True) as connection:
            connection.execute("CREATE SEQUENCE contender_decisions CACHE 100")
        yield servers
    finally:
        servers.stop()


def _start(servers: Servers) -> None:
    kafka = variable("kafka_bootstrap_servers")
    before = os.environ.get(kafka)
    os.environ[kafka] = "elsewhere"  # so that it starts none
    try:
        servers.start()
    finally:
        if before is None:
            del os.environ[kafka]
        else:
            os.environ[kafka] = before


def _env(servers: Servers) -> dict[str, str]:
    """The contender's settings that are not Cerrojo's."""
    return {variable("database_url"): servers.url(DATABASE)}


def _processes(servers: Servers) -> list[psutil.Process]:
    return list(psutil.Process(servers.pids["postgres"]).children(recursive=True))
