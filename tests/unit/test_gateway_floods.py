"""A flooded account makes way for others, and a crowd or an account alone does not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.admission import OTHERS, REST, Admission
from gateway.errors import OverloadedError
from gateway.lines import CALM, CROWD, LASTING
from gateway.visitors import Visitors, shared_file
from tests.unit.test_gateway_admission import Clock, Crowd, settle

HASH = 0.02  # seconds


class Timers:
    """What the loop calls later, when a test says that it is later."""

    def __init__(self, clock: Clock) -> None:
        """Their time is this clock's."""
        self._clock = clock
        self._due: list[tuple[float, Callable[..., None], tuple[Any, ...]]] = []

    def call_later(self, seconds: float, what: Callable[..., None], *args: Any) -> None:
        """As the loop has it."""
        self._due.append((self._clock.now + seconds, what, args))

    async def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._clock.now += seconds
        due = [timer for timer in self._due if timer[0] <= self._clock.now]
        self._due = [timer for timer in self._due if timer not in due]
        for _, what, args in due:
            what(*args)
        await settle()


class Stage:
    """A crowd before the processes of one host, by a clock that only the test moves."""

    def __init__(self) -> None:
        """Of one process, so far."""
        self.clock = Clock()
        self.clock.now = 1000.0
        self.timers = Timers(self.clock)
        self.visitors = Visitors()
        self.crowd = self.process()

    def process(self) -> Crowd:
        """A further process of this host."""
        hashing = Admission(2, 2, waiting_per_user=9, waiting=9, clock=self.clock)
        hashing._turn_seconds = HASH
        return Crowd(
            Admission(4, 64, 500, 1000, then=hashing, visitors=self.visitors, clock=self.clock)
        )

    async def flood(self, crowd: Crowd, number: int = CROWD + 10) -> None:
        """So many logins of one account at once."""
        for name in range(number):
            await crowd.come("ana", f"ana{name}")

    async def end_turns(self, crowd: Crowd, seconds: float = HASH) -> None:
        """All who have a turn now are done after this time."""
        self.clock.now += seconds
        for name in list(crowd.inside):
            await crowd.go(name)


def run(test: Callable[[Stage], Awaitable[None]]) -> None:
    """Run a test with a stage whose timers are the loop's."""

    async def staged() -> None:
        stage = Stage()
        loop = asyncio.get_running_loop()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "call_later", stage.timers.call_later)
            await test(stage)
        for task in stage.crowd.tasks.values():
            task.cancel()

    asyncio.run(staged())


def test_a_flood_rests_after_each_turn_while_others_come() -> None:
    """One at a time, and the others go in between without waiting."""

    async def test(stage: Stage) -> None:
        await stage.flood(stage.crowd)
        assert stage.crowd.admission.floods == 1
        await stage.crowd.come("bob", "bob1")
        assert stage.crowd.inside[-1] == "bob1"
        await stage.end_turns(stage.crowd)
        assert stage.crowd.inside == []
        await stage.crowd.come("bob", "bob2")
        assert stage.crowd.inside == ["bob2"]
        await stage.timers.advance(0.9 * REST * HASH)
        assert stage.crowd.inside == ["bob2"]
        await stage.timers.advance(0.2 * REST * HASH)
        assert stage.crowd.inside == ["bob2", "ana4"]
        stage.clock.now += HASH
        await stage.crowd.go("ana4")
        assert stage.crowd.inside == ["bob2"]

    run(test)


def test_a_flood_does_not_rest_after_what_took_no_time() -> None:
    """Once the account is blocked, all who wait are told so at once."""

    async def test(stage: Stage) -> None:
        await stage.flood(stage.crowd)
        await stage.crowd.come("bob", "bob1")
        await stage.end_turns(stage.crowd)
        await stage.timers.advance(1.1 * REST * HASH)
        told = []
        while stage.crowd.inside:
            told += stage.crowd.inside
            await stage.end_turns(stage.crowd, 0.0)
        assert len(told) == CROWD + 6

    run(test)


def test_a_flood_that_is_alone_does_not_rest() -> None:
    """Nobody gains by that."""

    async def test(stage: Stage) -> None:
        await stage.crowd.come("bob", "bob")
        await stage.crowd.go("bob")
        stage.clock.now += OTHERS + 0.1
        await stage.flood(stage.crowd)
        await stage.end_turns(stage.crowd)
        assert stage.crowd.inside == ["ana4"]
        await stage.crowd.go("ana4")
        assert stage.crowd.inside == ["ana5"]

    run(test)


def test_two_hundred_at_once_are_no_flood() -> None:
    """They go on four at a time, also while others come."""

    async def test(stage: Stage) -> None:
        await stage.flood(stage.crowd, 200)
        await stage.crowd.come("bob", "bob")
        assert stage.crowd.admission.floods == 0
        await stage.end_turns(stage.crowd)
        assert stage.crowd.inside == ["ana4", "ana5", "ana6", "ana7"]

    run(test)


def test_refused_ones_and_lasting_ones_make_a_flood() -> None:
    """Where few can wait, and where few come again and again."""

    async def test(stage: Stage) -> None:
        await stage.flood(stage.crowd, 5)
        stage.crowd.admission._waiting_per_user = 1
        for number in range(CROWD):
            assert stage.crowd.admission.floods == 0
            await stage.crowd.come("ana", "refused")
            with pytest.raises(OverloadedError):
                await stage.crowd.tasks.pop("refused")
            assert number < CROWD
        await stage.crowd.go("ana0")
        assert stage.crowd.admission.floods == 1

        for patience, lasting in ((LASTING / 2, LASTING), (2 * LASTING, 2 * LASTING)):
            other = stage.process()
            for number in range(5):
                await other.come("cy", f"cy{number}", patience)
            stage.clock.now += lasting - 0.1
            await other.come("cy", "cy5", patience)
            assert other.admission.floods == 0
            stage.clock.now += 0.2
            await other.come("cy", "cy6", patience)
            assert other.admission.floods == 1
            for task in other.tasks.values():
                task.cancel()
            await settle()
            stage.clock.now += CALM + 0.1

    run(test)


def test_a_busy_account_that_was_held_up_is_a_flood_for_a_while_only() -> None:
    """Ten a second are fewer than the threads can take, though all of them wait meanwhile."""

    async def test(stage: Stage) -> None:
        names = iter(f"ana{number}" for number in range(10_000))

        async def come_for(seconds: float, rate: int) -> None:
            for _ in range(round(seconds * rate)):
                await stage.crowd.come("ana", next(names), LASTING)
                await stage.crowd.come("bob", name := "bob" + next(names))
                await stage.timers.advance(1 / rate)
                await stage.crowd.go(name)

        admission = stage.crowd.admission
        await come_for(LASTING + 1, 10)
        assert admission.floods == 1
        await come_for(CALM, 10)
        assert admission.floods == 0
        while len(stage.crowd.inside) > 1:
            await stage.end_turns(stage.crowd)
        assert admission.floods == 0

        await come_for(LASTING + 1, 150)  # two threads take a hundred
        assert admission.floods == 1
        await come_for(2 * CALM, 150)
        assert admission.floods == 1
        await come_for(2 * CALM, 10)
        assert admission.floods == 0

    run(test)


def test_a_flood_is_known_to_all_processes_of_a_host_and_ends() -> None:
    """Also to one that has few of its requests, or only others'; afterwards nothing is left."""

    async def test(stage: Stage) -> None:
        other = stage.process()
        for name in ("ana-1", "ana-2", "ana-3", "ana-4", "ana-5", "ana-6"):
            await other.come("ana", name)
        await stage.flood(stage.crowd)
        await stage.crowd.come("bob", "bob")
        assert other.admission.floods == 0
        await other.go("ana-1")
        assert other.admission.floods == 1
        await stage.end_turns(other)
        assert other.inside == []
        for task in stage.crowd.tasks.values():
            task.cancel()
        await settle()
        stage.crowd.tasks.clear()
        await stage.timers.advance(REST * HASH)
        assert other.inside == ["ana-5"]
        await stage.timers.advance(CALM)
        await stage.timers.advance(CALM)
        assert (stage.crowd.admission.floods, other.admission.floods) == (0, 0)
        assert other.inside == ["ana-5", "ana-6"]
        await stage.end_turns(other)
        assert not stage.crowd.admission._lines
        assert not other.admission._lines

    run(test)


def test_what_one_process_notes_another_one_reads() -> None:
    """Who came last, when anybody else did, and who floods until when."""
    with shared_file() as file:
        one, other = Visitors(file.fileno()), Visitors(file.fileno())
    one.came("ana", 10.0)
    other.came("bob", 11.0)
    one.came("bob", 12.0)
    assert other.alone_for("bob", 15.0) == 5.0
    assert other.alone_for("ana", 15.0) == 3.0
    one.flood("ana", 20.0)
    assert other.floods("ana", 19.9)
    assert not other.floods("ana", 20.0)
    assert not other.floods("bob", 19.9)
