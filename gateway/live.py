"""What goes on now, looked at once a second while anybody watches.

It is what is counted and heard anyway: in the metrics' files of this host's gateway, in the
heartbeats of all workers; and where the log ends, which tells how much is undecided. No login waits
for any of it, and without anybody who watches nothing of it is done.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

import structlog
from confluent_kafka import Consumer, KafkaException
from msgspec import Struct

from events.clients import asking_consumer, end_offsets
from events.topics import ATTEMPTS
from gateway.blocklist.blocklist import Blocklist
from gateway.errors import UnavailableError
from gateway.timestamps import iso, now_ms
from processes.metrics import families
from settings import Settings

LOOK_SECONDS = 1.0
"""Between two looks."""

LATENCY_LOOKS = 10
"""Times are those of what was answered since so many looks ago."""

UNWATCHED_LOOKS = 3
"""After so many that nobody waited for there are no more."""

END_SECONDS = 0.5
"""The brokers' time to say where partitions end."""

logger = structlog.get_logger()


class Within(Struct):
    """Within how many seconds answers came, in the last ten; null: there was none.

    A bound of the metrics' buckets, so at most; the last one, 10, is at least.
    """

    half: float | None
    """Half of them"""
    most: float | None
    """99 of 100"""


class LivePartition(Struct):
    """What was heard of a partition's worker."""

    partition: int
    epoch: int
    """Rises with each worker that takes it over"""
    next: int
    """The offset before which everything is decided and published"""
    lag: int | None
    """Records that are not, as of about a second ago; null: the brokers do not say"""
    heard: float | None
    """Seconds since its last heartbeat; null: there was none"""


class LiveFigures(Struct):
    """What this host's gateway answers, and what it hears of all workers."""

    at: str
    """ISO 8601 in UTC"""
    logins: dict[str, float]
    """Answers a second, by result, as cerrojo_logins_total has them"""
    service_attempts: dict[str, float]
    """The same of services' attempts"""
    verdicts: float
    """A second, of the log, on all requests of this host"""
    login_seconds: Within
    verdict_seconds: Within
    partitions: list[LivePartition]


class Counted(NamedTuple):
    """What a look has found."""

    at: float
    """On the monotonic clock."""
    results: dict[tuple[str, str], float]
    """Answers since ever, by metric and result."""
    buckets: dict[tuple[str, float], float]
    """Of histograms, by metric and upper bound."""
    ends: dict[int, int]
    """Where the log ends, by partition."""


_LOGINS, _ATTEMPTS = "cerrojo_logins", "cerrojo_service_attempts"
_LOGIN_SECONDS, _VERDICT_SECONDS = "cerrojo_login_seconds", "cerrojo_verdict_seconds"


class Live:
    """Gives the figures of each look to all that watch. For the event loop's thread."""

    def __init__(
        self,
        settings: Settings,
        blocklist: Blocklist,
        look: Callable[[int], Counted] | None = None,
    ) -> None:
        """`look` counts, of so many partitions, in a thread."""
        self._settings = settings
        self._blocklist = blocklist
        self._look = look or self._count
        self._consumer: Consumer | None = None  # of the thread alone
        self._thread = ThreadPoolExecutor(1, "live")
        self._next: asyncio.Future[LiveFigures] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._watched = False

    async def next(self) -> LiveFigures:
        """The figures of the next look. Raises UnavailableError where it failed."""
        self._watched = True
        if self._looking is None:
            self._next = asyncio.get_running_loop().create_future()
            self._looking = asyncio.ensure_future(self._keep_looking())
        assert self._next
        return await asyncio.shield(self._next)

    async def close(self) -> None:
        """Look no more."""
        if self._looking:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        self._thread.shutdown(wait=False)

    async def _keep_looking(self) -> None:
        looks: deque[Counted] = deque(maxlen=LATENCY_LOOKS + 1)
        unwatched = 0
        loop = asyncio.get_running_loop()
        try:
            while self._watched or unwatched < UNWATCHED_LOOKS:
                began = time.monotonic()
                looks.append(
                    await loop.run_in_executor(self._thread, self._look, self._blocklist.partitions)
                )
                if len(looks) > 1:
                    unwatched = 0 if self._watched else unwatched + 1
                    self._tell(figures(looks[0], looks[-2], looks[-1], self._blocklist))
                await asyncio.sleep(max(0.0, began + LOOK_SECONDS - time.monotonic()))
        except Exception:
            logger.exception("A look at what goes on failed")
        finally:
            assert self._next
            self._next.set_exception(UnavailableError("Nothing is known of what goes on now"))
            self._next.exception()  # nobody need wait for it
            self._looking = None
            self._thread.submit(self._disconnect)  # after what it does now

    def _tell(self, found: LiveFigures) -> None:
        waiting, self._next = self._next, asyncio.get_running_loop().create_future()
        self._watched = False
        assert waiting
        waiting.set_result(found)

    def _count(self, partitions: int) -> Counted:
        results, buckets = {}, {}
        for family in families():
            for sample in family.samples:
                if sample.name == f"{family.name}_total" and family.name in (_LOGINS, _ATTEMPTS):
                    results[family.name, sample.labels["result"]] = sample.value
                elif family.name in (_LOGIN_SECONDS, _VERDICT_SECONDS) and "le" in sample.labels:
                    buckets[family.name, float(sample.labels["le"])] = sample.value
        return Counted(time.monotonic(), results, buckets, self._ends(partitions))

    def _ends(self, partitions: int) -> dict[int, int]:
        topic = self._settings.prefixed(ATTEMPTS)
        with suppress(KafkaException):  # then nothing is known
            self._consumer = self._consumer or asking_consumer(self._settings)
            return end_offsets(self._consumer, topic, range(partitions), END_SECONDS)
        return {}

    def _disconnect(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None


def figures(oldest: Counted, before: Counted, now: Counted, blocklist: Blocklist) -> LiveFigures:
    """What has happened between two looks, and how fast since the oldest one."""
    seconds = now.at - before.at

    def rates(metric: str) -> dict[str, float]:
        return {
            result: round(max(0.0, count - before.results.get(key, 0.0)) / seconds, 1)
            for key, count in now.results.items()
            for name, result in [key]
            if name == metric
        }

    def within(metric: str) -> Within:
        counts = {
            bound: count - oldest.buckets.get((name, bound), 0.0)
            for (name, bound), count in sorted(now.buckets.items())
            if name == metric
        }
        return Within(_bound(counts, 0.5), _bound(counts, 0.99))

    all_verdicts = (_VERDICT_SECONDS, math.inf)
    verdicts = now.buckets.get(all_verdicts, 0.0) - before.buckets.get(all_verdicts, 0.0)
    return LiveFigures(
        at=iso(now_ms()),
        logins=rates(_LOGINS),
        service_attempts=rates(_ATTEMPTS),
        verdicts=round(max(0.0, verdicts) / seconds, 1),
        login_seconds=within(_LOGIN_SECONDS),
        verdict_seconds=within(_VERDICT_SECONDS),
        partitions=[
            LivePartition(
                partition=number,
                epoch=owner.epoch,
                next=owner.next.offset,
                lag=max(0, now.ends[number] - owner.next.offset) if number in now.ends else None,
                heard=None if math.isinf(owner.heard) else round(max(0.0, now.at - owner.heard), 1),
            )
            for number, owner in enumerate(blocklist.owners())
        ],
    )


def _bound(counts: Mapping[float, float], part: float) -> float | None:
    """The least upper bound of so large a part; `counts` has how many are below each, rising."""
    whole = counts.get(math.inf, 0.0)
    if whole <= 0:
        return None
    finite = [bound for bound in counts if math.isfinite(bound)]
    return next((bound for bound in finite if counts[bound] >= part * whole), finite[-1])
