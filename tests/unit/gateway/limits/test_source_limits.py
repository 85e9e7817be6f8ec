"""Logins of a source are delayed and refused before they cost a hash, and their outcomes told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop
from structlog.testing import capture_logs

from events.messages import Outcome, decode_sources
from gateway.errors import (
    ClientGoneError,
    OverloadedError,
    SourceRefusedError,
    UnavailableError,
)
from gateway.limits import source_limits
from gateway.limits.source_limits import LOOKED_AT, SourceLimits
from gateway.limits.source_view import SourceView
from gateway.sources import Origin
from settings import Settings

HERE = "192.0.2.7"
ALLOWANCE = 4
SETTINGS = Settings(
    source_failures=ALLOWANCE, source_registrations=3, deadline_seconds=0.08, waiting=5
)


class World:
    """One process' limits, and what it told."""

    def __init__(self, settings: Settings = SETTINGS, attack: int = 0) -> None:
        self.view = SourceView(settings.source_failures, attack)
        self.view.live = True
        self.told: list[list[Outcome]] = []
        self.limits = SourceLimits(settings, self.view, self._write)

    def _write(self, value: bytes) -> None:
        self.told.append(decode_sources(value).outcomes)

    def failed(self, accounts: int, source: str = HERE) -> None:
        """Others tell that so many accounts failed there."""
        self.view.read([Outcome(source, f"user{n}", failed=1) for n in range(accounts)], 1)

    async def wait(self, source: str | None = HERE) -> int:
        """One login waits as long as it has to; milliseconds."""
        return await self.limits.wait(source, "ana", lambda: None)


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run it in an event loop."""
    asyncio.run(scenario())


def run_as_a_gateway_does(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """The same in the loop of a gateway's process, which counts milliseconds."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())


@pytest.mark.parametrize(
    ("address", "source"),
    [
        (None, None),
        ("127.0.0.1", None),
        ("::1", None),
        ("172.18.0.3", None),
        ("fe80::7", None),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
    ],
)
def test_a_source_is_the_network_of_an_address_and_some_are_none(address, source):
    """Whoever has a home has 2^64 addresses of IPv6; loopback and private ones have no limits."""
    assert World().limits.source(Origin(address)) == source


def test_a_disputed_origin_has_limits():
    """Else whoever sends the header that a proxy lets through would be taken for it, and exempt."""
    assert World().limits.source(Origin("172.18.0.3", disputed=True)) == "172.18.0.3"


def test_the_bits_and_the_exempt_are_settings():
    """A provider's customers may have more or less."""
    limits = World(
        Settings(source_ipv4_bits=24, source_ipv6_bits=128, source_exempt="198.51.100.0/24")
    ).limits
    assert limits.source(Origin("127.0.0.1")) == "127.0.0.0/24"
    assert limits.source(Origin("2001:db8::1")) == "2001:db8::1"
    assert limits.source(Origin("198.51.100.9")) is None


def test_an_exempt_address_has_its_network_for_its_turns_too():
    """It has no limits, and one host of it would have a turn for each of its addresses."""
    limits = World().limits
    assert limits.network("fd00:1:2:3::7") == limits.network("fd00:1:2:3::8") == "fd00:1:2:3::/64"
    assert limits.network("2001:db8:1:2::7") == "2001:db8:1:2::/64"
    assert limits.network("10.0.0.1") == "10.0.0.1"
    assert limits.network(None) == limits.network("") == ""


def test_a_source_of_which_nothing_bad_is_known_waits_for_nothing():
    """The rule costs ordinary people no time."""

    async def scenario() -> None:
        world = World()
        world.failed(ALLOWANCE)
        assert await world.wait() == 0
        assert await world.wait(None) == 0

    run(scenario)


def test_the_delay_grows_with_each_further_account_and_then_comes_the_refusal():
    """At twice the allowance it is half of the deadline; beyond, no hash is spent."""

    async def scenario() -> None:
        world, delays = World(), []
        for accounts in range(ALLOWANCE, 2 * ALLOWANCE + 1):
            world.failed(accounts)
            delays.append(await world.wait())
        assert delays == [0, 10, 20, 30, 40]
        world.failed(2 * ALLOWANCE + 1)
        with pytest.raises(SourceRefusedError):
            await world.wait()

    run(scenario)


def test_guesses_of_one_source_at_the_same_time_have_their_delays_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
):
    """A hundred connections make a guesser no faster."""
    monkeypatch.setattr(source_limits, "time", SimpleNamespace(monotonic=lambda: 0.0))

    async def scenario() -> None:
        world = World()
        world.failed(ALLOWANCE + 1)
        found = await asyncio.gather(*(world.wait() for _ in range(9)), return_exceptions=True)
        assert [delay for delay in found if isinstance(delay, int)] == [10, 20, 30, 40]
        refused = [error for error in found if isinstance(error, SourceRefusedError)]
        assert len(refused) == 5
        assert {error.seconds for error in refused} == {1}

    run(scenario)


def test_guesses_that_come_to_be_known_in_the_delay_refuse_after_it():
    """So a burst that all began at once ends with the refusal."""

    async def scenario() -> None:
        world = World()
        world.failed(ALLOWANCE + 1)
        waiting = asyncio.ensure_future(world.wait())
        await asyncio.sleep(0)
        world.failed(3 * ALLOWANCE)
        with pytest.raises(SourceRefusedError):
            await waiting

    run(scenario)


def test_a_process_knows_its_own_guesses_before_it_reads_them():
    """Else a guesser that goes on at once has some more, until the log has told them."""

    async def scenario() -> None:
        world, delays = World(), []
        for number in range(2 * ALLOWANCE + 1):
            world.limits.failed(HERE, f"user{number}")
            with contextlib.suppress(SourceRefusedError):
                delays.append(await world.wait())
        assert delays == [0] * ALLOWANCE + [10, 20, 30, 40]
        assert await world.wait("198.51.100.9") == 0
        world.failed(2 * ALLOWANCE)  # they are read, and counted once
        world.limits.succeeded(HERE, f"user{2 * ALLOWANCE}")
        assert await world.wait() == 40

    run(scenario)


def test_a_process_knows_who_got_in_before_it_reads_that():
    """Else people that mistype at the same time are delayed until the log tells of the others."""

    async def scenario() -> None:
        world = World()
        for number in range(ALLOWANCE + 3):
            world.limits.failed(HERE, f"user{number}")
        for number in range(2):
            world.limits.succeeded(HERE, f"other{number}")
        assert await world.wait() == 10
        world.limits.succeeded(HERE, "other2")
        world.limits.succeeded("198.51.100.9", "other3")
        assert await world.wait() == 0
        world.view.read([Outcome(HERE, f"other{n}", succeeded=True) for n in range(3)], 1)
        assert await world.wait() == 0
        world.limits.failed(HERE, "other2")
        world.limits.failed(HERE, "other4")
        assert await world.wait() == 20

    run(scenario)


def test_what_is_never_read_back_is_soon_forgotten(monkeypatch: pytest.MonkeyPatch):
    """Without Kafka, and when another gateway tells that the account got in."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(source_limits, "time", SimpleNamespace(monotonic=lambda: clock.now))

    async def scenario() -> None:
        for step in (0.6, 1.1):
            world = World()
            for number in range(ALLOWANCE + 1):
                world.limits.failed(HERE, f"user{number}")
            assert await world.wait() == 10
            clock.now += step
            world.limits.failed("198.51.100.9", "ben")
            assert await world.wait() == 10
            clock.now += 1.1
            world.limits.failed("198.51.100.9", "ben")
            clock.now += 1.1
            assert await world.wait() == 0
            for number in range(ALLOWANCE + 1):
                world.limits.failed(HERE, f"user{number}")
            clock.now += 10  # nobody fails meanwhile
            assert await world.wait() == 0

    run(scenario)


def test_while_an_attack_lasts_a_wrong_password_is_told_without_delay():
    """The other processes have it before the next guess."""

    async def scenario() -> None:
        world = World(attack=2)
        world.failed(3, "198.51.100.9")
        assert world.view.attack
        world.limits.refused(HERE, "ben")
        for user in ("ana", "cid"):
            world.limits.failed(HERE, user)
        for _ in range(3):
            await asyncio.sleep(0)
        expected = [Outcome(HERE, "ben", refused=1), Outcome(HERE, "ana", failed=1)]
        assert world.told == [[*expected, Outcome(HERE, "cid", failed=1)]]

    run_as_a_gateway_does(scenario)


def test_a_client_that_leaves_in_its_delay_costs_no_hash():
    """Nothing was revealed."""

    async def scenario() -> None:
        world = World()
        world.failed(2 * ALLOWANCE)
        gone = asyncio.get_running_loop().create_future()
        gone.set_result(None)
        with pytest.raises(ClientGoneError):
            await world.limits.wait(HERE, "ana", lambda: gone)
        assert world.limits.delayed == 0

    run(scenario)


def test_no_more_are_delayed_than_may_wait():
    """A flood of delayed logins takes no memory."""

    async def scenario() -> None:
        world = World()
        sources = [f"198.51.100.{number}" for number in range(9)]
        for source in sources:
            world.failed(ALLOWANCE + 1, source)
        found = await asyncio.gather(*map(world.wait, sources), return_exceptions=True)
        assert [delay for delay in found if isinstance(delay, int)] == [10] * 5
        assert sum(isinstance(error, SourceRefusedError) for error in found) == 4

    run(scenario)


def test_a_wrong_password_is_told_at_once_and_all_else_in_a_while():
    """What must be known soon is; of the rest a record has much."""

    async def scenario() -> None:
        world = World()
        world.limits.succeeded(HERE, "ben")
        world.limits.refused(HERE, "cid")
        world.limits.failed(HERE, "ana")
        world.limits.failed(HERE, "ana")
        world.limits.failed(None, "dan")
        assert world.told == []
        await asyncio.sleep(0.1)
        assert world.told == [
            [
                Outcome(HERE, "ben", succeeded=True),
                Outcome(HERE, "cid", refused=1),
                Outcome(HERE, "ana", failed=2),
            ]
        ]

    run(scenario)


def test_a_success_is_told_at_once_where_others_fail():
    """It may be what keeps the others from being delayed."""

    async def scenario() -> None:
        world = World()
        world.failed(1)
        world.limits.succeeded(HERE, "ben")
        await asyncio.sleep(0.1)
        assert world.told == [[Outcome(HERE, "ben", succeeded=True)]]

    run(scenario)


def test_a_success_is_told_once_unless_a_failure_stands_against_it():
    """Most logins have nothing new to tell; one after a typo has, wherever the typo was."""

    async def scenario() -> None:
        world = World()
        for _ in range(3):
            world.limits.succeeded(HERE, "user0")
            world.limits.tell()
        world.failed(1)  # at another gateway
        world.limits.succeeded(HERE, "user0")
        world.limits.tell()
        assert [len(outcomes) for outcomes in world.told] == [1, 1]

    run(scenario)


def test_a_flood_of_refusals_is_told_whole_in_records_of_some_size():
    """Nothing is left out of what operators see, and no record is too large for the brokers."""

    async def scenario() -> None:
        world = World()
        for number in range(1_200):
            world.limits.refused(HERE, f"user{number}")
        world.limits.failed(HERE, "ana")
        world.limits.tell()
        assert [len(outcomes) for outcomes in world.told] == [500, 500, 201]
        assert world.told[-1][-1] == Outcome(HERE, "ana", failed=1)

    run(scenario)


def test_registrations_have_a_budget_of_hashes():
    """Each is told once its hash is made, so that other gateways know of it."""

    async def scenario() -> None:
        world = World()
        for number in range(3):
            with world.limits.registration(HERE, f"new{number}"):
                pass
            world.limits.tell()
            world.view.read(world.told[-1], 1)
        with pytest.raises(SourceRefusedError):
            world.limits.refuse_registration(HERE, "new3")
        for source in (None, "198.51.100.9"):
            with world.limits.registration(source, "new3"):
                pass
        world.view.live = False
        world.limits.refuse_registration(HERE, "new3")
        world.limits.tell()

    run(scenario)


def test_a_burst_of_registrations_has_no_more_hashes_than_the_budget():
    """Those in hand count, and those that are told and not read yet, once each."""

    async def scenario() -> None:
        world = World()
        with contextlib.ExitStack() as in_hand:
            for _ in range(3):
                in_hand.enter_context(world.limits.registration(HERE, "new"))
            with pytest.raises(SourceRefusedError):
                in_hand.enter_context(world.limits.registration(HERE, "new"))
        with pytest.raises(SourceRefusedError):
            world.limits.refuse_registration(HERE, "new")
        world = World()
        for told in (1, 1, 0):
            with world.limits.registration(HERE, "new"):
                pass
            world.view.read([Outcome(HERE, "new", registrations=told)], 1)
        with pytest.raises(SourceRefusedError):
            world.limits.refuse_registration(HERE, "new")

    run(scenario)


@pytest.mark.parametrize(
    ("error", "spent"),
    [
        (OverloadedError("full"), 0),
        (ClientGoneError("gone"), 0),
        (UnavailableError("late"), 1),
        (asyncio.CancelledError(), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_registration_costs_nothing_whose_hash_is_not_begun(error: BaseException, spent: int):
    """People that come again after an overload find their budget as it was."""

    async def scenario() -> None:
        world = World()
        for _ in range(4 - spent):
            with pytest.raises(type(error)), world.limits.registration(HERE, "new"):
                raise error
        world.limits.tell()
        assert world.told == [[Outcome(HERE, "new", registrations=3)]] * spent
        assert not world.limits._registering

    run(scenario)


def test_without_kafka_nothing_is_told_and_nothing_fails():
    """There are no logins then."""

    async def scenario() -> None:
        def write(_: bytes) -> None:
            raise UnavailableError("Kafka is not available")

        limits = SourceLimits(SETTINGS, World().view, write)
        limits.failed(HERE, "ana")
        limits.tell()

    run(scenario)


@pytest.mark.parametrize(
    ("most", "settings", "warned"),
    [
        ("172.18.0.3", Settings(), True),
        ("127.0.0.1", Settings(), False),
        ("8.8.8.8", Settings(), False),
        ("172.18.0.3", Settings(trusted_proxies="172.18.0.3"), False),
    ],
)
def test_a_proxy_that_nobody_named_is_warned_of(most, settings, warned):
    """Else all clients are one source, which is exempt: no limit holds, and nothing says so."""
    limits = World(settings).limits
    with capture_logs() as logs:
        for number in range(LOOKED_AT):
            limits.source(Origin(most if number % 5 else f"198.51.100.{number % 250}"))
    found: list[Any] = [line for line in logs if "CERROJO_TRUSTED_PROXIES" in line["event"]]
    assert bool(found) == warned
