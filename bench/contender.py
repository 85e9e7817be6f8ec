"""`python -m bench.contender login N`: the same API without a log: a row lock in Postgres decides.

As good as we could make it. A login looks up hash and lock state, checks the password, and then
decides under the lock of the account's row, by the workers' policy, in one transaction with its
audit row; the answer waits for the commit. So, while Postgres is there, it promises what Cerrojo
does: of any number of wrong passwords at once five are revealed, of right ones none is refused, and
a block is visible when it is answered. (The other way, to reserve one of five attempts before the
hash and give it back after it, refuses the sixth of the right ones that come at once.)

HTTP, turns, hashes and pool are Cerrojo's. Logins that come while a commit is under way share the
next one, with one SELECT and one statement that writes. Rows are locked in the order of their
names, so nothing can deadlock. It cannot promise this, however many lines are added:

- A guess counts only if Postgres is there to decide it. Otherwise it has cost a hash, is answered
  with 503, and is forgotten. In Cerrojo it counts once it is in the log.
- A process that stands still within a transaction keeps its locks: logins to those accounts, and
  whatever shares a batch with them, wait until Postgres ends the session.
- Each gateway process of each host commits for itself; a worker commits for all of them.
- Nothing says what the tables should have: there is no log to replay.

It leaves out what would make no figure better: metrics, unblocking, and the audit of registrations.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar, cast

import uvloop
from psycopg import AsyncConnection

from events.messages import FOREVER, Decision, Policy, new_id
from gateway import errors
from gateway.admission.account_turns import AccountTurns
from gateway.launch import LISTENER
from gateway.passwords.hash_client import HashClient
from gateway.passwords.hash_protocol import HASH_SOCKETS, Lane
from gateway.postgres.accounts import insert_account
from gateway.postgres.database import Database
from gateway.services import Services
from gateway.web import responses
from gateway.web.app import GatewayApp
from gateway.web.credentials import read_credentials
from gateway.web.direct_request import DirectRequest
from gateway.web.responses import Answer
from gateway.web.server import SharedSocketServer
from processes import gc_tuning, manager_link
from settings import Settings, load
from workers.decision.policy import CLEAN, LockState, Ruling, rule_attempt

K = TypeVar("K")
V = TypeVar("V")
Attempts = Sequence[tuple[str, bool]]

CONNECTIONS = 4096
AT_ONCE = 2  # batches of one kind that are under way, of each process
LATE_SECONDS = 0.5  # after which a further one is begun beside them

_SUCCESS = responses.encode({"success": True})

LOOK_UP = """
SELECT name, password_hash, coalesce(blocked_until_ms, 0), clock_ms
  FROM unnest(%s::text[]) AS name
  LEFT JOIN accounts ON accounts.username = name
  LEFT JOIN lock_states ON lock_states.username = name,
       (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS clock_ms) AS clock
"""
MAKE_ROWS = """
INSERT INTO lock_states (username, failures_ms, in_a_row, blocks, last_ms, partition, generation,
                         log_offset)
SELECT name, '{}', 0, 0, 0, 0, 0, 0 FROM unnest(%s::text[]) AS name ON CONFLICT DO NOTHING
"""
LOCK = """
SELECT username, failures_ms, in_a_row, blocks, blocked_since_ms, blocked_until_ms, blocked_why,
       last_ms, forget_ms
  FROM lock_states WHERE username = ANY(%s) ORDER BY username FOR UPDATE
"""
CLOCK = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"
WRITE = """
WITH states AS (
    UPDATE lock_states AS old
       SET failures_ms = new.failures_ms::bigint[], in_a_row = new.in_a_row, blocks = new.blocks,
           blocked_since_ms = new.since_ms, blocked_until_ms = new.until_ms,
           blocked_why = new.why, last_ms = new.last_ms, forget_ms = new.forget_ms
      FROM unnest(%s::text[], %s::text[], %s::int[], %s::int[], %s::bigint[], %s::bigint[],
                  %s::text[], %s::bigint[], %s::bigint[])
        AS new (username, failures_ms, in_a_row, blocks, since_ms, until_ms, why, last_ms,
                forget_ms)
     WHERE old.username = new.username
)
INSERT INTO audit
SELECT ms, 0, 0, nextval('contender_decisions'), id, 'attempt', username, right_password, decision,
       until_ms, change, 0, 0
  FROM unnest(%s::bigint[], %s::bytea[], %s::text[], %s::bool[], %s::smallint[], %s::bigint[],
              %s::smallint[])
    AS a (ms, id, username, right_password, decision, until_ms, change)
"""
CLEAR = """
UPDATE lock_states SET failures_ms = '{}', in_a_row = 0, blocks = 0, blocked_until_ms = NULL
 WHERE username = %s
"""


LIST = "SELECT username FROM blocked_accounts WHERE username > %s ORDER BY 1 LIMIT 1000"


class Known(NamedTuple):
    """The state of an account in the tables before its hash."""

    password_hash: str | None
    until_ms: int
    clock_ms: int


class Batches(Generic[K, V]):
    """Does together what is asked for while the batches before are under way."""

    def __init__(self, work: Callable[[Sequence[K]], Awaitable[Sequence[V]]]) -> None:
        self._work = work
        self._waiting: list[tuple[K, asyncio.Future[V]]] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def ask(self, item: K) -> V:
        """The answer to this one."""
        answer: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        # The pool connects again only when it is asked: late batches may not keep all from it.
        if len(self._under_way) < AT_ONCE or time.monotonic() > self._started + LATE_SECONDS:
            self._start()
        return await answer

    def _start(self) -> None:
        self._started = time.monotonic()
        batch, self._waiting = self._waiting, []
        task = asyncio.ensure_future(self._run(batch))
        self._under_way.add(task)
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if self._waiting:
            self._start()

    async def _run(self, batch: list[tuple[K, asyncio.Future[V]]]) -> None:
        try:
            answers = await self._work([item for item, _ in batch])
            for (_, answer), found in zip(batch, answers, strict=True):
                if not answer.done():  # else its login is late, and has been answered
                    answer.set_result(found)
        except Exception as error:
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)


class Decisions:
    """Decides logins by the locks of rows."""

    def __init__(self, database: Database, seconds: float) -> None:
        self.look_up = Batches[str, Known](
            lambda users: database.run(lambda c: self._look_up(c, users), seconds)
        ).ask
        self.decide = Batches[tuple[str, bool], Ruling](
            lambda attempts: database.run(lambda c: self._decide(c, attempts), seconds)
        ).ask
        self._policy = Policy()

    async def _look_up(self, connection: AsyncConnection, users: Sequence[str]) -> list[Known]:
        cursor = await connection.execute(LOOK_UP, (list(set(users)),))
        known = {name: Known(*rest) for name, *rest in await cursor.fetchall()}
        return [known[user] for user in users]

    async def _decide(self, connection: AsyncConnection, attempts: Attempts) -> list[Ruling]:
        if wrong := sorted({user for user, right in attempts if not right}):
            # A row that is not there cannot be locked; made within the transaction it would be
            # locked out of turn. A right password of a clean account has nothing to lock.
            await connection.execute(MAKE_ROWS, (wrong,))
        async with connection.pipeline(), connection.transaction():
            found = await connection.execute(LOCK, ([user for user, _ in attempts],))
            clock = await connection.execute(CLOCK)  # with the locks in hand
            states = {
                user: LockState(tuple(failures), *rest)
                for user, failures, *rest in await found.fetchall()
            }
            [(now,)] = await clock.fetchall()
            changed, rulings = {}, []
            for user, right in attempts:
                before = states.get(user, CLEAN)
                rulings.append(rule_attempt(self._policy, before, right, now))
                if rulings[-1].state != before:
                    states[user] = changed[user] = rulings[-1].state
            await connection.execute(WRITE, _columns(changed, attempts, rulings, now))
        return rulings


def _columns(
    states: Mapping[str, LockState], attempts: Attempts, rulings: Sequence[Ruling], now: int
) -> list[list[Any]]:
    """The arrays of WRITE."""
    rows = [(u, f"{{{','.join(map(str, s.failures_ms))}}}", *s[1:]) for u, s in states.items()]
    audit = [
        (now, new_id(), user, right, ruling.decision.value, ruling.until_ms, ruling.change)
        for (user, right), ruling in zip(attempts, rulings, strict=True)
    ]
    return [[row[n] for row in rows] for n in range(9)] + [[a[n] for a in audit] for n in range(7)]


class Contender:
    """The API."""

    def __init__(self, settings: Settings, hash_sockets: Path) -> None:
        self.settings = settings
        self.database = Database(settings)
        self.hashes = HashClient(settings, hash_sockets)
        self._decisions = Decisions(self.database, settings.deadline_seconds)
        self._turns = AccountTurns(
            settings.checks_per_user, settings.waiting_per_user, settings.waiting
        )

    async def login(self, request: DirectRequest) -> Answer:
        """POST /login."""
        due = time.monotonic() + self.settings.deadline_seconds
        credentials = await read_credentials(request)
        user = credentials.user
        begin_in = self.hashes.begin_by(due) - time.monotonic()
        turn = self._turns.turn(user, begin_in, request.gone)
        try:
            async with asyncio.timeout(due - time.monotonic()), turn as alone:
                known = await self._decisions.look_up(user)
                if known.until_ms > known.clock_ms:
                    raise _blocked(known.until_ms, known.clock_ms)
                lane = Lane.FOREGROUND if alone else Lane.BACKGROUND
                right, _ = await self.hashes.check(
                    *(lane, user, known.password_hash, credentials.pass_, due, request.gone)
                )
                ruling = await self._decisions.decide((user, right))
        except TimeoutError:
            raise errors.UnavailableError("No decision in time; try again later") from None
        if ruling.decision == Decision.BLOCKED:
            raise _blocked(ruling.until_ms, known.clock_ms)
        if not right:
            raise errors.WrongPasswordError
        return responses.plain(200, _SUCCESS)

    async def register(self, request: DirectRequest) -> Answer:
        """POST /register."""
        due = time.monotonic() + self.settings.deadline_seconds
        credentials = await read_credentials(request)
        user = credentials.user
        made = await self.hashes.make(Lane.BACKGROUND, user, credentials.pass_, due, request.gone)

        async def insert(connection: AsyncConnection) -> None:
            async with connection.transaction():
                if not await insert_account(connection, user, made):
                    raise errors.NameTakenError("This user exists already")
                await connection.execute(CLEAR, (user,))

        await self.database.run(insert, due - time.monotonic())
        return responses.plain(201, _SUCCESS)

    async def blocked(self, request: DirectRequest) -> Answer:
        """GET /blocked: a page, after the name that is asked for."""

        after = request.scope["query_string"].decode().removeprefix("after=")

        async def page(connection: AsyncConnection) -> list[str]:
            cursor = await connection.execute(LIST, (after,))
            return [user for (user,) in await cursor.fetchall()]

        users = await self.database.run(page, self.settings.deadline_seconds)
        return responses.plain(200, responses.encode({"users-blocked": users}))


def _blocked(until_ms: int, clock_ms: int) -> errors.RequestError:
    seconds = max(1, math.ceil((until_ms - clock_ms) / 1000))
    return errors.BlockedForGoodError() if until_ms == FOREVER else errors.BlockedError(seconds)


async def serve() -> None:
    """Serve until it is killed."""
    contender = Contender(load(), Path(os.environ[HASH_SOCKETS]))
    await contender.database.open()
    await contender.hashes.connected()
    app = GatewayApp("contender", cast(Services, contender))  # it wants to know the deadline
    app.direct["POST", "/login"] = contender.login
    app.direct["POST", "/register"] = contender.register
    app.direct["GET", "/blocked"] = contender.blocked
    server = SharedSocketServer(app, int(os.environ[LISTENER]), CONNECTIONS)
    serving = asyncio.ensure_future(server.serve())
    gc_tuning.settle()
    manager_link().ready()
    await serving


if __name__ == "__main__":
    manager_link().watch(0.5)
    uvloop.run(serve())
