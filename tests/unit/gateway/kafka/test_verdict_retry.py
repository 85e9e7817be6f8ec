"""A request is asked again where its account is now, when the partitions have become more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import pytest

from events.messages import (
    Attempt,
    Decision,
    Heartbeat,
    Registered,
    Request,
    Unblock,
    Verdict,
)
from events.partitioner import partition_of
from events.positions import Position
from gateway.blocklist.blocklist import Blocklist, BlocklistSnapshot
from gateway.errors import NoPartitionError, NotDeliveredError, UnavailableError
from gateway.kafka import verdict_retry
from gateway.kafka.verdict_client import Destination, MakeRequest
from gateway.kafka.verdict_retry import MakeExpiring, VerdictRetry

USER = "anna"
BEFORE, AFTER = Destination(0, 1), Destination(1, 2)

NOW_MS = 1_795_491_529_733
"""The time on the brokers' clock at 0 on the monotonic one."""


def blocklist(partitions: int = 1) -> Blocklist:
    """A blocklist of so many partitions, two of which live."""
    made = Blocklist()
    made.clock.learn(0.0, 0.0, NOW_MS)
    made.load(BlocklistSnapshot(partitions, {}, {}))
    hear(made, 0)
    return made


def hear(made: Blocklist, partitions: int) -> None:
    """A heartbeat of two partitions, which says how many there are."""
    news = [Heartbeat(n, 1, Position(1, 0), partitions) for n in range(2)]
    made.apply(news, time.monotonic())
    made.use(partitions)


class Log:
    """Decides what is asked in the right place; the partitions become more after some requests."""

    def __init__(self, made: Blocklist, grows: bool = True, missing: int = 0) -> None:
        self.asked: list[tuple[Destination, Request]] = []
        self._blocklist = made
        self._grows = grows
        self._missing = missing

    async def ask(
        self,
        user: str,
        destination: Destination,
        seconds: float,
        request: MakeRequest,
        now_ms: int,
    ) -> Verdict:
        """The verdict of a log that has two partitions."""
        if destination == AFTER and self._missing:
            self._missing -= 1
            raise NoPartitionError("not yet")
        self.asked.append((destination, request(bytes(16), 3, destination.partitions)))
        if destination == AFTER:
            return Verdict(bytes(16), user, Decision.ACCEPTED, 0)
        if self._grows:
            asyncio.get_running_loop().call_later(0.01, hear, self._blocklist, 2)
        return Verdict(bytes(16), user, Decision.MOVED, 0)


def ask(made: Blocklist, log: Log, seconds: float = 30.0, meanwhile: int = 0) -> Verdict:
    """A login's question, with so many seconds from its first step on.

    While it waits, so many partitions are heard.
    """

    async def asked() -> Verdict:
        if meanwhile:
            asyncio.get_running_loop().call_soon(hear, made, meanwhile)
        return await VerdictRetry(made, log).ask(
            USER,
            time.monotonic() + seconds,
            lambda id_, reply, partitions, _: Attempt(id_, reply, USER, True, partitions),
        )

    return asyncio.run(asked())


def test_what_was_not_decided_is_asked_where_the_account_is_now() -> None:
    """Once this process has heard of it; each request says by how many it was addressed."""
    assert [partition_of(USER, n) for n in (1, 2)] == [0, 1]
    made = blocklist()
    log = Log(made)
    assert ask(made, log).decision == Decision.ACCEPTED
    assert log.asked == [
        (BEFORE, Attempt(bytes(16), 3, USER, True, 1)),
        (AFTER, Attempt(bytes(16), 3, USER, True, 2)),
    ]


def test_who_never_hears_of_the_new_partitions_gives_up_in_time() -> None:
    """Nothing was granted, and nothing counted."""
    made = blocklist()
    log = Log(made, grows=False)
    with pytest.raises(UnavailableError):
        ask(made, log, seconds=0.5)
    assert [destination for destination, _ in log.asked] == [BEFORE]


def test_a_producer_that_does_not_know_the_partition_yet_is_waited_for() -> None:
    """The brokers told the workers first."""
    made = blocklist(2)
    log = Log(made, missing=2)
    assert ask(made, log).decision == Decision.ACCEPTED


def test_without_a_living_worker_nothing_is_asked() -> None:
    """Nor before anything is known."""
    with pytest.raises(UnavailableError, match="still loading"):
        reach(Blocklist())
    silent = Blocklist()
    silent.load(BlocklistSnapshot(2, {}, {}))
    with pytest.raises(UnavailableError, match="Nobody can decide"):
        reach(silent)


def reach(made: Blocklist, seconds: float = 30.0, meanwhile: int = 0) -> None:
    """Look who could decide, with so many seconds for it.

    While it waits, if it does, so many partitions are heard.
    """

    async def reached() -> None:
        if meanwhile:
            asyncio.get_running_loop().call_soon(hear, made, meanwhile)
        await VerdictRetry(made, Log(made)).reach(USER, time.monotonic() + seconds)

    asyncio.run(reached())


def stood_still(ran: Iterable[float]) -> Blocklist:
    """The blocklist of a process that ran so many seconds ago, and heard its workers ten ago."""
    made, now = Blocklist(), time.monotonic()
    made.clock.learn(0.0, 0.0, NOW_MS)
    made.load(BlocklistSnapshot(1, {}, {}))
    made.apply([Heartbeat(0, 1, Position(1, 0), 1)], now - 10.0)
    for ago in ran:
        made.run(now - ago)
    return made


@pytest.mark.parametrize("ran", [[10.0], [10.0, 0.0]], ids=["now", "just now"])
def test_who_stood_still_reads_before_it_says_that_nobody_decides(ran: list[float]) -> None:
    """Whether a request comes first or what notices it; the heartbeats wait in its sockets."""
    reach(stood_still(ran), meanwhile=1)
    made = stood_still(ran)
    assert ask(made, Log(made), meanwhile=2).decision == Decision.ACCEPTED


def test_where_nothing_waited_nobody_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that died meanwhile is no secret for long."""
    monkeypatch.setattr(verdict_retry, "READING_SECONDS", 0.1)
    with pytest.raises(UnavailableError, match="Nobody can decide"):
        reach(stood_still([10.0]))


@pytest.mark.parametrize(
    ("ran", "seconds"),
    [([10.0], 0.0), ([0.5 * n for n in range(20, -1, -1)], 30.0), ([10.0, 1.5, 1.0, 0.5], 30.0)],
    ids=["its time is over", "it ran all the time", "it has read"],
)
def test_otherwise_nothing_is_waited_for(ran: list[float], seconds: float) -> None:
    """Nobody is heard who would be heard by waiting."""
    with pytest.raises(UnavailableError, match="Nobody can decide"):
        reach(stood_still(ran), seconds, meanwhile=1)


class Late:
    """A log that takes each request after its last moment."""

    def __init__(self) -> None:
        self.expires_ms: list[int] = []

    async def ask(
        self,
        user: str,
        destination: Destination,
        seconds: float,
        request: MakeRequest,
        now_ms: int,
    ) -> Verdict:
        """The verdict on it."""
        made = request(bytes(16), 3, destination.partitions)
        assert isinstance(made, Attempt)
        self.expires_ms.append(made.expires_ms)
        return Verdict(bytes(16), user, Decision.LATE, 0)


def test_a_request_expires_when_its_sender_may_be_told_that_nothing_was_granted() -> None:
    """By the brokers' clock; a verdict that it came too late grants nothing."""
    log, due = Late(), time.monotonic() + 5.0
    asking = VerdictRetry(blocklist(), log).ask(
        USER, due, lambda id_, reply, *rest: Attempt(id_, reply, USER, True, *rest)
    )
    with pytest.raises(UnavailableError, match="too late"):
        asyncio.run(asking)
    assert log.expires_ms == [NOW_MS + int(due * 1000)]


class Cut:
    """A log whose connection breaks once it was given a request, which it may get all the same."""

    async def ask(
        self,
        user: str,
        destination: Destination,
        seconds: float,
        request: MakeRequest,
        now_ms: int,
    ) -> Verdict:
        """Nothing that anybody could rely on."""
        request(bytes(16), 3, destination.partitions)
        raise NotDeliveredError("Kafka is not available")


def failure_takes(request: MakeExpiring, seconds: float) -> float:
    """The seconds after which this request is given up, of so many until its deadline."""

    async def scenario() -> float:
        asked = time.monotonic()
        with pytest.raises(NotDeliveredError):
            await VerdictRetry(blocklist(), Cut()).ask(USER, asked + seconds, request)
        return time.monotonic() - asked

    return asyncio.run(scenario())


@pytest.mark.parametrize("kind", [Unblock, Registered])
def test_what_clears_an_account_is_not_given_up_before_it_has_expired(
    kind: type[Unblock | Registered],
) -> None:
    """The log may get it until then, and it would undo what came after the answer."""
    assert failure_takes(lambda id_, reply, *rest: kind(id_, reply, USER, *rest), 0.3) >= 0.3


def test_an_attempt_that_fails_takes_the_same_time_right_or_wrong() -> None:
    """Else guesses that no log counts would tell the right password by the time they take."""
    for right in (False, True):
        taken = failure_takes(
            lambda id_, reply, *rest, right=right: Attempt(id_, reply, USER, right, *rest), 30.0
        )
        assert taken < 15.0
