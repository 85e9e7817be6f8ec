"""Turns to spend a hash are bounded and fair."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.admission import STALE, Admission
from gateway.errors import ClientGoneError, OverloadedError

LONG = 60.0  # seconds, which no test waits for


class Crowd:
    """Requests that take turns and hold them until they are told to go."""

    def __init__(self, admission: Admission) -> None:
        """Use this admission."""
        self.admission = admission
        self.inside: list[str] = []
        self.doors: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(
        self,
        user: str,
        name: str,
        seconds: float = LONG,
        gone: asyncio.Future[None] | None = None,
    ) -> None:
        """A request of this user wants a turn."""
        self.doors[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._stay(user, name, seconds, gone))
        await settle()

    async def go(self, name: str) -> None:
        """A request inside is done."""
        self.doors[name].set()
        await self.tasks.pop(name)
        await settle()

    async def _stay(
        self, user: str, name: str, seconds: float, gone: asyncio.Future[None] | None
    ) -> None:
        async with self.admission.turn(user, seconds, lambda: gone):
            self.inside.append(name)
            await self.doors[name].wait()
            self.inside.remove(name)


async def settle() -> None:
    """Let everything happen that can happen without time passing."""
    for _ in range(10):
        await asyncio.sleep(0)


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Run a test in a loop of its own."""
    asyncio.run(asyncio.wait_for(test(), 10))


def test_a_user_has_so_many_turns_at_once() -> None:
    """One user's further requests wait while another's go ahead."""

    async def test() -> None:
        crowd = Crowd(Admission(per_user=2, in_all=10, waiting_per_user=9, waiting=9))
        for name in ("a1", "a2", "a3", "b1"):
            await crowd.come(name[0], name)
        assert crowd.inside == ["a1", "a2", "b1"]
        await crowd.go("a1")
        assert crowd.inside == ["a2", "b1", "a3"]
        for name in ("a2", "b1", "a3"):
            await crowd.go(name)

    run(test)


def test_waiting_users_take_turns() -> None:
    """A user with one request is not behind all of another's."""

    async def test() -> None:
        crowd = Crowd(Admission(per_user=9, in_all=1, waiting_per_user=9, waiting=9))
        for name in ("a1", "a2", "a3", "a4", "b1", "c1"):
            await crowd.come(name[0], name)
        order = []
        while crowd.inside:
            order.append(crowd.inside[0])
            await crowd.go(crowd.inside[0])
        assert order == ["a1", "a2", "b1", "c1", "a3", "a4"]

    run(test)


def test_who_would_be_one_too_many_is_refused_at_once() -> None:
    """Waiting is bounded by user and in all."""

    async def test() -> None:
        crowd = Crowd(Admission(per_user=1, in_all=1, waiting_per_user=1, waiting=2))
        await crowd.come("a", "a1")
        await crowd.come("a", "a2")
        await crowd.come("a", "a3")
        with pytest.raises(OverloadedError):
            await crowd.tasks.pop("a3")
        await crowd.come("b", "b1")
        await crowd.come("c", "c1")
        with pytest.raises(OverloadedError):
            await crowd.tasks.pop("c1")
        for name in ("a1", "b1", "a2"):
            await crowd.go(name)
        assert not crowd.admission._lines

    run(test)


def test_who_waits_too_long_is_refused() -> None:
    """A turn that does not come in time is given up, and the next one gets it."""

    async def test() -> None:
        crowd = Crowd(Admission(per_user=1, in_all=1, waiting_per_user=9, waiting=9))
        await crowd.come("a", "a1")
        await crowd.come("b", "b1", seconds=0.0)
        with pytest.raises(OverloadedError):
            await crowd.tasks.pop("b1")
        await crowd.come("c", "c1")
        await crowd.go("a1")
        assert crowd.inside == ["c1"]
        await crowd.go("c1")
        assert not crowd.admission._lines

    run(test)


def test_who_leaves_while_it_waits_is_dropped() -> None:
    """It frees its place at once; who leaves with its turn in hand, or at once, keeps it."""

    async def test() -> None:
        crowd = Crowd(Admission(per_user=1, in_all=2, waiting_per_user=1, waiting=1))
        left = asyncio.get_running_loop().create_future()
        left.set_result(None)
        await crowd.come("a", "a1", gone=left)
        assert crowd.inside == ["a1"]
        leaving: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await crowd.come("a", "a2", gone=leaving)
        leaving.set_result(None)
        await settle()
        with pytest.raises(ClientGoneError):
            await crowd.tasks.pop("a2")
        staying: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await crowd.come("a", "a3", gone=staying)
        crowd.doors["a1"].set()
        await asyncio.sleep(0)  # a1 leaves, and a3 has the turn but has not run yet
        staying.set_result(None)
        await settle()
        assert crowd.inside == ["a3"]
        await crowd.go("a3")
        assert (crowd.admission.running, crowd.admission.waiting) == (0, 0)
        assert not crowd.admission._lines

    run(test)


def test_a_flood_delays_another_user_by_one_turn() -> None:
    """However many of one user's requests wait, the next turn that ends is another's."""

    async def test() -> None:
        crowd = Crowd(Admission(per_user=4, in_all=4, waiting_per_user=500, waiting=1000))
        for number in range(400):
            await crowd.come("a", f"a{number}")
        for _ in range(20):
            await crowd.come("b", "b")
            turns = 0
            while "b" not in crowd.inside:
                await crowd.go(crowd.inside[0])
                turns += 1
            assert turns <= 2  # the flood's next one may be first in the queue, and no more
            await crowd.go("b")
        for task in crowd.tasks.values():
            task.cancel()
        await settle()
        assert not crowd.admission._lines

    run(test)


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        """The time, in seconds."""
        return self.now


async def keep_a_pace(crowd: Crowd, clock: Clock, seconds: float) -> None:
    """Let turns end in this time each until it is known; two of x's remain, one waiting."""
    await crowd.come("x", "x0")
    for number in range(1, 300):
        await crowd.come("x", f"x{number}")
        clock.now += seconds
        await crowd.go(f"x{number - 1}")
    await crowd.come("x", "x")


def test_who_cannot_have_a_turn_in_time_is_refused_at_once() -> None:
    """By the present pace, and by the turns that others have before; not for others' floods."""

    async def test() -> None:
        clock = Clock()
        crowd = Crowd(Admission(1, 1, waiting_per_user=500, waiting=1000, clock=clock))
        await keep_a_pace(crowd, clock, seconds=0.1)
        for number in range(30):
            await crowd.come("x", f"more{number}", seconds=3.3)
        assert crowd.admission.waiting == 31
        await crowd.come("x", "late", seconds=3.1)
        with pytest.raises(OverloadedError):
            await crowd.tasks.pop("late")
        assert not crowd.admission.hopeless(0.15)
        await crowd.come("y", "y0", seconds=0.25)  # one of x's and its own
        assert crowd.admission.waiting == 32
        assert crowd.admission.hopeless(0.15)
        assert not crowd.admission.hopeless(0.25)
        for task in crowd.tasks.values():
            task.cancel()
        await settle()
        assert not crowd.admission._lines

    run(test)


def test_a_slow_time_is_forgotten() -> None:
    """Who was refused for a slow pace is let in once it is fast again, though nobody waited."""

    async def test() -> None:
        clock = Clock()
        crowd = Crowd(Admission(1, 1, waiting_per_user=500, waiting=1000, clock=clock))
        await keep_a_pace(crowd, clock, seconds=10.0)
        await crowd.go("x299")
        await crowd.go("x")
        clock.now += STALE - 0.1  # nobody came, which says nothing yet
        for number in range(500):
            await crowd.come("a", f"a{number}")
            await crowd.come("b", "b", seconds=1.0)
            clock.now += 0.01
            await crowd.go(f"a{number}")
            if "b" in crowd.inside:
                await crowd.go("b")
                break
            with pytest.raises(OverloadedError):
                await crowd.tasks.pop("b")
        assert 50 < number < 200

    run(test)


def test_a_turn_that_stood_still_refuses_nobody_later() -> None:
    """As when Kafka was away for a moment: a crowd that comes an hour later may wait."""

    async def test() -> None:
        clock = Clock()
        crowd = Crowd(Admission(1, 1, waiting_per_user=500, waiting=1000, clock=clock))
        await crowd.come("a", "slow")
        await crowd.come("a", "waits")
        clock.now += 300.0
        await crowd.go("slow")
        await crowd.go("waits")
        clock.now += STALE + 0.1
        for number in range(100):
            await crowd.come("a", f"a{number}", seconds=4.0)
        assert crowd.admission.waiting == 99
        assert not crowd.admission.hopeless(4.0)
        for number in range(100):
            clock.now += 0.01
            await crowd.go(f"a{number}")

    run(test)


def test_time_in_which_nobody_waits_is_no_pace() -> None:
    """Who waited has left, and the turn that he waited for ends long after."""

    async def test() -> None:
        clock = Clock()
        crowd = Crowd(Admission(1, 1, waiting_per_user=500, waiting=1000, clock=clock))
        await crowd.come("a", "slow")
        left = asyncio.get_running_loop().create_future()
        await crowd.come("a", "leaves", gone=left)
        left.set_result(None)
        with pytest.raises(ClientGoneError):
            await crowd.tasks.pop("leaves")
        clock.now += 1000.0
        await crowd.go("slow")
        assert crowd.admission.pace == 0.0

    run(test)


def test_nothing_is_hopeless_while_there_is_room() -> None:
    """However many of one user's requests wait, another one that comes has a turn at once."""

    async def test() -> None:
        crowd = Crowd(Admission(per_user=1, in_all=2, waiting_per_user=1, waiting=1))
        await crowd.come("a", "a1")
        await crowd.come("a", "a2")
        assert not crowd.admission.hopeless(LONG)
        await crowd.come("b", "b1")
        assert crowd.admission.hopeless(LONG)
        for name in ("a1", "a2", "b1"):
            await crowd.go(name)

    run(test)


def test_a_turn_that_comes_to_a_cancelled_request_goes_to_the_next() -> None:
    """No turn is lost when a request is cancelled at the moment it gets one."""

    async def test() -> None:
        crowd = Crowd(Admission(per_user=1, in_all=1, waiting_per_user=9, waiting=9))
        for name in ("a1", "b1", "c1"):
            await crowd.come(name[0], name)
        crowd.doors["a1"].set()
        await asyncio.sleep(0)  # a1 leaves, and b1 has the turn but has not run yet
        crowd.tasks["b1"].cancel()
        await settle()
        assert crowd.inside == ["c1"]
        await crowd.go("c1")
        assert (crowd.admission.running, crowd.admission.waiting) == (0, 0)

    run(test)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 4),
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["come", "go", "cancel"]))),
)
def test_bounds_hold_in_any_history(
    per_user: int, in_all: int, history: list[tuple[str, str]]
) -> None:
    """Never more than allowed are inside, nobody waits without a reason, and all get in."""

    async def test() -> None:
        crowd = Crowd(Admission(per_user, in_all, waiting_per_user=99, waiting=99))
        for number, (user, what) in enumerate(history):
            mine = [name for name in crowd.tasks if name[0] == user]
            if what == "come":
                await crowd.come(user, f"{user}{number}")
            elif mine and what == "cancel":
                crowd.tasks.pop(mine[-1]).cancel()
                await settle()
                if mine[-1] in crowd.inside:
                    crowd.inside.remove(mine[-1])
            elif mine and mine[0] in crowd.inside:
                await crowd.go(mine[0])
            inside = Counter(name[0] for name in crowd.inside)
            waiting = {name[0] for name in crowd.tasks if name not in crowd.inside}
            assert inside.total() <= in_all
            assert all(count <= per_user for count in inside.values())
            if inside.total() < in_all:
                assert all(inside[user] == per_user for user in waiting)
        while crowd.tasks:
            await crowd.go(crowd.inside[0])
        assert not crowd.admission._lines
        assert (crowd.admission.running, crowd.admission.waiting) == (0, 0)

    run(test)
