"""Writes requests to the log and waits for their verdicts."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Literal, NamedTuple

from events.messages import Request, Verdict, encode, name_of, new_id
from events.signatures import Sealer
from events.signing_keys import KeyFile, Role
from events.topics import ATTEMPTS
from gateway import metrics, request_ids
from gateway.errors import NotDeliveredError, UnavailableError
from gateway.kafka.attempt_producer import AttemptProducer
from gateway.kafka.verdict_consumer import VerdictConsumer
from gateway.late import LATE, Late, give_up_in
from gateway.rate_limited_logger import RateLimitedLogger
from settings import Settings

MakeRequest = Callable[[bytes, int, int], Request]
"""Makes a request from a new id, the partition for its verdict and the number of used partitions.

It may have an id of its own instead, if no other that waits has the same.
"""


POLICY: Role = "policy"
"""The role that signs what concerns no account."""


class Destination(NamedTuple):
    """The partition of an account's requests."""

    partition: int
    partitions: int
    """The number of used partitions when it was chosen."""


class _Pending(NamedTuple):
    user: str
    """As the verdict says it."""
    verdict: asyncio.Future[Verdict | Late]


class VerdictClient:
    """The requests of this process that wait for a verdict. For the event loop's thread."""

    def __init__(
        self,
        settings: Settings,
        role: Literal["gateway", "operator"] = "gateway",
        keys: KeyFile | None = None,
    ) -> None:
        """Requests are signed in this role, policies in theirs; without keys, nothing is."""
        self._role: Role = role
        self._keys = keys
        self._sealer = Sealer(keys, settings.prefixed(ATTEMPTS))
        self._loop = asyncio.get_running_loop()
        self._logger = RateLimitedLogger()
        self._pending: dict[bytes, _Pending] = {}
        self._reply_partition = -1
        self.producer = AttemptProducer(settings, self._soon(self._fail_all))
        self._verdict_consumer = VerdictConsumer(
            settings, self._soon(self._get_ready), self._soon(self._settle), keys
        )
        self.ready: asyncio.Future[None] = self._loop.create_future()

    def start(self) -> None:
        """Connect; `ready` is done when verdicts can be received."""
        self.producer.start()
        self._verdict_consumer.start()

    async def ask(
        self,
        user: str,
        destination: Destination,
        seconds: float,
        request: MakeRequest,
        now_ms: int = 0,
    ) -> Verdict:
        """The log's verdict on a request; `now_ms` is the log's time, at most.

        `user` is empty for a request that concerns no account, whose record then has no key.
        Raises UnavailableError where there is none within this time, and NotDeliveredError
        as soon as Kafka reports a failure. The log may decide all the same, later.
        """
        if self._reply_partition < 0:
            raise UnavailableError("Kafka is not available yet; try again later")
        asked_by = request_ids.current()
        id_ = asked_by.value if asked_by and asked_by.unused else new_id()
        made = request(id_, self._reply_partition, destination.partitions)
        future: asyncio.Future[Verdict | Late] = self._loop.create_future()
        pending = self._pending[made.id] = _Pending(name_of(made), future)
        timer = give_up_in(self._loop, seconds, future)
        started = time.monotonic()
        role, key = (self._role, user.encode()) if user else (POLICY, None)
        try:
            self.producer.write(
                destination.partition,
                key,
                self._sealer.seal(role, encode(made), destination.partition, key, now_ms),
                self._soon(lambda reason: self._fail(pending, reason)),
            )
            if asked_by and made.id == asked_by.value:
                asked_by.unused = False
            verdict = await future
        finally:
            timer.cancel()
            del self._pending[made.id]
        if verdict is LATE:
            raise UnavailableError("No verdict came in time; try again later")
        metrics.VERDICT_SECONDS.observe(time.monotonic() - started)
        return verdict

    @property
    def signs_policies(self) -> bool:
        """Whether a policy that this process writes would be believed."""
        return self._keys is None or POLICY in self._keys.current().signing

    @property
    def waiting(self) -> int:
        """The number of requests that wait for their verdicts."""
        return len(self._pending)

    def observe(self) -> None:
        """Bring the producer's metric up to date."""
        metrics.PRODUCER_QUEUE.set(len(self.producer))

    async def close(self) -> None:
        """Write the waiting records and stop. Blocks no other task."""
        await asyncio.to_thread(self.producer.close, 0.5)
        await asyncio.to_thread(self._verdict_consumer.close)

    def _soon(self, call: Callable[..., None]) -> Callable[..., None]:
        """The same call, for any thread; it runs in the event loop's."""

        def from_anywhere(*arguments: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: no request waits
                self._loop.call_soon_threadsafe(call, *arguments)

        return from_anywhere

    def _get_ready(self, partition: int) -> None:
        self._reply_partition = partition
        if not self.ready.done():
            self.ready.set_result(None)

    def _settle(self, verdicts: list[Verdict]) -> None:
        for verdict in verdicts:
            pending = self._pending.get(verdict.id)
            if pending is not None and pending.user == verdict.user and not pending.verdict.done():
                pending.verdict.set_result(verdict)

    def _fail(self, pending: _Pending, reason: str) -> None:
        if not pending.verdict.done():
            self._logger.warning("A request may not have got into the log", reason=reason)
            pending.verdict.set_exception(
                NotDeliveredError("Kafka is not available; try again later")
            )

    def _fail_all(self) -> None:
        for pending in self._pending.values():
            self._fail(pending, "the producer had to be replaced")
