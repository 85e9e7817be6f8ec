"""Limits by source: delays and refuses before a hash is spent, and tells what came of logins."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Generic, TypeVar

import structlog

from events.messages import MOST_OUTCOMES, Outcome, Outcomes, encode
from gateway import metrics
from gateway.admission.account_turns import ClientGone
from gateway.errors import ClientGoneError, OverloadedError, RequestError, SourceRefusedError
from gateway.limits.rule import REFUSED_ABOVE
from gateway.limits.source_view import WINDOW_MS, SourceView
from gateway.sources import Origin
from settings import Settings

logger = structlog.get_logger()

SOON_SECONDS = 0.05
"""So soon a wrong password is told, while no attack lasts, and a success where others fail ..."""

LATER_SECONDS = 1.0
"""... and all else, so that a record holds what many logins came to."""

UNREAD_SECONDS = 1.0
"""What was noted here counts as long at least, and twice as long at most, until it is read back."""

RETRY_SECONDS = 60
"""What a source is told that is refused: others' successes may change that at any time."""

REMEMBERED = 4_096
"""Addresses whose network need not be found again."""

MOST_TOLD = 50_000
"""Accounts that are known to have been told, so that each is told once in a third of a window."""

LOOKED_AT = 1_000
"""Logins of which a warning looks whether most are from one address."""

T = TypeVar("T")


class SourceLimits:
    """The limits of one login process. For the event loop's thread.

    A source is the network of an address: of so many bits as the settings say. None is a source
    without limits: it is exempt, or unknown.
    """

    def __init__(
        self,
        settings: Settings,
        view: SourceView,
        write: Callable[[bytes], None],
    ) -> None:
        """`write` puts a record on `sources`, or raises RequestError; it returns at once."""
        self._view = view
        self._write = write
        self._longest = settings.deadline_seconds / 2
        self._most_delayed = settings.waiting
        self._registrations = settings.source_registrations
        self._bits = {4: settings.source_ipv4_bits, 6: settings.source_ipv6_bits}
        self._exempt = settings.exempt_networks
        self._look_up = lru_cache(maxsize=REMEMBERED)(self._network)
        self._next: dict[str, float] = {}
        self._told: set[tuple[str, str]] = set()
        self._told_since = time.monotonic()
        self._outcomes: dict[tuple[str, str], list[int]] = {}
        self._unread = _Unread(view)
        self._registering: Counter[str] = Counter()  # whose hashes are in hand
        self._timer: asyncio.Handle | None = None
        self._due = math.inf
        self.delayed = 0
        """How many logins are delayed now."""
        self._crowd = _Majority(not settings.proxy_networks)

    def source(self, origin: Origin) -> str | None:
        """The source that counts for a request from there; None where none does.

        A disputed origin is never exempt: else whoever disputes it would have no limits.
        """
        if origin.address is None:
            return None
        network, exempt = self._look_up(origin.address)
        exempt = exempt and not origin.disputed
        self._crowd.saw(origin.address, exempt=exempt)
        return None if exempt else network

    def network(self, address: str | None) -> str:
        """The network whose requests have their turns together; empty where none is known.

        That of an exempt address, too: it has no limits, and its turn like anybody else's.
        """
        return self._look_up(address)[0] if address else ""

    def source_of_service(self, address: str | None) -> str | None:
        """The same for an address that a service says, which is no peer's."""
        if address is None:
            return None
        network, exempt = self._look_up(address)
        return None if exempt else network

    async def wait(self, source: str | None, user: str, client_gone: ClientGone) -> int:
        """Wait as long as a login from there has to, in milliseconds; 0 at once for most.

        Raises SourceRefusedError where there is too much against the source, and ClientGoneError
        where the client leaves meanwhile.
        """
        if source is None:
            return 0
        severity = self._severity(source)
        if not severity:
            return 0
        self.refuse(source, user)
        now = time.monotonic()
        seconds = max(0.0, self._next.get(source, now) - now) + severity * self._longest
        if seconds > self._longest or self.delayed >= self._most_delayed:
            self._refuse(source, user, math.ceil(seconds))
        self._next = {known: at for known, at in self._next.items() if at > now}
        self._next[source] = now + seconds
        metrics.DELAYS.inc()
        self.delayed += 1
        try:
            await _sleep(seconds, client_gone)
        finally:
            self.delayed -= 1
        self.refuse(source, user)  # others' guesses are known by now
        return round(seconds * 1000)

    def refuse(self, source: str | None, user: str) -> None:
        """Raise SourceRefusedError where there is too much against the source.

        Also between hash and log: a guess that is refused then has revealed nothing.
        """
        if source is not None and self._severity(source) > REFUSED_ABOVE:
            self._refuse(source, user, RETRY_SECONDS)

    def stranger(self, source: str | None) -> bool:
        """Whether a login from there waits for everybody else's, as an attack lasts.

        Its first guess is slowed only by that: nothing tells a botnet's from a person's.
        """
        return source is not None and self._view.stranger(source)

    def refuse_registration(self, source: str | None, user: str) -> None:
        """Raise SourceRefusedError where the source has no hash left in its budget."""
        if source is None or not self._registrations or not self._view.live:
            return
        spent = self._unread.registrations(source) + self._registering.get(source, 0)
        if spent >= self._registrations:
            self._refuse(source, user, RETRY_SECONDS)

    @contextlib.contextmanager
    def registration(self, source: str | None, user: str) -> Iterator[None]:
        """A context in which one hash is made, from the source's budget.

        Raises SourceRefusedError where none is left. One that is not even begun costs nothing.
        """
        if source is None or not self._registrations:
            yield
            return
        self.refuse_registration(source, user)
        self._registering[source] += 1
        begun = True
        try:
            yield
        except (OverloadedError, ClientGoneError):
            begun = False
            raise
        finally:
            self._registering[source] -= 1
            if not self._registering[source]:
                del self._registering[source]
            if begun:
                self._unread.registered(source)
                self._note(source, user, 3, SOON_SECONDS)

    def failed(self, source: str | None, user: str) -> None:
        """A password was wrong."""
        if source is not None:
            self._told.discard((source, user))
            self._unread.failed(source, user)
            self._note(source, user, 0, 0.0 if self._view.attack else SOON_SECONDS)

    def refused(self, source: str | None, user: str) -> None:
        """A login was refused without an answer about the password."""
        if source is not None:
            self._note(source, user, 1, LATER_SECONDS)

    def succeeded(self, source: str | None, user: str) -> None:
        """Somebody got in. It is told once in a while, unless a wrong password was told since."""
        if source is None:
            return
        self._unread.succeeded(source, user)
        now = time.monotonic()
        if now - self._told_since > WINDOW_MS / 3000 or len(self._told) >= MOST_TOLD:
            self._told, self._told_since = set(), now
        pair = (source, user)
        if pair not in self._told or self._view.failed(source, user):
            self._told.add(pair)
            # Where others fail, it may be what others' logins wait for.
            soon = self._view.failures(source) > 0
            self._note(source, user, 2, SOON_SECONDS if soon else LATER_SECONDS)

    def tell(self) -> None:
        """Write what was noted, if anything was."""
        if not self._outcomes:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._due = None, math.inf
        noted = [
            Outcome(source, user, failed, refused, succeeded > 0, registrations)
            for (source, user), (failed, refused, succeeded, registrations) in (
                self._outcomes.items()
            )
        ]
        self._outcomes = {}
        with contextlib.suppress(RequestError):  # without Kafka there are no logins to limit
            self._write(encode(Outcomes(noted)))

    def _severity(self, source: str) -> float:
        return self._view.severity(source, self._unread.accounts(source))

    def _refuse(self, source: str, user: str, seconds: int) -> None:
        self.refused(source, user)
        raise SourceRefusedError(max(1, seconds))

    def _note(self, source: str, user: str, what: int, seconds: float) -> None:
        if len(self._outcomes) >= MOST_OUTCOMES:
            self.tell()
        counts = self._outcomes.setdefault((source, user), [0, 0, 0, 0])
        counts[what] = min(10_000, counts[what] + 1)
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        if due < self._due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._due = loop.call_at(due, self.tell), due

    def _network(self, address: str) -> tuple[str, bool]:
        """Its network, and whether it is exempt from limits."""
        found = ipaddress.ip_address(address)
        exempt = any(found in network for network in self._exempt)
        bits = self._bits[found.version]
        if bits == found.max_prefixlen:
            return address, exempt
        return str(ipaddress.ip_network((address, bits), strict=False)), exempt


class _Unread:
    """What was noted here, until the view has read it back."""

    def __init__(self, view: SourceView) -> None:
        self._view = view
        self._failed = _Lately[str]()
        self._succeeded = _Lately[str]()
        self._registered = _Lately[int]()

    def failed(self, source: str, user: str) -> None:
        self._failed.add(source, user)
        self._succeeded.discard(source, user)

    def succeeded(self, source: str, user: str) -> None:
        self._succeeded.add(source, user)
        self._failed.discard(source, user)

    def accounts(self, source: str) -> int:
        """How many more of this source failed than got in."""
        users = self._failed.at(source)
        failed = sum(not self._view.failed(source, user) for user in users)
        users = self._succeeded.at(source) if failed else set()
        succeeded = (user for user in users if not self._view.succeeded(source, user))
        return failed - sum(1 for _ in islice(succeeded, failed))

    def registered(self, source: str) -> None:
        self._registered.add(source, self.registrations(source) + 1)

    def registrations(self, source: str) -> int:
        """How many hashes registrations from there have cost.

        Nothing tells which of them the view has read: it will count so many at least.
        """
        return max(self._registered.at(source) | {self._view.registrations(source)})


class _Lately(Generic[T]):
    """Things by source, as accounts, that were noted a second ago, or two at most."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._now: dict[str, set[T]] = {}
        self._before: dict[str, set[T]] = {}

    def add(self, source: str, thing: T) -> None:
        self._forget()
        self._now.setdefault(source, set()).add(thing)

    def discard(self, source: str, thing: T) -> None:
        for noted in (self._now, self._before):
            noted.get(source, set()).discard(thing)

    def at(self, source: str) -> set[T]:
        self._forget()
        return self._now.get(source, set()) | self._before.get(source, set())

    def _forget(self) -> None:
        now = time.monotonic()
        if now - self._since > UNREAD_SECONDS:
            recent = now - self._since < 2 * UNREAD_SECONDS
            self._before, self._now = self._now if recent else {}, {}
            self._since = now


class _Majority:
    """Warns once where most logins are from one exempt address: a proxy that is not trusted."""

    def __init__(self, looks: bool) -> None:
        """`looks`: whether no proxy is trusted, or else nothing is to be warned of."""
        self._left = LOOKED_AT if looks else 0
        self._address = ""
        self._votes = 0  # Boyer and Moore's: so often it was seen at least

    def saw(self, address: str, exempt: bool) -> None:
        if not self._left:
            return
        if not self._votes:
            self._address = address
        self._votes += 1 if address == self._address else -1
        self._left -= 1
        if self._left:
            return
        most = self._votes > LOOKED_AT / 2 and address == self._address
        if most and exempt and not ipaddress.ip_address(address).is_loopback:
            logger.warning(
                "Most logins are from one address that has no limits. If it is a proxy's, name it "
                "in CERROJO_TRUSTED_PROXIES: otherwise no client has any limit by its source",
                address=self._address,
            )
        else:
            self._left, self._votes = LOOKED_AT, 0


async def _sleep(seconds: float, client_gone: ClientGone) -> None:
    gone = client_gone()
    if gone is None:
        await asyncio.sleep(seconds)
    elif (await asyncio.wait((gone,), timeout=seconds))[0]:
        raise ClientGoneError("The client left before its login began")
