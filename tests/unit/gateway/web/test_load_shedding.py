"""What would wait in vain is refused before it is read; what needs no hash waits for none."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from gateway import metrics
from gateway.limits.source_limits import SourceLimits
from gateway.limits.source_view import SourceView
from gateway.sources import Sources
from gateway.web import load_shedding
from gateway.web.load_shedding import LoadShedder
from settings import Settings

WAITING = 3
SOURCE = "192.0.2.1"
NETWORK = "2001:db8:1:2::/64"


def shedder(*, overloaded: bool = False, by_all: bool = False, waiting: int = 0) -> LoadShedder:
    """Of a process overloaded with hashes of `SOURCE` and `NETWORK` or of all, or where so many
    wait for a verdict."""
    services: Any = SimpleNamespace(
        hash_client=SimpleNamespace(
            overloaded=lambda source: by_all or (overloaded and source in (SOURCE, NETWORK))
        ),
        sources=Sources([]),
        source_limits=SourceLimits(Settings(), SourceView(20, 500), lambda _: None),
        verdict_client=SimpleNamespace(waiting=waiting),
        settings=SimpleNamespace(waiting=WAITING),
    )
    return LoadShedder(services)


def scope(method: str, path: str) -> Any:
    """A request."""
    return {"method": method, "path": path, "client": (SOURCE, "40000"), "headers": []}


@pytest.mark.parametrize(
    ("method", "path", "of_hashes", "of_verdicts"),
    [
        ("POST", "/login", True, False),
        ("POST", "/register", True, False),
        ("POST", "/password", True, False),
        ("POST", "/attempts", False, True),
        ("GET", "/attempts/ana/block", False, False),
        ("GET", "/healthz", False, False),
    ],
)
def test_each_path_is_refused_for_what_it_needs(
    method: str, path: str, of_hashes: bool, of_verdicts: bool
) -> None:
    """A flood of logins takes no verdict from a service, nor the other way about."""
    request = scope(method, path)
    assert shedder(overloaded=True).sheds(request) is of_hashes
    assert shedder(waiting=WAITING).sheds(request) is of_verdicts
    assert not shedder(waiting=WAITING - 1).sheds(request)


def test_another_source_is_not_refused_for_it() -> None:
    """What one source fills its part with leaves room for others."""
    request = {**scope("POST", "/login"), "client": ("192.0.2.2", "40000")}
    assert not shedder(overloaded=True).sheds(request)


@pytest.mark.parametrize(
    ("address", "sheds"), [("2001:db8:1:2::7", True), ("2001:db8:1:3::7", False)]
)
def test_a_network_of_ipv6_is_one_source(address: str, sheds: bool) -> None:
    """Its host has 2^64 addresses, and would be another source with each of them."""
    request = {**scope("POST", "/login"), "client": (address, "40000")}
    assert shedder(overloaded=True).sheds(request) is sheds


@pytest.mark.parametrize(
    ("path", "counter", "body"),
    [
        ("/login", metrics.LOGINS, ["error", "code"]),
        ("/password", metrics.PASSWORD_CHANGES, ["error", "code"]),
        ("/attempts", metrics.SERVICE_ATTEMPTS, ["verdict", "error", "code"]),
    ],
)
def test_the_answer_is_that_of_the_path(path: str, counter: Any, body: list[str]) -> None:
    """503, with when to come again, and it is counted there."""
    sent = []

    async def send(message: Any) -> None:
        sent.append(message)

    before = counter.labels("overloaded")._value.get()
    asyncio.run(shedder(by_all=True).refuse(scope("POST", path), send))
    assert sent[0]["status"] == 503
    assert (b"retry-after", b"1") in sent[0]["headers"]
    said = json.loads(sent[1]["body"])
    assert list(said) == body
    assert said["code"] == "overloaded"
    assert counter.labels("overloaded")._value.get() == before + 1


def test_a_source_that_has_filled_its_part_waits_for_its_refusals() -> None:
    """Or its connections, which ask again at once, would take the time of all others.

    Where nobody has room, and where many wait for their refusals, all others have theirs at once.
    """

    async def refused_by(at: LoadShedder, times: int) -> int:
        """How many of these refusals come at once."""
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        refusals = [
            asyncio.ensure_future(at.refuse(scope("POST", "/login"), send)) for _ in range(times)
        ]
        for _ in range(5):
            await asyncio.sleep(0)
        at_once = sum(refusal.done() for refusal in refusals)
        for refusal in refusals:
            refusal.cancel()
        await asyncio.gather(*refusals, return_exceptions=True)
        return at_once

    assert asyncio.run(refused_by(shedder(overloaded=True), WAITING)) == 0
    assert asyncio.run(refused_by(shedder(overloaded=True), WAITING + 2)) == 2
    assert asyncio.run(refused_by(shedder(by_all=True), WAITING)) == WAITING


def test_a_refusal_that_was_held_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """And makes room for another one to be held."""
    monkeypatch.setattr(load_shedding, "HELD_SECONDS", 0.001)
    monkeypatch.setattr(load_shedding, "TOGETHER_SECONDS", 0.0)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    gives_way: list[bool] = []
    monkeypatch.setattr(load_shedding, "give_way", gives_way.append)

    async def scenario() -> None:
        at = shedder(overloaded=True)
        for _ in range(WAITING + 1):
            await at.refuse(scope("POST", "/login"), send)
        assert not at._held
        gives_way.clear()
        await asyncio.gather(*(at.refuse(scope("POST", "/login"), send) for _ in range(WAITING)))
        assert gives_way == [True, False]  # to the hashes, from the first to the last of them

    asyncio.run(scenario())
    assert [message["status"] for message in sent[::2]] == [503] * (2 * WAITING + 1)


def test_held_refusals_are_sent_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that came soon after one another: to wake for each takes more than the answers do."""
    monkeypatch.setattr(load_shedding, "HELD_SECONDS", 0.02)
    sent_at: list[int] = []
    turns = 0

    async def send(message: Any) -> None:
        sent_at.append(turns)

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def scenario() -> None:
        at = shedder(overloaded=True)
        counting = asyncio.ensure_future(count_turns())
        refusals = []
        for _ in range(WAITING):
            refusals.append(asyncio.ensure_future(at.refuse(scope("POST", "/login"), send)))
            await asyncio.sleep(0.001)
        await asyncio.gather(*refusals)
        counting.cancel()

    asyncio.run(scenario())
    assert len(sent_at) == 2 * WAITING
    assert len(set(sent_at)) == 1
