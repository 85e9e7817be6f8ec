"""Guesses at one account are noticed where more are revealed than five, or fewer."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from loadtest.attacks import guesses
from loadtest.attacks.attack import UnmetError
from tests.unit.loadtest.attacks.fake import FakePort, Reply, attacked


class WithDevices(FakePort):
    """Knows a device by a cookie that says its user, or by none at all where `knows` is False."""

    def __init__(self, *, knows: bool = True, signed: bool = True, threshold: int = 5) -> None:
        """`signed`: whether a changed cookie is another one."""
        super().__init__()
        self.knows, self.signed = knows, signed
        self.of_device = FakePort(threshold)
        self.given = 0

    def login(self, user: str, password: str, headers: Mapping[str, str]) -> Reply:
        """The answer; each login gives a cookie of its own."""
        device = headers.get("cookie", "").removeprefix("device=")
        genuine = device.startswith(f"{user}/") and device.endswith("/signature")
        if self.knows and (genuine or (device and not self.signed)):
            name = f"{user} by {device}"
            self.of_device.passwords[name] = self.passwords[user]
            status, more, said = self.of_device.login(name, password, {})
        else:
            status, more, said = super().login(user, password, {})
        if status == 200:
            self.given += 1
            more = {"Set-Cookie": f"device={user}/{self.given}/signature; Path=/"}
        return status, more, said


@pytest.mark.parametrize(
    ("statuses", "is_five"),
    [
        ({401: 5, 429: 195}, True),
        ({401: 6, 429: 194}, False),
        ({401: 4, 429: 196}, False),
        ({401: 4, 429: 195, 503: 1}, True),
        ({401: 6, 429: 193, 503: 1}, False),
        ({401: 5, 429: 194, 200: 1}, False),
        ({401: 5, 429: 194, 500: 1}, False),
    ],
)
def test_five_are_five_but_for_lost_answers(statuses: dict[int, int], is_five: bool) -> None:
    """An answer that was lost may have been one of them; no answer makes a sixth right."""
    assert guesses.is_five(statuses) is is_five


@pytest.mark.parametrize(
    ("fake", "held"),
    [
        (FakePort(), True),
        (FakePort(6), False),
        (FakePort(4), False),
        (FakePort(blocks=False), False),
    ],
    ids=["five", "six", "four", "lets in past a block"],
)
def test_another_number_is_a_broken_promise(fake: FakePort, held: bool, monkeypatch) -> None:
    """Also a right password that is let in behind the block."""
    monkeypatch.setattr(guesses, "ACCOUNTS", 2)
    monkeypatch.setattr(guesses, "GUESSES", 20)
    assert attacked(fake, guesses.at_once).held is held


@pytest.mark.parametrize(
    ("fake", "attack", "held"),
    [
        (WithDevices(), guesses.blocked_owner, True),
        (WithDevices(knows=False), guesses.blocked_owner, False),
        (WithDevices(), guesses.stolen_device, True),
        (WithDevices(threshold=6), guesses.stolen_device, False),
        (WithDevices(signed=False), guesses.forged_devices, False),
    ],
    ids=["owner", "unknown device", "thief", "a sixth guess", "unsigned"],
)
def test_devices_that_are_worth_more_or_less_are_a_broken_promise(
    fake: WithDevices, attack, held: bool, monkeypatch
) -> None:
    """A device is worth five guesses, and its owner is in."""
    monkeypatch.setattr(guesses, "GUESSES", 20)
    assert attacked(fake, attack).held is held


class Hasty(FakePort):
    """Takes many logins of one account for an attack, right ones or not."""

    def __init__(self) -> None:
        super().__init__()
        self.logins = 0

    def login(self, user: str, password: str, headers: Mapping[str, str]) -> Reply:
        """The answer."""
        self.logins += 1
        if self.logins > 50:
            return 429, {}, {}
        return super().login(user, password, headers)


@pytest.mark.parametrize(("fake", "held"), [(FakePort(), True), (Hasty(), False)])
def test_a_right_one_that_is_refused_is_a_broken_promise(fake: FakePort, held: bool) -> None:
    """However many come at once."""
    assert attacked(fake, guesses.right_ones).held is held


def test_a_system_without_devices_is_not_attacked_and_says_so() -> None:
    """It would hold, and show nothing."""
    with pytest.raises(UnmetError, match="CERROJO_DEVICE_KEYS_FILE"):
        attacked(FakePort(), guesses.stolen_device)
