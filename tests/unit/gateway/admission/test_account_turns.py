"""One account's requests have their turns one after another; other accounts do not notice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.admission.account_turns import AccountTurns
from gateway.errors import ClientGoneError, OverloadedError

LONG_SECONDS = 60.0  # which no test waits for


class Crowd:
    """Requests that take turns and keep them until they are told to end."""

    def __init__(self, turns: AccountTurns) -> None:
        """Use these turns."""
        self.turns = turns
        self.inside: list[str] = []
        self.alone: dict[str, bool] = {}
        self.ends: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(
        self,
        name: str,
        seconds: float = LONG_SECONDS,
        gone: asyncio.Future[None] | None = None,
    ) -> None:
        """A request wants a turn; its account is the first letter of its name."""
        self.ends[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._stay(name, seconds, gone))
        await settle()

    async def end(self, name: str) -> None:
        """A request inside is done."""
        self.ends[name].set()
        await self.tasks.pop(name)
        await settle()

    async def _stay(self, name: str, seconds: float, gone: asyncio.Future[None] | None) -> None:
        async with self.turns.turn(name[0], seconds, lambda: gone) as alone:
            self.alone[name] = alone
            self.inside.append(name)
            await self.ends[name].wait()
            self.inside.remove(name)


async def settle() -> None:
    """Let everything happen that can happen without time passing."""
    for _ in range(10):
        await asyncio.sleep(0)


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Run a test in a loop of its own."""
    asyncio.run(asyncio.wait_for(test(), 10))


def test_an_account_has_so_many_turns_at_once() -> None:
    """Its further requests wait, in order, while another account's go ahead."""

    async def test() -> None:
        crowd = Crowd(AccountTurns(per_account=2, waiting_per_account=9, waiting=9))
        for name in ("a1", "a2", "a3", "a4", "b1"):
            await crowd.come(name)
        assert crowd.inside == ["a1", "a2", "b1"]
        await crowd.end("a1")
        assert crowd.inside == ["a2", "b1", "a3"]
        for name in ("a2", "b1", "a3", "a4"):
            await crowd.end(name)
        assert not crowd.turns._accounts

    run(test)


def test_a_request_is_alone_if_its_account_has_no_other_in_hand() -> None:
    """Only such a one is checked before others'; one that follows another is alone again."""

    async def test() -> None:
        crowd = Crowd(AccountTurns(per_account=2, waiting_per_account=9, waiting=9))
        for name in ("a1", "a2", "a3", "b1"):
            await crowd.come(name)
        for name in ("a1", "a2", "a3", "b1"):
            await crowd.end(name)
        await crowd.come("a4")
        await crowd.end("a4")
        assert crowd.alone == {"a1": True, "a2": False, "a3": False, "b1": True, "a4": True}

    run(test)


def test_one_request_too_many_is_refused_at_once() -> None:
    """Waiting is bounded by account and in all; a request that need not wait is not counted."""

    async def test() -> None:
        crowd = Crowd(AccountTurns(per_account=1, waiting_per_account=1, waiting=2))
        for name in ("a1", "a2", "b1", "b2", "c1"):
            await crowd.come(name)
        for name in ("a3", "c2"):
            await crowd.come(name)
            with pytest.raises(OverloadedError):
                await crowd.tasks.pop(name)
        assert crowd.inside == ["a1", "b1", "c1"]
        for name in ("a1", "b1", "c1", "a2", "b2"):
            await crowd.end(name)
        assert not crowd.turns._accounts
        assert crowd.turns.waiting == 0

    run(test)


def test_a_request_that_waits_too_long_is_refused() -> None:
    """The next one gets the turn that it did not wait for."""

    async def test() -> None:
        crowd = Crowd(AccountTurns(per_account=1, waiting_per_account=9, waiting=9))
        await crowd.come("a1")
        await crowd.come("a2", seconds=0.0)
        with pytest.raises(OverloadedError):
            await crowd.tasks.pop("a2")
        await crowd.come("a3")
        await crowd.end("a1")
        assert crowd.inside == ["a3"]
        await crowd.end("a3")
        assert not crowd.turns._accounts

    run(test)


def test_a_client_that_leaves_while_it_waits_is_dropped() -> None:
    """It frees its place at once; one that leaves with its turn in hand, or at once, keeps it."""

    async def test() -> None:
        crowd = Crowd(AccountTurns(per_account=1, waiting_per_account=1, waiting=1))
        left = asyncio.get_running_loop().create_future()
        left.set_result(None)
        await crowd.come("a1", gone=left)
        assert crowd.inside == ["a1"]
        leaving: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await crowd.come("a2", gone=leaving)
        leaving.set_result(None)
        await settle()
        with pytest.raises(ClientGoneError):
            await crowd.tasks.pop("a2")
        await crowd.come("a3")
        await crowd.end("a1")
        assert crowd.inside == ["a3"]
        await crowd.end("a3")

    run(test)


def test_a_cancelled_request_loses_no_turn() -> None:
    """Whether it waits, or was just given the turn."""

    async def test() -> None:
        crowd = Crowd(AccountTurns(per_account=1, waiting_per_account=9, waiting=9))
        for name in ("a1", "a2", "a3", "a4"):
            await crowd.come(name)
        crowd.tasks.pop("a3").cancel()
        await settle()
        crowd.ends["a1"].set()
        await asyncio.sleep(0)  # the turn is handed over, and nobody has looked yet
        crowd.tasks.pop("a2").cancel()
        await settle()
        assert crowd.inside == ["a4"]
        await crowd.end("a4")
        assert not crowd.turns._accounts
        assert crowd.turns.waiting == 0

    run(test)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["come", "end", "cancel"])), max_size=60
    )
)
def test_no_history_loses_a_turn(history: list[tuple[str, str]]) -> None:
    """The bounds hold whatever comes, ends or is cancelled, and at the end nothing is left."""

    async def test() -> None:
        crowd = Crowd(AccountTurns(per_account=2, waiting_per_account=3, waiting=5))
        for number, (account, step) in enumerate(history):
            theirs = [name for name in crowd.tasks if name[0] == account]
            if step == "come":
                await crowd.come(f"{account}{number}")
            elif theirs and step == "cancel":
                crowd.tasks.pop(theirs[-1]).cancel()
                await settle()
            elif inside := [name for name in crowd.inside if name in theirs]:
                await crowd.end(inside[0])
            for name in [name for name, task in crowd.tasks.items() if task.done()]:
                assert isinstance(crowd.tasks.pop(name).exception(), OverloadedError)
            crowd.inside = [name for name in crowd.inside if name in crowd.tasks]
            for letter in "abc":
                inside = [name for name in crowd.inside if name[0] == letter]
                waiting = [n for n in crowd.tasks if n[0] == letter and n not in inside]
                assert len(inside) <= 2
                assert len(waiting) <= 3
                assert not waiting or len(inside) == 2
            assert crowd.turns.waiting == len(crowd.tasks) - len(crowd.inside) <= 5
        while crowd.inside:
            await crowd.end(crowd.inside[0])
        assert not crowd.turns._accounts

    run(test)
