"""Asks the log and waits for its verdict."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import NamedTuple

from events.messages import Request, Verdict, encode, new_id
from gateway import metrics
from gateway.errors import UnavailableError
from gateway.logs import Sparse
from gateway.replies import Replies
from gateway.writer import Writer
from settings import Settings

MakeRequest = Callable[[bytes, int, int], Request]
"""Makes a request of its id, the partition for its verdict, and how many partitions are used."""


class Place(NamedTuple):
    """Where an account's requests are to be written."""

    partition: int
    partitions: int
    """How many there were when it was chosen."""


class _Asker(NamedTuple):
    user: str
    verdict: asyncio.Future[Verdict]


class Journal:
    """What a process wants the log to decide, and the answers. For the event loop's thread."""

    def __init__(self, settings: Settings) -> None:
        self._loop = asyncio.get_running_loop()
        self._log = Sparse()
        self._askers: dict[bytes, _Asker] = {}
        self._reply_partition = -1
        self._writer = Writer(settings, self._soon(self._fail_all))
        self._replies = Replies(settings, self._soon(self._get_ready), self._soon(self._settle))
        self.ready: asyncio.Future[None] = self._loop.create_future()

    def start(self) -> None:
        """Connect; `ready` is done when verdicts can be heard."""
        self._writer.start()
        self._replies.start()

    async def ask(self, user: str, place: Place, seconds: float, request: MakeRequest) -> Verdict:
        """The log's verdict on a request.

        Raises UnavailableError where there is none within this time. The log may decide
        all the same, later.
        """
        if self._reply_partition < 0:
            raise UnavailableError("Kafka is not available yet; try again later")
        id_ = new_id()
        future: asyncio.Future[Verdict] = self._loop.create_future()
        self._askers[id_] = _Asker(user, future)
        started = time.monotonic()
        try:
            self._writer.write(
                place.partition,
                user,
                encode(request(id_, self._reply_partition, place.partitions)),
                self._soon(lambda reason: self._fail(id_, reason)),
            )
            async with asyncio.timeout(seconds):
                verdict = await future
        except TimeoutError:
            raise UnavailableError("No verdict came in time; try again later") from None
        finally:
            del self._askers[id_]
        metrics.VERDICT_SECONDS.observe(time.monotonic() - started)
        return verdict

    def reach(self, seconds: float) -> None:
        """Ask a broker anything, in the calling thread; KafkaException where none answers."""
        self._writer.reach(seconds)

    def observe(self) -> None:
        """Bring the producer's metric up to date."""
        metrics.PRODUCER_QUEUE.set(len(self._writer))

    async def close(self) -> None:
        """Write what waits and stop. Blocks no other task."""
        await asyncio.to_thread(self._writer.close, 0.5)
        await asyncio.to_thread(self._replies.close)

    def _soon(self, call: Callable[..., None]) -> Callable[..., None]:
        """The same call, but from any thread, and in the loop's."""

        def from_anywhere(*arguments: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                self._loop.call_soon_threadsafe(call, *arguments)

        return from_anywhere

    def _get_ready(self, partition: int) -> None:
        self._reply_partition = partition
        if not self.ready.done():
            self.ready.set_result(None)

    def _settle(self, verdicts: list[Verdict]) -> None:
        for verdict in verdicts:
            asker = self._askers.get(verdict.id)
            if asker is not None and asker.user == verdict.user and not asker.verdict.done():
                asker.verdict.set_result(verdict)

    def _fail(self, id_: bytes, reason: str) -> None:
        asker = self._askers.get(id_)
        if asker is not None and not asker.verdict.done():
            self._log.warning("A request may not have got into the log", reason=reason)
            asker.verdict.set_exception(UnavailableError("Kafka is not available; try again later"))

    def _fail_all(self) -> None:
        for id_ in self._askers:
            self._fail(id_, "the producer had to be replaced")
