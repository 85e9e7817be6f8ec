"""What comes first, and what a failure in between leaves and says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from events.messages import (
    Decision,
    Deleted,
    PasswordChanged,
    Request,
    Unblock,
    Verdict,
    name_of,
    new_id,
)
from gateway import account_changes
from gateway.account_changes import AGAIN_SECONDS, AccountChanges
from gateway.errors import NotFoundError, RequestError, UnavailableError
from gateway.kafka import verdict_retry
from gateway.operators import By
from gateway.postgres.accounts import KnownAccount

PATIENCE_SECONDS = 60.0
ANA = KnownAccount(1_000, 7, disabled=False)


class World:
    """A database that has ana's account or not, a log, and all that happened in their order."""

    def __init__(self) -> None:
        self.account: KnownAccount | None = ANA
        self.happened: list[object] = []
        self.asked: list[Request] = []
        self.decisions: list[Decision | RequestError] = []
        self.query_fails: RequestError | None = None
        self.alive = True

    async def run(self, query: Callable[[Any], Awaitable[Any]], seconds: float) -> Any:
        """The query, with this in the place of the connection."""
        result = await query(self)
        if self.query_fails:
            raise self.query_fails  # done or not
        return result

    async def reach(self, _user: str, _due: float) -> None:
        """There is a worker, or not."""
        if not self.alive:
            raise UnavailableError("nobody")

    async def ask(self, user: str, due: float, request: Callable[..., Request]) -> Verdict:
        """The next of the decisions."""
        made = request(new_id(), 0, 4, 5_000)
        self.happened.append(type(made).__name__)
        self.asked.append(made)
        decision = self.decisions.pop(0)
        if isinstance(decision, RequestError):
            raise decision
        accepted = isinstance(made, Deleted) and decision == Decision.ACCEPTED
        if accepted and self.account and self.account.version <= made.version:
            self.account = None
        return Verdict(made.id, name_of(made), decision, 0)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Its queries are those of :mod:`gateway.postgres.accounts`, on the world itself."""

    async def select_account(world: World, user: str) -> KnownAccount | None:
        return world.account

    async def change_password_hash(
        world: World, user: str, password_hash: str, version: int | None
    ) -> int | None:
        world.happened.append(password_hash)
        known = world.account is not None and version in (None, world.account.version)
        return 8 if known else None

    async def change_disabled(world: World, user: str, disabled: bool) -> bool:
        world.happened.append(f"disabled: {disabled}")
        return world.account is not None

    async def change_version(world: World, user: str) -> bool:
        world.happened.append("another version")
        return world.account is not None

    monkeypatch.setattr(account_changes, "GOOD_SECONDS", 0.0)
    monkeypatch.setattr(account_changes, "change_disabled", change_disabled)
    monkeypatch.setattr(account_changes, "change_version", change_version)
    monkeypatch.setattr(account_changes, "select_account", select_account)
    monkeypatch.setattr(account_changes, "change_password_hash", change_password_hash)
    return World()


BY = By("cleo", "she asked for it")


def set_password(world: World, version: int | None = None) -> None:
    """Ana's, to the hash "new"."""
    changes = AccountChanges(world, world, 4)
    asyncio.run(changes.set_password("ana", "new", time.monotonic() + PATIENCE_SECONDS, version))


def delete(world: World) -> bool:
    """Ana."""
    changes = AccountChanges(world, world, 4)
    return asyncio.run(changes.delete("ana", time.monotonic() + PATIENCE_SECONDS, BY))


@pytest.mark.parametrize("decision", [Decision.ACCEPTED, Decision.REJECTED, Decision.REPEATED])
def test_the_password_comes_before_what_is_lifted(world: World, decision: Decision) -> None:
    """What was guessed at the old one is behind it in the log."""
    world.decisions = [decision]
    set_password(world, 7)
    assert world.happened == ["new", "PasswordChanged"]
    assert world.asked == [PasswordChanged(world.asked[0].id, 0, "ana", 4, 5_000)]


def test_a_password_of_another_version_is_not_changed(world: World) -> None:
    """Nor of no account; and nothing is lifted then."""
    with pytest.raises(NotFoundError):
        set_password(world, 6)
    world.account = None
    with pytest.raises(NotFoundError):
        set_password(world)
    assert world.asked == []


def test_where_nobody_decides_no_password_is_changed(world: World) -> None:
    """Nothing is begun that would have no end."""
    world.alive = False
    with pytest.raises(UnavailableError, match="nobody"):
        set_password(world)
    assert world.happened == []


def test_a_failure_says_that_the_new_password_may_be_in_force(world: World) -> None:
    """Or else its owner would try the old one, which counts."""
    world.query_fails = UnavailableError("late")
    with pytest.raises(UnavailableError, match="new password may be in force"):
        set_password(world)
    assert world.asked == []
    world.query_fails = None
    world.decisions = [UnavailableError("late")]
    with pytest.raises(UnavailableError, match="The new password is in force"):
        set_password(world)


@pytest.mark.parametrize(
    ("decisions", "happened"),
    [
        ([Decision.ACCEPTED], ["Deleted"]),
        (
            [Decision.BLOCKED, Decision.ACCEPTED, Decision.ACCEPTED],
            ["Deleted", "Unblock", "Deleted"],
        ),
        (
            [Decision.BLOCKED, Decision.ACCEPTED, Decision.BLOCKED, Decision.REJECTED] * 2
            + [Decision.ACCEPTED],
            ["Deleted", "Unblock"] * 4 + ["Deleted"],
        ),
    ],
)
def test_a_block_is_lifted_before_the_name_is_deleted(
    world: World, decisions: Sequence[Decision], happened: Sequence[str]
) -> None:
    """As often as guesses bring it back in between."""
    world.decisions = [*decisions]
    assert delete(world) is True
    assert world.happened == happened
    assert [made.version for made in world.asked if isinstance(made, Deleted)][-1] == 7
    assert all(made.user == "ana" for made in world.asked if isinstance(made, Unblock))


def test_an_account_that_was_changed_meanwhile_is_deleted_all_the_same(world: World) -> None:
    """By the version that it has then; but not one that was made of the name since."""

    async def changed(_user: str, _due: float, request: Callable[..., Request]) -> Verdict:
        if not world.asked:
            world.account = ANA._replace(version=9)
        return await ask(_user, _due, request)

    ask, world.ask = world.ask, changed  # type: ignore[method-assign]
    world.decisions = [Decision.ACCEPTED, Decision.ACCEPTED]
    assert delete(world) is True
    assert [made.version for made in world.asked if isinstance(made, Deleted)] == [7, 9]

    async def made_anew(_user: str, _due: float, request: Callable[..., Request]) -> Verdict:
        verdict = await ask(_user, _due, request)
        world.account = KnownAccount(2_000, 2_000, disabled=False)
        return verdict

    world.account, world.asked, world.decisions = ANA, [], [Decision.ACCEPTED]
    world.ask = made_anew  # type: ignore[method-assign]
    assert delete(world) is True
    assert len(world.asked) == 1
    assert world.account == KnownAccount(2_000, 2_000, disabled=False)


def test_a_name_without_an_account_is_deleted_too(world: World) -> None:
    """What is kept of it goes; an account that is made meanwhile stays."""
    world.account = None
    world.decisions = [Decision.ACCEPTED]
    assert delete(world) is False
    assert [made.version for made in world.asked if isinstance(made, Deleted)] == [0]


def test_a_deletion_that_somebody_holds_up_ends_with_the_deadline(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not said to be done."""
    now = 0.0
    monkeypatch.setattr(verdict_retry, "time", SimpleNamespace(monotonic=lambda: now))
    world.decisions = [Decision.ACCEPTED] * 100
    original = world.ask

    async def locked(user: str, due: float, request: Callable[..., Request]) -> Verdict:
        nonlocal now
        now += 1.0
        verdict = await original(user, due, request)
        world.account = ANA
        return verdict

    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr("asyncio.sleep", pause)
    world.ask = locked  # type: ignore[method-assign]
    with pytest.raises(UnavailableError):
        asyncio.run(AccountChanges(world, world, 4).delete("ana", 5.0, BY))
    assert len(world.asked) == 5
    assert pauses == [AGAIN_SECONDS] * 4  # or its partition would have nothing else to do


def disable(world: World, disabled: bool = True) -> None:
    """Ana, or enable her."""
    changes = AccountChanges(world, world, 4)
    asyncio.run(changes.set_disabled("ana", disabled, time.monotonic() + PATIENCE_SECONDS, BY))


def forget_devices(world: World) -> None:
    """Ana's."""
    changes = AccountChanges(world, world, 4)
    asyncio.run(changes.forget_devices("ana", time.monotonic() + PATIENCE_SECONDS, BY))


def test_what_postgres_alone_does_is_noted_in_the_log(world: World) -> None:
    """With the operator's name and reason, once it is done."""
    world.decisions = [Decision.ACCEPTED] * 3
    disable(world, True)
    disable(world, False)
    forget_devices(world)
    assert world.happened == [
        *("disabled: True", "Disabled", "disabled: False", "Enabled"),
        *("another version", "DevicesForgotten"),
    ]
    assert {(asked.operator, asked.reason) for asked in world.asked} == {BY}  # type: ignore[attr-defined]


def test_what_is_done_and_not_noted_is_said_to_be_so(world: World) -> None:
    """It is in force while Kafka is away; asked again, it is noted."""
    world.decisions = [UnavailableError("Nobody can decide"), UnavailableError("Nobody can decide")]
    with pytest.raises(UnavailableError, match="The account is disabled, and the audit may not"):
        disable(world, True)
    with pytest.raises(UnavailableError, match="Its devices are forgotten, and the audit may not"):
        forget_devices(world)
    assert world.happened[0] == "disabled: True"


def test_nothing_is_noted_of_no_account(world: World) -> None:
    """Nor done."""
    world.account = None
    for change in (lambda: disable(world, True), lambda: forget_devices(world)):
        with pytest.raises(NotFoundError):
            change()
    assert world.asked == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        *[
            (change, Decision.ACCEPTED)
            for change in (set_password, disable, forget_devices, delete)
        ],
        # What is in Postgres by then is said to be in force.
        *[(change, UnavailableError("away")) for change in (set_password, disable, forget_devices)],
    ],
)
def test_no_change_is_answered_while_a_login_may_rely_on_what_it_read_before(
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[World], object],
    told: Decision | RequestError,
) -> None:
    """Else it could get in after the answer, by what was changed."""
    monkeypatch.setattr(account_changes, "GOOD_SECONDS", 0.1)
    world.decisions = [told]
    began = time.monotonic()
    with suppress(UnavailableError):
        change(world)
    assert time.monotonic() - began > 0.1
