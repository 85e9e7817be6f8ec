"""What the resources of one process work with, made after its start and closed at its end."""

from __future__ import annotations

import asyncio
import math
import time

from events.messages import FOREVER, Verdict
from gateway import metrics
from gateway.admission import Admission
from gateway.asking import LOOK, ask_until_decided, left, living_place
from gateway.database import Database
from gateway.errors import BlockedError, BlockedForGoodError
from gateway.hashing import Hasher
from gateway.journal import Journal, MakeRequest, Place
from gateway.lookups import Lookups
from gateway.news import News
from gateway.times import now_ms
from gateway.view import FRESH, View
from gateway.visitors import Visitors
from settings import Settings

HASH_BY = 0.75
"""The share of the deadline after which no hash begins: what is left is for it and its verdict.

Else an overload would spend most hashes on answers that come too late [measured: 24 logins a
second were accepted under ten times the load where the peak was 62]."""


class Services:
    """Of every gateway process. Made inside the event loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.view = View()
        self.news = News(settings, self.view)
        self.journal = Journal(settings)
        self.database = Database(settings)

    async def start(self) -> None:
        """Begin to connect; returns at once, and until :meth:`loaded` most answers are 503."""
        self.journal.start()
        self.news.start()
        await self.database.open()

    async def loaded(self) -> None:
        """Return when this process can give every answer that any other could."""
        await self.journal.ready
        await self.news.ready
        for _ in range(int(FRESH / LOOK)):  # who is silent for longer has no worker
            if not self.view.silent(time.monotonic()):
                break
            await asyncio.sleep(LOOK)

    def observe(self) -> None:
        """Bring the metrics up to date and forget what is over; to be called now and then."""
        silent = len(self.view.silent(time.monotonic()))
        self.view.prune(now_ms())
        metrics.VIEW_BLOCKS.set(len(self.view))
        metrics.VIEW_PARTITIONS_FRESH.set(self.view.partitions - silent)
        metrics.VIEW_PARTITIONS_SILENT.set(silent)
        self.database.observe()
        self.journal.observe()

    async def close(self) -> None:
        """Close everything; within two seconds or so."""
        await asyncio.gather(self.journal.close(), self.news.close(), self.database.close())

    def living_place(self, user: str) -> Place:
        """Where this account is decided, or UnavailableError where no worker is known to live."""
        return living_place(self.view, user)

    async def ask(self, user: str, due: float, request: MakeRequest) -> Verdict:
        """The log's verdict on a request, or UnavailableError where there is none by then."""
        return await ask_until_decided(self.view, self.journal, user, due, request)


class LoginServices(Services):
    """Of a process that serves the login port."""

    def __init__(self, settings: Settings, visitors: Visitors) -> None:
        super().__init__(settings)
        self.hasher = Hasher(settings)
        self.lookups = Lookups(self.database, settings.deadline_seconds)
        self.admission = Admission(
            settings.checks_per_user,
            settings.checks_in_flight,
            settings.waiting_per_user,
            settings.waiting,
            then=self.hasher.turns,
            visitors=visitors,
        )
        # A registration holds a connection while it waits for its verdict; logins need some, too.
        self.registering = asyncio.Semaphore(max(1, settings.database_connections // 2))

    def refuse_what_is_blocked(self, user: str) -> None:
        """Raise BlockedError and its like where it is known to be blocked.

        UnavailableError where nobody knows that.
        """
        self.living_place(user)
        now = now_ms()
        until_ms = self.view.blocked_until(user, now)
        if until_ms:
            raise blocked(until_ms, now)

    def left_to_begin(self, due: float) -> float:
        """Seconds in which a hash may begin whose answer is due then; OverloadedError if none."""
        return left(due - (1 - HASH_BY) * self.settings.deadline_seconds)

    def overloaded(self) -> bool:
        """Whether no hash of a login that comes now could begin in time.

        Reading a login before it is refused takes some of its time, and costs three times as
        much; so this is true a little earlier.
        """
        return self.admission.hopeless(0.95 * HASH_BY * self.settings.deadline_seconds)

    def observe(self) -> None:
        """Bring the metrics up to date."""
        super().observe()
        metrics.LOGINS_WAITING.set(self.admission.waiting + self.hasher.turns.waiting)
        metrics.FLOODED_ACCOUNTS.set(self.admission.floods)

    async def close(self) -> None:
        """Close everything."""
        self.hasher.close()
        await super().close()


def blocked(until_ms: int, now: int) -> BlockedError | BlockedForGoodError:
    """The error that says until when an account is blocked."""
    if until_ms == FOREVER:
        return BlockedForGoodError()
    return BlockedError(max(1, math.ceil((until_ms - now) / 1000)))
