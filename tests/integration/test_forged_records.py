"""Records that were not signed by who may: each is tried, and seen to work where nobody checks."""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from events.messages import (
    FOREVER,
    Attempt,
    Blocked,
    Claimed,
    Decision,
    Deleted,
    Heartbeat,
    Message,
    Policy,
    Request,
    SetLayout,
    SetPolicy,
    Unblock,
    Unblocked,
    Verdict,
    encode,
    new_id,
)
from events.positions import Position
from events.signatures import Sealer
from events.signing_keys import KeyFile, Role, make
from events.topics import ATTEMPTS, BLOCKS, VERDICTS
from gateway.blocklist.blocklist import Blocklist
from gateway.blocklist.consumer import BlocklistConsumer
from gateway.kafka.verdict_consumer import VerdictConsumer
from settings import Settings
from tests.harness.owner import (
    PARTITION,
    PATIENCE_SECONDS,
    REPLIES,
    Owners,
    put,
    read_all,
    unsealed,
    verdicts,
    work,
    wrong,
)
from workers.commands import quarantine
from workers.commands.errors import CommandError
from workers.partition.worker import UNCHECKED, Worker

ANA = b"ana"
STRICT = Policy(version=1, threshold=2, block_ms=0)
"""Two wrong passwords block for good."""


class Keys(NamedTuple):
    """Those of the system, and some of an attacker's own."""

    folder: Path
    ours: KeyFile
    others: KeyFile


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Made once."""
    folders = [tmp_path_factory.mktemp(name) for name in ("ours", "others")]
    for folder in folders:
        make(folder)
    return Keys(folders[0], *(KeyFile(folder, "workers") for folder in folders))


FORGERS: dict[str, Callable[[Keys, Role], tuple[KeyFile | None, Role]]] = {
    "nobody's key": lambda keys, role: (None, role),
    "a key of the attacker's own": lambda keys, role: (keys.others, role),
    "a gateway's key": lambda keys, role: (keys.ours, "gateway"),
}
"""What an attacker signs by, who wants to sign in a role."""


@pytest.fixture(params=FORGERS)
def forge(request: pytest.FixtureRequest, keys: Keys) -> Callable[[str, Role, Message, int], bytes]:
    """Makes the value of a record of `ana` that is not signed by who may."""

    def forged(topic: str, role: Role, message: Message, partition: int) -> bytes:
        by, claims = FORGERS[request.param](keys, role)
        key = ANA if topic == ATTEMPTS else None
        return Sealer(by, topic).seal(claims, encode(message), partition, key, now_ms())

    return forged


def now_ms() -> int:
    """The brokers are on this machine."""
    return round(time.time() * 1000)


def signed(keys: Keys, role: Role, message: Message, stamp: int | None = None) -> bytes:
    """The value of a record of `ana` as its sender makes it."""
    stamp = now_ms() if stamp is None else stamp
    return Sealer(keys.ours, ATTEMPTS).seal(role, encode(message), PARTITION, ANA, stamp)


def settings(kafka: str, database: str, keys: Keys | None) -> Settings:
    """Of a part that checks, or without keys of one that does not."""
    return Settings(
        kafka_bootstrap_servers=kafka,
        database_url=database,
        signing_keys=keys and keys.folder,
    )


@pytest.fixture
def owners(topics: str, database: str, keys: Keys) -> Iterator[Callable[[bool], Worker]]:
    """Makes owners that check, or do not; they sign in either case."""
    with Owners(settings(topics, database, keys)) as made:

        def new(checks: bool) -> Worker:
            options = {} if checks else {"opener": UNCHECKED}
            owner = made.new(database, first_policy=STRICT, **options)
            owner.claim()
            work(owner, until=1)  # the policy
            return owner

        yield new


def reasons(database: str) -> list[str]:
    """Why records were put aside, in the order of the log."""
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT reason FROM quarantine ORDER BY log_offset")
        return [reason for (reason,) in rows]


def stands(database: str) -> list[tuple[int, int | None]]:
    """The count and the block of `ana`."""
    with psycopg.connect(database) as connection:
        return connection.execute("SELECT in_a_row, blocked_until_ms FROM lock_states").fetchall()


BLOCK = [(2, FOREVER)]

LIFTING: list[tuple[Role, Request]] = [
    ("operator", Unblock(new_id(), REPLIES, "ana")),
    ("operator", Deleted(new_id(), REPLIES, "ana")),
    ("policy", SetPolicy(new_id(), REPLIES, Policy(version=9, threshold=100))),
    ("policy", SetLayout(new_id(), REPLIES, 4)),
]


@pytest.mark.parametrize("checks", [True, False], ids=["checked", "unchecked"])
def test_no_forged_request_is_decided(owners, topics, database, keys, forge, checks) -> None:
    """One lifts a block, one deletes an account, one sets a policy, one a layout; all are put
    aside, and the partition goes on. A worker that does not check decides them."""
    owner = owners(checks)
    put(topics, *(signed(keys, "gateway", wrong("ana")) for _ in range(2)), key=ANA)
    work(owner, until=3)
    assert stands(database) == BLOCK
    forged = [forge(ATTEMPTS, role, message, PARTITION) for role, message in LIFTING]
    put(topics, *forged[:3], key=ANA)
    work(owner, until=6)
    if not checks:
        assert stands(database) == []
        assert owner.progress.policy.version == 9
        assert reasons(database) == []
        return
    put(topics, forged[3], signed(keys, "gateway", wrong("ana")), key=ANA)
    work(owner, until=8)
    assert stands(database) == BLOCK
    assert owner.progress.policy == STRICT
    assert owner.progress.layout == 0
    assert len(reasons(database)) == 4
    assert [v.decision for v in verdicts(topics)] == [
        *(Decision.REJECTED, Decision.REJECTED, Decision.BLOCKED)
    ]


@pytest.mark.parametrize("checks", [True, False], ids=["checked", "unchecked"])
def test_no_copy_of_a_success_clears_a_count(owners, topics, database, keys, checks) -> None:
    """An attacker guesses once, appends the owner's last success again, and guesses once more.

    A copy that comes soon is a repetition; one that comes later is put aside by its time, and one
    in another account's name, or of another partition, by its signature.
    """
    owner = owners(checks)
    success = Attempt(new_id(), REPLIES, "ana", True)
    guess, later = wrong("ana"), Attempt(new_id(), REPLIES, "ana", True)
    put(
        topics,
        signed(keys, "gateway", success),
        signed(keys, "gateway", guess),
        signed(keys, "gateway", success),
        signed(keys, "gateway", later, now_ms() - 20_100),
        signed(keys, "gateway", later, now_ms() + 60_000),
        key=ANA,
    )
    put(topics, signed(keys, "gateway", later), key=b"bob")
    other = Sealer(keys.ours, ATTEMPTS).seal("gateway", encode(later), 1, ANA, now_ms())
    put(topics, other, key=ANA)
    work(owner, until=8)
    assert stands(database) == ([(1, None)] if checks else [])
    assert verdicts(topics)[2].decision == Decision.REPEATED
    if checks:
        late, early, *moved = reasons(database)
        assert "after the time in its signature" in late
        assert "before the time in its signature" in early
        assert ["altered or moved" in reason for reason in moved] == [True, True]


def test_a_replayed_log_is_believed_again(owners, topics, database, keys) -> None:
    """Time that passes for a worker changes nothing: the log's times are the same."""
    first = owners(True)
    put(topics, *(signed(keys, "gateway", wrong("ana")) for _ in range(2)), key=ANA)
    work(first, until=3)
    with psycopg.connect(database) as connection:
        for table in ("partition_progress", "lock_states", "audit"):
            connection.execute(f"TRUNCATE {table}")
    again = owners(True)
    work(again, until=3)
    assert stands(database) == BLOCK
    assert reasons(database) == []


class Heard:
    """The verdicts that a gateway takes."""

    def __init__(self, kafka: str, database: str, keys: Keys | None) -> None:
        self.ready: queue.Queue[int] = queue.Queue()
        self.verdicts: queue.Queue[Verdict] = queue.Queue()
        self._consumer = VerdictConsumer(
            settings(kafka, database, keys),
            self.ready.put,
            lambda found: [self.verdicts.put(one) for one in found],  # type: ignore[arg-type]
            keys and KeyFile(keys.folder, "gateway"),
        )

    def __enter__(self) -> Heard:
        """It listens."""
        self._consumer.start()
        return self

    def __exit__(self, *_: object) -> None:
        """It does no more."""
        self._consumer.close()


@pytest.mark.parametrize("checks", [True, False], ids=["checked", "unchecked"])
def test_no_forged_verdict_is_heard(topics, database, keys, forge, checks) -> None:
    """Also not by who has read the id of the request in the log."""
    false = Verdict(new_id(), "ana", Decision.ACCEPTED, 0)
    true = Verdict(new_id(), "ana", Decision.REJECTED, 0)
    with Heard(topics, database, keys if checks else None) as heard:
        partition = heard.ready.get(timeout=PATIENCE_SECONDS)
        genuine = Sealer(keys.ours, VERDICTS).seal("worker", encode(true), partition)
        forged = forge(VERDICTS, "worker", false, partition)
        put(topics, forged, genuine, topic=VERDICTS, partition=partition)
        first = heard.verdicts.get(timeout=PATIENCE_SECONDS)
        assert first == (true if checks else false)


@pytest.mark.parametrize("checks", [True, False], ids=["checked", "unchecked"])
def test_no_forged_news_are_believed(owners, topics, database, keys, forge, checks) -> None:
    """One blocks an account that nothing stands against, one lifts a block, a heartbeat makes a
    dead owner live, a claim puts all blocks in doubt; and so do copies of an owner's news."""
    owner = owners(True)
    put(topics, *(signed(keys, "gateway", wrong("ana")) for _ in range(2)), key=ANA)
    work(owner, until=3)
    epoch = owner.progress.epoch
    far = Position(1, 1_000)
    news = (
        Blocked(PARTITION, far, "bob", FOREVER, epoch),
        Unblocked(PARTITION, far, "ana", epoch),
        Heartbeat(1, epoch, Position(1, 0)),
        Claimed(PARTITION, epoch + 9, Position(1, 0)),
    )
    asyncio.run(_follow(owner, topics, database, keys, checks, forge, news))


async def _follow(owner, topics, database, keys, checks, forge, news) -> None:
    blocklist = Blocklist()
    following = BlocklistConsumer(
        settings(topics, database, keys if checks else None),
        blocklist,
        KeyFile(keys.folder, "gateway") if checks else None,
    )
    following.start()

    def published() -> None:
        owner._heartbeat_at = 0.0
        owner.run_once()
        owner.flush()

    async def heard() -> None:
        """All that is in the topic now was read: the owner's next heartbeat is."""
        await asyncio.to_thread(published)
        end = len(read_all(topics, BLOCKS, 0))
        due = time.monotonic() + PATIENCE_SECONDS
        while blocklist.ends._position < end:
            assert time.monotonic() < due
            await asyncio.sleep(0.01)

    def known() -> tuple[bool, bool, bool, str]:
        return (
            blocklist.blocked_until("bob", 0) > 0,
            blocklist.blocked_until("ana", 0) > 0,
            blocklist.fresh(1, time.monotonic()),
            blocklist.doubt,
        )

    try:
        await following.ready
        await heard()
        before = known()
        assert before == (False, True, False, "")
        copies = read_all(topics, BLOCKS, 0) if checks else []
        assert all(unsealed(copy) for copy in copies)
        for one in news[:2]:
            put(topics, forge(BLOCKS, "worker", one, 0), topic=BLOCKS, partition=0)
        await heard()
        if not checks:
            assert known()[:2] == (True, False)
        put(topics, forge(BLOCKS, "worker", news[2], 0), topic=BLOCKS, partition=0)
        if not checks:  # it puts the blocklist in doubt, which is loaded anew, without bob
            due = time.monotonic() + PATIENCE_SECONDS
            while blocklist.blocked_until("bob", 0):
                assert time.monotonic() < due
                await asyncio.sleep(0.01)
            return
        await heard()
        put(topics, forge(BLOCKS, "worker", news[3], 0), *copies, topic=BLOCKS, partition=0)
        await heard()
        assert known() == before
    finally:
        await following.close()


def test_the_quarantine_makes_no_forged_record_a_true_one(owners, topics, database, keys) -> None:
    """What does not verify stays there; what was late needs a person that says so."""
    owner = owners(True)
    forged = encode(Unblock(new_id(), REPLIES, "ana"))
    moved = Sealer(keys.ours, ATTEMPTS).seal("gateway", encode(wrong("ana")), 1, ANA, now_ms())
    late = signed(keys, "gateway", wrong("ana"), now_ms() - 60_000)
    put(topics, forged, moved, late, key=ANA)
    work(owner, until=4)
    assert len(reasons(database)) == 3

    def replay(*which: object) -> quarantine.Replayed:
        with ThreadPoolExecutor() as executor:
            config = settings(topics, database, keys)
            command = executor.submit(quarantine.replay, config, *which)
            while not command.done():  # it waits for a heartbeat
                owner.run_once()
            return command.result()

    with pytest.raises(CommandError, match="it has no signature"):
        replay(PARTITION, 1)
    done = replay(None, None, True)
    assert done.appended == 0
    assert ["--late" in sentence for sentence in done.refused] == [False, False, True]
    done = replay(None, None, True, True)
    assert (done.appended, len(done.refused)) == (1, 2)
    work(owner, until=5)
    assert stands(database) == [(1, None)]
    assert len(reasons(database)) == 3
