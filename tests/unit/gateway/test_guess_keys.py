"""Guesses, by which a wrong password is known again, and for how long."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.guess_keys import GUESS_BYTES, MOST_AWAY_SECONDS, Guesses, make, parse
from processes import new_file

BEGIN = 1_800_000_000
"""A period of 900 seconds begins."""


class World:
    """A file of keys, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "keys"
        make(self.file, 900, BEGIN)
        self.seconds = BEGIN
        self.ahead = {"brokers": 0, "host": 0}
        self.guesses = Guesses(self.file, self.clock("brokers"), self.clock("host"))

    def clock(self, whose: str) -> Callable[[], int]:
        """That of the brokers or the host."""
        return lambda: (self.seconds + self.ahead[whose]) * 1000

    def guess(self, text: str = "secret", user: str = "ana") -> tuple[bytes, bytes]:
        """By the key of this period, and by the former one."""
        both = self.guesses.of(user, text)
        assert both
        assert len(both) == 2 * GUESS_BYTES
        return both[:GUESS_BYTES], both[GUESS_BYTES:]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A new one."""
    return World(tmp_path)


def test_a_guess_is_the_same_for_the_same_password_of_the_same_account(world: World) -> None:
    """And for no other; two parts of one text are no other pair."""
    assert world.guess() == world.guess()
    guesses = [world.guess(), world.guess("secret2"), world.guess(user="bob"), world.guess("")]
    assert len(set(guesses)) == 4


def test_a_guess_is_known_for_one_more_period(world: World) -> None:
    """By the former key; so one that is repeated at least once a period is always known."""
    first, _ = world.guess()
    world.seconds += 899
    assert world.guess()[0] == first
    world.seconds += 1
    second, former = world.guess()
    assert former == first
    assert second != first
    world.seconds += 900
    third, former = world.guess()
    assert former == second
    assert first not in (third, former)


def test_old_keys_are_gone_from_the_file_also_where_nobody_guesses(world: World) -> None:
    """So nobody can try passwords against an old guess, whatever they get hold of."""
    old = json.loads(world.file.read_text())
    world.seconds += 900
    world.guesses.observe()
    new = json.loads(world.file.read_text())
    assert new["former"] == old["key"]
    world.seconds += 900
    world.guesses.observe()
    text = world.file.read_text()
    assert old["key"] not in text
    assert old["former"] not in text
    assert stat.S_IMODE(world.file.stat().st_mode) == 0o600


def test_keys_are_renewed_also_where_the_file_had_another_owner(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that root has made for the gateway's group; the new one is the gateway's alone."""
    before, _ = world.guess()
    world.file.chmod(0o660)

    def refused(*_: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(new_file.os, "fchown", refused)
    world.seconds += 900
    assert world.guess()[1] == before
    assert stat.S_IMODE(world.file.stat().st_mode) == 0o600
    with pytest.raises(PermissionError):  # as others have to read it
        new_file.replace(world.file, b"")


def test_copies_of_the_file_come_to_the_same_keys(world: World, tmp_path: Path) -> None:
    """Whether a gateway was there all the time or stood still for a week."""
    copy = tmp_path / "copy"
    copy.write_bytes(world.file.read_bytes())
    for _ in range(700):
        world.seconds += 900
        world.guesses.observe()
    late = Guesses(copy, world.clock("brokers"), world.clock("host"))
    assert late.of("ana", "secret") == world.guesses.of("ana", "secret")


def test_a_clock_that_went_back_a_little_brings_back_no_key(world: World) -> None:
    """There is none to be brought back."""
    world.seconds += 900
    now = world.guess()
    world.seconds -= 1
    assert world.guess() == now


@pytest.mark.parametrize("whose", ["brokers", "host"])
@pytest.mark.parametrize("seconds", [86_400, 10**9, 10**17])
def test_one_clock_that_is_ahead_loses_no_key(world: World, whose: str, seconds: int) -> None:
    """Nobody could take them back, and the last one would be a year of hashing."""
    before = world.guess()
    content = world.file.read_bytes()
    world.ahead[whose] = seconds
    world.guesses.observe()
    assert world.guess() == before
    assert world.file.read_bytes() == content
    world.seconds += 900
    assert world.guess()[1] == before[0]


@pytest.mark.parametrize("seconds", [MOST_AWAY_SECONDS + 900, 10**17])
def test_keys_from_too_long_ago_are_left_as_they_are(
    world: World, seconds: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both clocks may be wrong, as on one host; and they are there when those are right."""
    before = world.guess()
    world.seconds += seconds
    assert world.guesses.of("ana", "secret") is None
    assert "more than 90 days ago" in capsys.readouterr().out
    world.seconds -= seconds
    assert world.guess() == before


def test_keys_of_a_time_to_come_are_not_used_until_then(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """A key is used for its time and no longer, also after both clocks were ahead."""
    world.seconds += MOST_AWAY_SECONDS
    ahead = world.guess()
    world.seconds -= 1_800
    assert world.guesses.of("ana", "secret") is None
    assert "of a time to come" in capsys.readouterr().out
    world.seconds += 900
    assert world.guess() == ahead


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"period_seconds":0}'])
def test_without_keys_nothing_is_told_and_nothing_fails(
    world: World, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every wrong password counts then."""
    world.file.write_bytes(content)
    assert world.guesses.of("ana", "secret") is None
    assert "CERROJO_GUESS_KEYS_FILE" in capsys.readouterr().out
    with pytest.raises(ValueError, match="it is none that"):
        parse(content)


def test_keys_that_cannot_be_replaced_are_not_used(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the old key stays where it is, and is used for new guesses."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("gateway.guess_keys.replace", refuse)
    assert world.guesses.of("ana", "secret")
    world.seconds += 900
    assert world.guesses.of("ana", "secret") is None


def test_a_file_is_not_made_twice(world: World) -> None:
    """Other gateways may have its keys."""
    before = world.file.read_bytes()
    with pytest.raises(FileExistsError):
        make(world.file, 900, BEGIN)
    assert world.file.read_bytes() == before
