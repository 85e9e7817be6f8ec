"""The services that the resources of one process use; made after its start, closed at its end."""

from __future__ import annotations

import asyncio
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from events import signature_metrics
from events.messages import FOREVER
from events.signatures import Sealer
from events.signing_keys import key_file
from events.topics import SOURCES
from gateway import metrics
from gateway.account_changes import AccountChanges
from gateway.admission.account_turns import AccountTurns
from gateway.attack_watch import AttackWatch
from gateway.blocklist.blocklist import FRESH_SECONDS, Blocklist
from gateway.blocklist.consumer import BlocklistConsumer
from gateway.decoy_loader import DecoyLoader
from gateway.devices import Devices
from gateway.errors import BlockedError, BlockedForGoodError
from gateway.guess_keys import Guesses
from gateway.kafka.gathering import Gathering
from gateway.kafka.verdict_client import VerdictClient
from gateway.kafka.verdict_retry import LOOK_SECONDS, VerdictRetry, seconds_until
from gateway.keyed_attempts import KeyedAttempts
from gateway.limits.source_consumer import SourceConsumer
from gateway.limits.source_limits import SourceLimits
from gateway.limits.source_view import SourceView
from gateway.live import Live
from gateway.passwords import common_passwords
from gateway.passwords.hash_client import HashClient
from gateway.passwords.hash_formats import present_form
from gateway.policy_change import PolicyChange
from gateway.postgres.account_loader import AccountLoader
from gateway.postgres.database import Database
from gateway.sources import Sources
from gateway.timestamps import now_ms
from gateway.tokens import ServiceTokens
from settings import Settings

if TYPE_CHECKING:
    from gateway.sessions import Sessions


class Services:
    """The services of every gateway process. Made inside the event loop."""

    part: Literal["gateway", "operator"] = "operator"
    """Whose keys sign its requests."""

    is_loaded = False
    """Whether :meth:`loaded` has returned once."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError where the keys of records cannot be used."""
        self.settings = settings
        self.blocklist = Blocklist()
        self.keys = keys = key_file(settings, self.part)
        signature_metrics.SIGNING.set(keys is not None)
        self.blocklist_consumer = BlocklistConsumer(settings, self.blocklist, keys)
        self.verdict_client = VerdictClient(settings, self.part, keys)
        self.log = VerdictRetry(self.blocklist, self.verdict_client)
        self.database = Database(settings)
        self.source_view = SourceView(settings.source_failures, settings.attack_failures)
        self.source_consumer = SourceConsumer(settings, self.source_view, self.log_clock_ms, keys)

    async def start(self) -> None:
        """Begin to connect; returns at once, and until :meth:`loaded` most answers are 503."""
        self.verdict_client.start()
        self.blocklist_consumer.start()
        self.source_consumer.start()
        await self.database.open()

    async def loaded(self) -> None:
        """Return when this process can give every answer that any other could."""
        await self.verdict_client.ready
        await self.blocklist_consumer.ready
        for _ in range(int(FRESH_SECONDS / LOOK_SECONDS)):  # silent for longer: no worker
            now = time.monotonic()
            # Without the brokers' time no request can be given its last moment.
            if not self.blocklist.silent(now) and self.blocklist.clock.earliest_ms(now):
                break
            await asyncio.sleep(LOOK_SECONDS)
        self.is_loaded = True

    def observe(self) -> None:
        """Bring the metrics up to date and forget ended blocks; for every half second or so.

        Where it was called long ago, this process stood still.
        """
        now = time.monotonic()
        self.blocklist.run(now)
        silent = len(self.blocklist.silent(now))
        self.forget_ended()
        metrics.BLOCKLIST_BLOCKS.set(len(self.blocklist))
        metrics.BLOCKLIST_PARTITIONS_FRESH.set(self.blocklist.partitions - silent)
        metrics.BLOCKLIST_PARTITIONS_SILENT.set(silent)
        metrics.BLOCKLIST_AGE_SECONDS.set(now - self.blocklist.ends.read_up_to)
        metrics.CLOCK_DIFFERENCE.set(self.blocklist.clock.difference_seconds(now, now_ms()))
        metrics.SOURCES_LIVE.set(self.source_view.live)
        metrics.SOURCES_FAILED.set(self.source_view.failed_in_all)
        metrics.SOURCES_SUCCEEDED.set(self.source_view.succeeded_in_all)
        metrics.ATTACK.set(self.source_view.attack)
        self.database.observe()
        self.verdict_client.observe()

    def forget_ended(self) -> None:
        """Forget blocks that are over; none where only the host's clock is known, as at a start."""
        log_ms = self.log_clock_ms()
        if log_ms is not None:
            self.blocklist.prune(log_ms)

    def clock_ms(self) -> int:
        """The least that the brokers' clock may show: milliseconds since 1970, as in append times.

        A process that has heard no news since its start has only the host's clock.
        """
        earliest_ms = self.log_clock_ms()
        return now_ms() if earliest_ms is None else earliest_ms

    def log_clock_ms(self) -> int | None:
        """The same; None where this process has heard no news since its start."""
        return self.blocklist.clock.earliest_ms(time.monotonic())

    async def close(self) -> None:
        """Close everything; within two seconds or so."""
        await asyncio.gather(
            self.verdict_client.close(),
            self.blocklist_consumer.close(),
            self.source_consumer.close(),
            self.database.close(),
        )


class HashingServices(Services):
    """The services of a process that sets passwords, as that of the operator port."""

    def __init__(self, settings: Settings, hash_sockets: Path) -> None:
        """`hash_sockets` is the directory of the hash processes' sockets."""
        super().__init__(settings)
        self.hash_client = HashClient(settings, hash_sockets)
        self.common_passwords = common_passwords.load(settings.common_passwords)
        self.accounts = AccountChanges(self.database, self.log, settings.database_connections)

    async def loaded(self) -> None:
        """Return when this process can give every answer that any other could."""
        await self.hash_client.connected()
        await super().loaded()

    def observe(self) -> None:
        """Bring the metrics up to date."""
        super().observe()
        metrics.HASHES_IN_HAND.set(self.hash_client.in_hand)

    async def close(self) -> None:
        """Close everything."""
        await self.hash_client.close()
        await super().close()


class OperatorServices(HashingServices):
    """The services of the process that serves the operator port."""

    def __init__(self, settings: Settings, hash_sockets: Path) -> None:
        """`hash_sockets` is the directory of the hash processes' sockets."""
        super().__init__(settings, hash_sockets)
        self.live = Live(settings, self.blocklist)
        self.policy_change = PolicyChange(self.database, self.verdict_client)
        self.attack_watch = AttackWatch(self.source_view, self.database, settings.deadline_seconds)

    async def start(self) -> None:
        """Begin to connect; returns at once."""
        await super().start()
        self.attack_watch.start()

    async def close(self) -> None:
        """Close everything."""
        await self.live.close()
        await self.attack_watch.close()
        await super().close()


class LoginServices(HashingServices):
    """The services of a process that serves the login port."""

    part = "gateway"

    def __init__(self, settings: Settings, hash_sockets: Path) -> None:
        """`hash_sockets` is the directory of the hash processes' sockets."""
        super().__init__(settings, hash_sockets)
        self.account_loader = AccountLoader(self.database, settings.deadline_seconds)
        present = present_form(
            settings.argon2_memory_kib, settings.argon2_time_cost, settings.argon2_parallelism
        )
        self.decoys = DecoyLoader(self.database, present, settings.deadline_seconds)
        self.account_turns = AccountTurns(
            settings.checks_per_user, settings.waiting_per_user, settings.waiting
        )
        self.gathering = Gathering(settings.deadline_seconds)
        self.sources = Sources(settings.proxy_networks)
        self.source_limits = SourceLimits(settings, self.source_view, self._report)
        self._sealer = Sealer(self.keys, settings.prefixed(SOURCES))
        self.tokens = ServiceTokens(settings.service_tokens_file)
        self.sessions: Sessions | None = None
        if settings.session_keys_file:
            from gateway.sessions import Sessions  # 20 MB [measured], and many have no use for it

            self.sessions = Sessions(settings, self.clock_ms)
        self.devices = Devices(settings, self.clock_ms) if settings.device_keys_file else None
        keys = settings.guess_keys_file
        self.guesses = Guesses(keys, self.clock_ms) if keys else None
        self.keyed_attempts = KeyedAttempts(self.database, self.blocklist, self.clock_ms)

    def _report(self, outcomes: bytes) -> None:
        signed = self._sealer.seal(self.part, outcomes, 0, None, self.clock_ms())
        self.verdict_client.producer.report(signed)

    async def start(self) -> None:
        """Begin to connect; returns at once, and until :meth:`loaded` most answers are 503."""
        await super().start()
        self.decoys.start()

    async def refuse_what_is_blocked(self, user: str, due: float) -> None:
        """Raise BlockedError or BlockedForGoodError if the account is known to be blocked.

        Raises UnavailableError where nobody is known who could decide.
        """
        await self.log.reach(user, due)
        until_ms = self.blocklist.refused_until(user, time.monotonic())
        if until_ms:
            raise blocked(until_ms, self.clock_ms())

    async def loaded(self) -> None:
        """Return when this process can give every answer that any other could."""
        await self.decoys.loaded()
        await super().loaded()

    def seconds_to_begin(self, due: float) -> float:
        """Seconds in which a hash may begin for an answer at `due`; OverloadedError if none."""
        return seconds_until(self.hash_client.begin_by(due))

    def observe(self) -> None:
        """Bring the metrics up to date."""
        super().observe()
        metrics.DELAYED.set(self.source_limits.delayed)
        metrics.LOGINS_WAITING.set(self.account_turns.waiting)
        if self.guesses:
            self.guesses.observe()
        self.keyed_attempts.partitions_are_new()

    async def close(self) -> None:
        """Close everything."""
        self.source_limits.tell()
        await self.decoys.close()
        await super().close()


def blocked(until_ms: int, clock_ms: int) -> BlockedError | BlockedForGoodError:
    """The error that says until when an account is blocked, where the brokers' clock shows this.

    Who waits for as long as it says does not come too early, if it is at least so late there.
    """
    if until_ms == FOREVER:
        return BlockedForGoodError()
    return BlockedError(max(1, math.ceil((until_ms - clock_ms) / 1000)))
