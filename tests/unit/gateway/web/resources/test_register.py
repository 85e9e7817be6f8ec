"""A registration's hash is from the budget of its source, and has its turn there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from events.messages import decode_sources
from gateway.admission.account_turns import AccountTurns
from gateway.errors import OverloadedError, SourceRefusedError
from gateway.limits.source_limits import SourceLimits
from gateway.limits.source_view import SourceView
from gateway.sources import Sources
from gateway.web.credentials import Credentials
from gateway.web.resources import register
from settings import Settings

BUDGET = 3
SOURCE = "192.0.2.7"


class Gateway:
    """One process, whose hashes end when they may."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, address: str = SOURCE) -> None:
        settings = Settings(source_registrations=BUDGET)
        view = SourceView(20, 0)
        view.live = True
        self.limits = SourceLimits(
            settings, view, lambda told: view.read(decode_sources(told).outcomes, 1)
        )
        self.full = False
        self.may_end = asyncio.Event()
        self.sources: list[str] = []
        """Those of the hashes."""
        scope = {"client": (address, "40000"), "headers": []}
        request = SimpleNamespace(scope=scope, gone=lambda: None)
        monkeypatch.setattr(register, "current_request", lambda: request)
        self._here: Any = SimpleNamespace(
            log=SimpleNamespace(reach=self._nothing),
            sources=Sources([]),
            source_limits=self.limits,
            account_turns=AccountTurns(8, 250, 2_000),
            seconds_to_begin=lambda due: 1.0,
            hash_client=SimpleNamespace(make=self._make),
            accounts=SimpleNamespace(create=self._nothing),
        )

    async def _nothing(self, *_: object) -> None:
        pass

    async def _make(self, *asked: Any) -> str:
        if self.full:
            raise OverloadedError("full")
        self.sources.append(asked[-1])
        await self.may_end.wait()
        return "a hash"

    async def register(self, *users: str) -> Sequence[BaseException | None]:
        """Register all of these at the same time; what came of each."""
        due = time.monotonic() + 60
        asked = [
            register._create(self._here, Credentials(user, "correct horse"), due) for user in users
        ]
        return await asyncio.gather(*asked, return_exceptions=True)


@pytest.mark.parametrize("name", ["new{}", "new"])
def test_a_burst_of_registrations_costs_no_more_hashes_than_the_budget(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All come before the log has told of any, at names of their own or at one."""

    async def scenario() -> None:
        gateway = Gateway(monkeypatch)
        asyncio.get_running_loop().call_soon(gateway.may_end.set)
        users = [name.format(number) for number in range(100)]
        found = await gateway.register(*users)
        assert len(gateway.sources) == BUDGET
        assert sum(isinstance(error, SourceRefusedError) for error in found) == 100 - BUDGET

    asyncio.run(scenario())


def test_a_network_of_ipv6_has_its_turns_as_one_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a host would have a turn, and room to wait, for each of its addresses."""

    async def scenario() -> None:
        gateway = Gateway(monkeypatch, "2001:db8:1:2::7")
        gateway.may_end.set()
        await gateway.register("new")
        assert gateway.sources == ["2001:db8:1:2::/64"]

    asyncio.run(scenario())


def test_a_registration_that_finds_no_room_leaves_the_budget_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A person that comes again, as the 503 says, is not refused for it."""

    async def scenario() -> None:
        gateway = Gateway(monkeypatch)
        gateway.may_end.set()
        gateway.full = True
        for _ in range(2 * BUDGET):
            (found,) = await gateway.register("new")
            assert isinstance(found, OverloadedError)
            gateway.limits.tell()
        gateway.full = False
        assert await gateway.register("new") == [None]

    asyncio.run(scenario())
