"""Limits by source are noticed where they are missing, wrong, or another's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pytest

from loadtest.attacks import sources
from loadtest.attacks.attack import UnmetError
from tests.unit.loadtest.attacks.fake import FakePort, Reply, attacked

PROXY = "127.0.0.2"
ATTACK = 500


class Limited(FakePort):
    """Limits sources by the accounts that fail there beyond those that get in."""

    def __init__(
        self,
        allowance: float = 40,
        *,
        last: bool = True,
        believes: str = PROXY,
        excuses: bool = True,
        seen: int = ATTACK,
        strangers: int = 3,
    ) -> None:
        """`last`: of a chain the last address counts. `believes`: who is a proxy, "" anybody.

        `excuses`: whether who gets in excuses who fails. An attack is `seen` with so many that
        fail, and `strangers` then have so many guesses.
        """
        super().__init__()
        self.allowance, self.last, self.believes, self.excuses = allowance, last, believes, excuses
        self.seen, self.strangers = seen, strangers
        self.failed: defaultdict[str, set[str]] = defaultdict(set)
        self.succeeded: defaultdict[str, set[str]] = defaultdict(set)

    @property
    def attack(self) -> bool:
        """Whether there is one."""
        return sum(map(len, self.failed.values())) > self.seen

    def reply(self, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """The answer, also to who looks at attacks."""
        if not path.startswith("/attacks"):
            return super().reply(path, headers, body)
        found = [{"source": source} for source in self.failed]
        failed = sum(map(len, self.failed.values()))
        return 200, {}, {"sources": found, "attack": self.attack, "failed_accounts": failed}

    def login(self, user: str, password: str, headers: Mapping[str, str]) -> Reply:
        """The answer to a login."""
        source = headers["peer"]
        if (said := headers.get("x-forwarded-for")) and source.startswith(self.believes):
            source = said.split(", ")[-1 if self.last else 0]
        failed, succeeded = self.failed[source], self.succeeded[source]
        allowance = self.strangers - 1 if self.attack and not succeeded else self.allowance
        if len(failed) - self.excuses * len(succeeded) > allowance:
            return 429, {}, {}
        answer: Any = super().login(user, password, headers)
        (succeeded if answer[0] == 200 else failed).add(user)
        if answer[0] == 200:
            failed.discard(user)
        return answer


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many accounts as it takes, however long."""
    monkeypatch.setattr(sources, "SPRAYED_SECONDS", 0.0)


@pytest.mark.parametrize(
    "attack", [sources.spray, sources.claimed_address, sources.office, sources.botnet]
)
def test_limits_by_source_hold(attack) -> None:
    """Else the attack shows nothing by what it finds."""
    outcome = attacked(Limited(), attack)
    assert outcome.held, outcome.happened


@pytest.mark.parametrize(
    ("fake", "attack"),
    [
        (Limited(10**9), sources.spray),
        (Limited(believes=""), sources.claimed_address),
        (Limited(20, excuses=False), sources.office),
        (Limited(seen=10**9), sources.botnet),
        (Limited(strangers=40), sources.botnet),
    ],
    ids=["no limit", "any address is believed", "no excuse", "unseen", "strangers go on"],
)
def test_limits_that_are_none_or_anothers_are_a_broken_promise(fake: Limited, attack) -> None:
    """Each as a system is that has them a little wrong."""
    outcome = attacked(fake, attack)
    assert not outcome.held, outcome.happened


@pytest.mark.parametrize("fake", [Limited(last=False), Limited(believes="192.0.2.1")])
def test_a_system_that_believes_no_proxy_is_not_attacked_and_says_so(fake: Limited) -> None:
    """It would hold, and show nothing; or somebody else's address is limited."""
    with pytest.raises(UnmetError, match="CERROJO_TRUSTED_PROXIES"):
        attacked(fake, sources.spray)
