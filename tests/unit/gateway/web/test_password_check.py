"""A login takes both the check and the verdict, and an account that is as it was."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from events.messages import FOREVER, Decision, Verdict, new_id
from gateway import account_changes
from gateway.account_changes import AccountChanges
from gateway.errors import (
    BlockedError,
    BlockedForGoodError,
    RequestError,
    SourceRefusedError,
    UnavailableError,
    WrongPasswordError,
)
from gateway.operators import By
from gateway.passwords.hash_protocol import Lane
from gateway.postgres import account_loader
from gateway.postgres.account_loader import AccountLoader
from gateway.postgres.accounts import Account
from gateway.sources import Origin
from gateway.web import password_check
from gateway.web.password_check import Proof, conclude, refuse_what_has_changed

GOOD_SECONDS = 0.02
LOGINS = 600
CHANGES = 20


@pytest.mark.parametrize(
    ("decision", "right", "until_ms", "outcome"),
    [
        (Decision.ACCEPTED, True, 0, None),
        (Decision.REJECTED, False, 0, WrongPasswordError),
        (Decision.REJECTED, False, FOREVER, WrongPasswordError),
        (Decision.ACCEPTED, False, 0, UnavailableError),
        (Decision.REJECTED, True, 0, UnavailableError),
        (Decision.BLOCKED, True, FOREVER, BlockedForGoodError),
        (Decision.BLOCKED, False, FOREVER, BlockedForGoodError),
        (Decision.BLOCKED, True, 1, BlockedError),
        (Decision.BLOCKED, False, 1, BlockedError),
    ],
)
def test_it_takes_both_to_get_in(
    decision: Decision, right: bool, until_ms: int, outcome: type[RequestError] | None
) -> None:
    """Only an accepting verdict on a right password opens; the rest is what the log says."""
    verdict = Verdict(b"0" * 16, "ana", decision, until_ms)
    if outcome is None:
        conclude(verdict, right, 0)
    else:
        with pytest.raises(outcome):
            conclude(verdict, right, 0)


def test_a_device_of_a_former_password_is_limited_as_a_stranger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only what the account says tells that it is one, after the limits were asked about nobody."""
    waited = []

    class Limits:
        def network(self, address: str) -> str:
            return address

        def source(self, address: str) -> str:
            return address

        async def wait(self, source: str | None, user: str, client_gone: object) -> int:
            waited.append(source)
            if source is not None:
                raise SourceRefusedError(7)
            return 0

    @asynccontextmanager
    async def turn(*_: object) -> AsyncIterator[bool]:
        yield True

    async def account(*_: object) -> Account:
        return Account("a hash", 2, disabled=False)

    async def nothing(*_: object) -> None:
        pass

    here: Any = SimpleNamespace(
        source_limits=Limits(),
        account_turns=SimpleNamespace(turn=turn),
        account_loader=SimpleNamespace(account=account),
        seconds_to_begin=lambda due: 1.0,
    )
    monkeypatch.setattr(password_check, "origin_of", lambda here, scope: Origin("192.0.2.7"))
    monkeypatch.setattr(
        password_check, "known_device", lambda *_: SimpleNamespace(id=b"d", version=1)
    )
    monkeypatch.setattr(password_check, "_refuse_what_is_blocked", nothing)
    credentials: Any = SimpleNamespace(user="ana", pass_="guess")
    scope: Any = {"headers": []}
    gone: Any = None
    with pytest.raises(SourceRefusedError):
        asyncio.run(password_check.prove(here, credentials, scope, 1e12, gone))
    assert waited == [None, Origin("192.0.2.7")]


def test_no_login_outlives_an_answered_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though they, and each reading, take up to three times what a reading is good for."""
    chance = random.Random(12)
    version = answered = got_in = 0

    async def run(query: Any, _: float) -> Any:
        return await query(None)

    async def change_version(*_: object) -> bool:
        nonlocal version
        version += 1
        return True

    async def ask(user: str, *_: object) -> Verdict:
        return Verdict(new_id(), user, Decision.ACCEPTED, 0)

    class Late:
        """Its answers are on their way for some time."""

        async def run(self, *_: object) -> dict[str, Account]:
            found = {"ana": Account("a hash", version, disabled=False)}
            await asyncio.sleep(chance.choice((0, chance.uniform(0, 3 * GOOD_SECONDS))))
            return found

    here: Any = SimpleNamespace()
    database: Any = SimpleNamespace(run=run)
    log: Any = SimpleNamespace(ask=ask)

    async def log_in() -> None:
        nonlocal got_in
        await asyncio.sleep(chance.uniform(0, 0.6))
        read_at = time.monotonic()
        account = await here.account_loader.account("ana", 60.0)
        proof = Proof(account, read_at, False, Lane.FOREGROUND, "")
        await asyncio.sleep(chance.uniform(0, 3 * GOOD_SECONDS))
        try:
            await refuse_what_has_changed(here, "ana", proof, time.monotonic() + 60)
        except WrongPasswordError:
            return
        got_in += 1
        assert proof.account.version >= answered

    async def change() -> None:
        nonlocal answered
        for _ in range(CHANGES):
            changes = AccountChanges(database, log, 4)
            await changes.forget_devices("ana", time.monotonic() + 60, By("cleo", "why"))
            answered = version

    async def scenario() -> None:
        here.account_loader = AccountLoader(Late(), 60.0)
        await asyncio.gather(change(), *(log_in() for _ in range(LOGINS)))

    monkeypatch.setattr(account_changes, "change_version", change_version)
    for module in (account_changes, account_loader, password_check):
        monkeypatch.setattr(module, "GOOD_SECONDS", GOOD_SECONDS)
    asyncio.run(scenario())
    assert 0 < got_in < LOGINS
