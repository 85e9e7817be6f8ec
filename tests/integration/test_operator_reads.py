"""The operator port's lists by pages, and whole days, from a real Postgres."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import psycopg
import pytest
from quart.typing import TestClientProtocol as ClientProtocol

from events.messages import FOREVER, Decision, Policy, encode
from gateway.errors import UnavailableError
from gateway.postgres import audit_slices
from gateway.postgres.operator_queries import DecisionRow
from gateway.postgres.policies import nobody_else_changes, select_policies, select_policy
from gateway.services import Services
from gateway.timestamps import iso
from gateway.web.operator_app import operator_app
from gateway.web.resources import attempts, blocked
from settings import Settings
from sql.roles import OPERATOR
from sql.shadow_figures import Counted
from sql.topology import exclusive_command
from tests.postgres import as_role
from workers.decision.trial import Figures
from workers.partition.seals import Seal

DAY_MS = 86_400_000
NOW_MS = int(time.time() * 1000)
TODAY_MS = NOW_MS - NOW_MS % DAY_MS
HOST = {"Host": "localhost"}


class Asking:
    """Asks the operator port, which comes to Postgres by its own role."""

    def __init__(self, client: ClientProtocol) -> None:
        self._client = client

    async def answer(self, path: str, **headers: str) -> tuple[int, bytes]:
        """Status and body."""
        answer = await self._client.get(path, headers=HOST | headers)
        body = await answer.get_data(as_text=False)
        assert isinstance(body, bytes)
        return answer.status_code, body

    async def get(self, path: str) -> dict[str, Any]:
        """The body of an answer that is none of an error."""
        status, body = await self.answer(path)
        assert status == 200, body
        found: dict[str, Any] = json.loads(body)
        return found

    async def pages(self, path: str, name: str) -> list[list[dict[str, Any]]]:
        """The lists of all pages, each by the `Link` of the one before."""
        found = []
        while True:
            answer = await self._client.get(path, headers=HOST)
            body = await answer.get_json()
            assert answer.status_code == 200, body
            found.append(body[name])
            link = answer.headers.get("Link")
            assert (link is None) == (body["next"] is None)
            if link is None:
                return found
            path = link[1 : link.index(">")]
            assert body["next"] in path


@asynccontextmanager
async def operator(database: str) -> AsyncIterator[Asking]:
    """An operator port with nothing but this database."""
    url = as_role(database, OPERATOR)
    services = Services(
        Settings(
            database_url=url,
            kafka_bootstrap_servers="127.0.0.1:9",
            deadline_seconds=20.0,
            operator_reads="anyone",
        )
    )
    await services.database.open()
    try:
        yield Asking(operator_app(services).test_client())
    finally:
        await services.database.close()  # nothing else was started


def ask(database: str, scenario: Callable[[Asking], Awaitable[None]]) -> None:
    """Run this with an operator port."""

    async def with_it() -> None:
        async with operator(database) as asking:
            await scenario(asking)

    asyncio.run(with_it())


def add_blocks(database: str, blocks: list[tuple[str, int, int, str]]) -> None:
    """Blocks of these names, since and until when, and why."""
    with psycopg.connect(database) as connection:
        connection.cursor().executemany(
            "INSERT INTO lock_states VALUES (%s, '{}', 5, 1, %s, %s, %s, 0, 2, 1, 0, 0)", blocks
        )


BY_TIME = "5 wrong passwords within 900 s"
FOR_GOOD = "100 wrong passwords in a row"


@pytest.fixture
def blocks(database: str) -> str:
    """A database with 40 blocks, four at each moment, every second one until it is lifted."""
    reasons = ((NOW_MS + DAY_MS, BY_TIME), (FOREVER, FOR_GOOD))
    add_blocks(
        database,
        [
            *((f"name{n:02}", NOW_MS - n // 4, *reasons[n % 2]) for n in range(40)),
            ("ended", NOW_MS - 2, NOW_MS - 1, BY_TIME),
        ],
    )
    return database


def test_blocks_come_newest_first_by_pages(blocks: str):
    """Each once, whatever the size of a page, also where many began in the same millisecond."""
    newest = sorted(
        (f"name{n:02}" for n in range(40)), key=lambda name: (-(int(name[4:]) // 4), name)
    )
    expected = newest[::-1]

    async def scenario(asking: Asking) -> None:
        for size in (1, 3, 20, 1000):
            pages = await asking.pages(f"/blocked?details=1&limit={size}", "blocked")
            assert [block["user"] for page in pages for block in page] == expected
            assert all(len(page) == size for page in pages[:-1])
        first = (await asking.get("/blocked?details=1&limit=1"))["blocked"]
        assert first == [
            {
                **{"user": "name03", "since": iso(NOW_MS), "until": None, "why": FOR_GOOD},
                **{"failures": 5, "level": 1, "by_hand": False},
            }
        ]
        assert (await asking.get("/blocked"))["users-blocked"] == sorted(expected)

    ask(blocks, scenario)


def test_blocks_are_found_by_text_reason_and_time(blocks: str):
    """Any of them together; a name's text in any case."""

    async def scenario(asking: Asking) -> None:
        async def found(query: str) -> list[str]:
            page = await asking.get(f"/blocked?details=1&{query}")
            return sorted(block["user"] for block in page["blocked"])

        assert await found("text=NAME1") == [f"name{n}" for n in range(10, 20)]
        assert await found("text=name1&reason=IN%20A%20ROW") == [
            f"name{n}" for n in range(11, 20, 2)
        ]
        assert await found(f"since={iso(NOW_MS - 1)}") == [f"name{n:02}" for n in range(8)]
        assert await found("text=%25") == []  # no pattern
        assert await found("text=nobody") == []

    ask(blocks, scenario)


def test_a_page_looks_at_no_more_than_so_many_blocks(blocks: str, monkeypatch: pytest.MonkeyPatch):
    """It may be short, and `next` leads on; nothing is left out, and nothing comes twice."""
    monkeypatch.setattr(blocked, "MOST_LOOKED_AT", 7)

    async def scenario(asking: Asking) -> None:
        pages = await asking.pages("/blocked?details=1&text=name3&limit=5", "blocked")
        assert [] in pages
        found = [block["user"] for page in pages for block in page]
        assert sorted(found) == [f"name{n}" for n in range(30, 40)]
        assert len(set(found)) == len(found)

    ask(blocks, scenario)


def test_what_is_blocked_meanwhile_moves_nothing_from_one_page_to_the_next(blocks: str):
    """A page goes on behind the block where the one before ended, not behind so many."""

    async def scenario(asking: Asking) -> None:
        first = await asking.get("/blocked?details=1&limit=5")
        add_blocks(blocks, [("newer", NOW_MS + 1, FOREVER, FOR_GOOD)])
        second = await asking.get(f"/blocked?details=1&limit=5&after={first['next']}")
        users = [block["user"] for page in (first, second) for block in page["blocked"]]
        assert users == [f"name{n:02}" for n in (3, 2, 1, 0, 7, 6, 5, 4, 11, 10)]

    ask(blocks, scenario)


Row = dict[str, Any]

DAYS = 3
_COLUMNS = "appended_ms, partition, generation, log_offset, id, kind, username, right_password,"
_COLUMNS += " decision, until_ms, change, policy_version, reply_partition, source, operator"


def add_decisions(database: str, rows: list[Row]) -> None:
    """Rows of the audit."""
    with psycopg.connect(database, autocommit=True) as connection:
        for day in range(DAYS):
            connection.execute("SELECT make_audit_day(%s)", (TODAY_MS - day * DAY_MS,))
        connection.cursor().executemany(
            f"INSERT INTO audit ({_COLUMNS}) VALUES (%(ms)s, %(partition)s, 1, %(offset)s, %(id)s,"
            " 'attempt', %(user)s, true, %(decision)s, 0, 0, 1, 0, %(source)s, %(operator)s)",
            rows,
        )


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """Decisions of three days, many of them in the same milliseconds."""
    luck = random.Random(15)
    times = [TODAY_MS - luck.randrange(2 * DAY_MS) for _ in range(60)] + [TODAY_MS, NOW_MS]
    return [
        {
            "ms": luck.choice(times),
            "partition": number % 4,
            "offset": number,
            "id": number.to_bytes(16),
            "user": luck.choice(("ana", "ben", "cleo")),
            "decision": luck.choice((0, 1, 1, 2)),
            "source": luck.choice((None, "192.0.2.7", "2001:db8::7")),
            "operator": luck.choice((None, None, "Cleo", "Dan")),
        }
        for number in range(400)
    ]


@pytest.fixture
def audited(database: str, rows: list[Row]) -> str:
    """A database with them."""
    add_decisions(database, rows)
    return database


def ids(found: list[Row]) -> list[int]:
    """Which decisions these are."""
    return [int(one["id"], 16) for one in found]


def newest(rows: list[Row], **wanted: Any) -> list[int]:
    """Which decisions are to be found, newest first."""
    found = [
        row
        for row in rows
        if wanted.get("from_ms", 0) <= row["ms"] < wanted.get("to_ms", NOW_MS + DAY_MS)
        and all(
            row[name] == wanted[name]
            for name in ("user", "source", "decision", "operator")
            if wanted.get(name)
        )
        and ("operator" not in wanted or row["operator"])
    ]
    found.sort(key=lambda row: (row["ms"], row["offset"], row["partition"]), reverse=True)
    return [row["offset"] for row in found]


def test_attempts_are_found_by_all_that_can_be_asked(audited: str, rows: list[Row]):
    """In any combination, each once, newest first, whatever the size of a page."""
    luck = random.Random(7)

    async def scenario(asking: Asking) -> None:
        for _ in range(40):
            wanted: dict[str, Any] = {}
            query = {"limit": str(luck.choice((1, 7, 60, 1000)))}
            if luck.random() < 0.4:
                wanted["user"] = query["user"] = luck.choice(("ana", "ben"))
            if luck.random() < 0.4:
                wanted["source"] = query["source"] = "2001:db8::7"
            if luck.random() < 0.4:
                wanted["decision"], query["verdict"] = Decision.BLOCKED, "blocked"
            if luck.random() < 0.4:
                wanted["operator"] = query["operator"] = luck.choice(("", "Cleo"))
            if luck.random() < 0.4:
                wanted["from_ms"] = luck.choice(rows)["ms"]
                query["from"] = iso(wanted["from_ms"])
            if luck.random() < 0.4:
                wanted["to_ms"] = luck.choice(rows)["ms"]
                query["to"] = iso(wanted["to_ms"])
            if query["limit"] == "1":  # enough of so small pages
                wanted["from_ms"] = max(wanted.get("from_ms", 0), TODAY_MS - DAY_MS // 4)
                query["from"] = iso(wanted["from_ms"])
            path = "/attempts?" + "&".join(f"{name}={value}" for name, value in query.items())
            pages = await asking.pages(path, "attempts")
            assert [one for page in pages for one in ids(page)] == newest(rows, **wanted), path

    ask(audited, scenario)


def test_a_page_that_takes_too_long_ends_early(
    audited: str, rows: list[Row], monkeypatch: pytest.MonkeyPatch
):
    """It may be empty, and `next` leads on, until everything was looked at."""
    monkeypatch.setattr(audit_slices, "BEGUN_WITHIN", 0.0)
    monkeypatch.setattr(audit_slices, "SLICE_MS", DAY_MS // 24)

    async def scenario(asking: Asking) -> None:
        since = iso(TODAY_MS - DAYS * DAY_MS)
        path = f"/attempts?verdict=blocked&limit=1000&from={since}"
        pages = await asking.pages(path, "attempts")
        assert [] in pages
        expected = newest(rows, decision=Decision.BLOCKED)
        assert [one for page in pages for one in ids(page)] == expected

    ask(audited, scenario)


def test_a_day_comes_whole_and_in_order(
    audited: str, rows: list[Row], monkeypatch: pytest.MonkeyPatch
):
    """Oldest first, a line for each decision, also where each look gets few of them."""
    monkeypatch.setattr(audit_slices, "CHUNK", 7)
    begin = TODAY_MS - DAY_MS
    day = iso(begin)[:10]

    async def scenario(asking: Asking) -> None:
        for query, wanted in (
            ("", {}),
            ("&user=ana&verdict=rejected", {"user": "ana", "decision": 1}),
        ):
            status, body = await asking.answer(
                f"/attempts?day={day}{query}", Accept="application/x-ndjson"
            )
            assert status == 200
            found = [json.loads(line) for line in body.splitlines()]
            expected = newest(rows, from_ms=begin, to_ms=TODAY_MS, **wanted)
            assert ids(found) == expected[::-1]
            page = await asking.get(f"/attempts?day={day}&limit=1000{query}")
            assert page["attempts"] == found[::-1]

    ask(audited, scenario)


def test_a_day_that_cannot_be_read_is_no_answer_that_has_begun(
    audited: str, monkeypatch: pytest.MonkeyPatch
):
    """It is 503, as for everything else that needs Postgres; and so the next one may be read."""

    async def away(*_: object, **__: object) -> AsyncIterator[list[DecisionRow]]:
        raise UnavailableError("Postgres is away")
        yield []

    async def scenario(asking: Asking) -> None:
        path = f"/attempts?day={iso(TODAY_MS)[:10]}"
        with monkeypatch.context() as patched:
            patched.setattr(audit_slices, "oldest_first", away)
            for _ in range(attempts.MOST_EXPORTS + 1):
                status, body = await asking.answer(path, Accept="application/x-ndjson")
                assert (status, json.loads(body)["code"]) == (503, "unavailable")
        assert (await asking.answer(path, Accept="application/x-ndjson"))[0] == 200

    ask(audited, scenario)


def test_only_so_many_days_are_read_at_the_same_time(audited: str, monkeypatch: pytest.MonkeyPatch):
    """The others are told to come again."""
    monkeypatch.setattr(attempts, "_exports", set(range(attempts.MOST_EXPORTS)))

    async def scenario(asking: Asking) -> None:
        day = iso(TODAY_MS)[:10]
        status, body = await asking.answer(f"/attempts?day={day}", Accept="application/x-ndjson")
        assert (status, json.loads(body)["code"]) == (503, "overloaded")

    ask(audited, scenario)


def add_policy(database: str, policy: Policy, before: Policy | None, ms: int, offset: int) -> None:
    """A policy that came into force in partition 1, and in 0 a minute later."""
    fields = [list(_values(each)) for each in (before, policy) if each]
    with psycopg.connect(database) as connection:
        for partition, at in ((1, ms), (0, ms + 60_000)):
            connection.execute(
                f"INSERT INTO audit ({_COLUMNS}) VALUES"
                " (%s, %s, 1, %s, '', 'policy', '', NULL, 0, 0, 0, %s, 0, NULL, NULL)",
                (at, partition, offset, policy.version),
            )
            seal = Seal(
                *(partition, 1, offset - 5, offset + 5, at, at, at, fields, 3, b"", b""),
            )
            connection.execute(
                "INSERT INTO audit_seals VALUES (%s, 1, %s, %s, %s, %s)",
                (partition, offset + 5, at, at, encode(seal)),
            )


def _values(policy: Policy) -> list[object]:
    return [getattr(policy, name) for name in policy.__struct_fields__]


def test_one_change_of_the_policy_at_a_time(database: str):
    """The operator port's lock is the commands' one, and ends with its transaction."""

    async def free() -> bool:
        url = as_role(database, OPERATOR)
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            async with connection.transaction():
                found = await nobody_else_changes(connection)
                if found:
                    with exclusive_command(command) as exclusive:
                        assert not exclusive
            with exclusive_command(command) as exclusive:
                assert exclusive
        return found

    with psycopg.connect(database, autocommit=True) as command:
        assert asyncio.run(free())
        command.execute("UPDATE topology SET wanted = partitions + 1")
        assert not asyncio.run(free()), "a resize is under way"
        command.execute("UPDATE topology SET wanted = partitions")
        with psycopg.connect(database, autocommit=True) as other, exclusive_command(other) as held:
            assert held

            async def beside() -> bool:
                url = as_role(database, OPERATOR)
                async with await psycopg.AsyncConnection.connect(url) as connection:
                    return await nobody_else_changes(connection)

            assert not asyncio.run(beside())


def test_the_policy_is_not_looked_for_among_the_deleted_accounts(database: str):
    """Each deletion leaves rows without a name; with millions of them /policy came too late."""
    add_policy(database, Policy(version=1), None, NOW_MS - 2000, 10)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(
            f"INSERT INTO audit ({_COLUMNS})"
            " SELECT %s, 2, 1, n, '', 'attempt', '', false, 0, 0, 0, 1, 0, NULL, NULL"
            " FROM generate_series(1, 5000) n",
            (NOW_MS,),
        )
        connection.execute(
            "INSERT INTO partition_progress (partition, epoch, owner, policy)"
            " VALUES (0, 1, 'me', %s)",
            (msgspec.json.encode(Policy(version=1)).decode(),),
        )
        connection.execute("ANALYZE audit")
    plans: list[str] = []

    class Explaining(psycopg.AsyncConnection[Any]):
        async def execute(self, query: Any, *values: Any, **options: Any) -> Any:
            if "FROM audit" in query:
                plan = await super().execute("EXPLAIN " + query, *values)
                plans.append(str(await plan.fetchall()))
            return await super().execute(query, *values, **options)

    async def scenario() -> None:
        async with await Explaining.connect(as_role(database, OPERATOR)) as connection:
            assert await select_policy(connection)
            assert await select_policies(connection, 10)

    asyncio.run(scenario())
    index = f"audit_{iso(NOW_MS)[:10].replace('-', '')}_policy"
    assert [index in plan for plan in plans] == [True, True], plans


def test_the_policy_and_its_history_are_shown(database: str):
    """What is in force since when, where it is not yet, and what was changed before."""
    first, second = Policy(version=1, threshold=10), Policy(version=2, block_ms=60_000)

    async def none_yet(asking: Asking) -> None:
        status, body = await asking.answer("/policy")
        assert (status, json.loads(body)["code"]) == (503, "unavailable")
        assert (await asking.get("/policy/history")) == {"policies": []}

    ask(database, none_yet)
    add_policy(database, first, None, NOW_MS - 2000, 10)
    add_policy(database, second, first, NOW_MS - 1000, 20)
    with psycopg.connect(database) as connection:
        for partition in range(3):
            connection.execute(
                "INSERT INTO partition_progress (partition, epoch, owner, policy)"
                " VALUES (%s, 1, 'test', %s)",
                (
                    partition,
                    json.dumps(dict(zip(first.__struct_fields__, _values(second), strict=True))),
                ),
            )

    async def scenario(asking: Asking) -> None:
        shown = await asking.get("/policy")
        assert shown["policy"]["block_ms"] == 60_000
        assert shown["since"] == iso(NOW_MS - 1000)
        assert (shown["partitions"], shown["behind"], shown["tried"]) == (4, [3], None)
        history = (await asking.get("/policy/history"))["policies"]
        assert [(one["version"], one["since"], one["changed"]) for one in history] == [
            (2, iso(NOW_MS - 1000), ["threshold", "block_ms"]),
            (1, iso(NOW_MS - 2000), []),
        ]
        assert [one["policy"]["threshold"] for one in history] == [5, 10]
        assert (await asking.get("/policy/history?limit=1"))["policies"] == history[:1]
        tried = dict(zip(first.__struct_fields__, _values(second), strict=True)) | {"threshold": 3}
        with psycopg.connect(database) as connection:
            connection.execute(
                "INSERT INTO shadow_policy VALUES (true, %s, %s)", (json.dumps(tried), NOW_MS)
            )
        expected = {"policy": tried, "since": iso(NOW_MS), "changed": ["threshold"]}
        assert (await asking.get("/policy"))["tried"] == {**expected, "result": None}
        some = Figures(3, 2, 1)._asdict()
        for since_ms, shown in ((NOW_MS, True), (NOW_MS - 1, False)):
            counted = Counted(since_ms, NOW_MS + 5, 2, 7, 12, some, some, some)
            with psycopg.connect(database) as connection:
                connection.execute(
                    "UPDATE shadow_policy SET figures = %s",
                    (msgspec.json.encode(counted).decode(),),
                )
            assert (await asking.get("/policy"))["tried"]["result"] == (
                {
                    **{"as_of": iso(NOW_MS + 5), "one_of": 2, "version": 7, "attempts": 12},
                    **{"as_it_was": some, "in_force": some, "shadow": some},
                }
                if shown
                else None  # they are of a trial before
            )

    ask(database, scenario)
