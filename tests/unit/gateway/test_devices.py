"""Which devices are known by their cookies, and which are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.device_keys import drop_key, new_key
from gateway.devices import DAY_MS, ENTRIES, REFUSALS, Devices
from settings import Settings


class World:
    """A file with a key, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "keys"
        new_key(self.file)
        self.now_ms = 1_800_000_000_000
        self.devices = Devices(Settings(device_keys_file=self.file), lambda: self.now_ms)

    def cookie(self, user: str, version: int = 7, before: bytes | None = None) -> bytes:
        """After a login."""
        given = self.devices.after_login(user, version, before)
        assert given
        return given.encode()


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A new one."""
    return World(tmp_path)


def test_a_device_is_known_for_its_account_alone(world: World) -> None:
    """By the version of the account that it logged in to."""
    cookie = world.cookie("ana")
    known = world.devices.known("ana", cookie)
    assert known
    assert (len(known.id), known.version) == (16, 7)
    assert world.devices.known("bob", cookie) is None
    assert b"ana" not in cookie


def test_every_login_gives_another_device(world: World) -> None:
    """A copy of the former cookie keeps its own count, whatever the owner does."""
    first = world.cookie("ana")
    second = world.cookie("ana", 7, first)
    one, other = world.devices.known("ana", first), world.devices.known("ana", second)
    assert one
    assert other
    assert one.id != other.id
    assert second.count(b".") == 0


def test_a_browser_is_known_by_its_last_accounts(world: World) -> None:
    """A family shares it; a hundred people at one terminal make no endless header."""
    cookie = None
    users = [f"user{n}" for n in range(ENTRIES + 2)]
    for user in users:
        cookie = world.cookie(user, 7, cookie)
    known = [user for user in users if world.devices.known(user, cookie)]
    assert known == users[2:]
    assert len(cookie or b"") < 300


@pytest.mark.parametrize("place", [0, 5, 30, 45, 68])
def test_no_entry_can_be_changed(world: World, place: int) -> None:
    """Its key, device, time, version and signature."""
    cookie = bytearray(world.cookie("ana"))
    cookie[place] = ord("A") if cookie[place] != ord("A") else ord("B")
    assert world.devices.known("ana", bytes(cookie)) is None


@pytest.mark.parametrize(
    "cookie", [None, b"", b".", b"....", b"A", b"\xff" * 70, b"=" * 70, b"A" * 70, b"A" * 100_000]
)
def test_what_is_no_entry_is_no_device(world: World, cookie: bytes | None) -> None:
    """And makes no error, or a login would fail by it; the next login replaces it."""
    assert world.devices.known("ana", cookie) is None
    assert world.devices.known("ana", world.cookie("ana", 7, cookie))


def test_a_device_is_known_for_as_long_as_the_setting_says(world: World) -> None:
    """After its last login."""
    cookie = world.cookie("ana")
    world.now_ms += 90 * DAY_MS
    assert world.devices.known("ana", cookie)
    world.now_ms += 1
    assert world.devices.known("ana", cookie) is None


def test_a_key_is_replaced_without_making_a_device_unknown(world: World) -> None:
    """Until it is dropped."""
    cookie = world.cookie("ana")
    _, former = new_key(world.file)
    assert world.devices.known("ana", cookie)
    another = world.cookie("ana", 7, cookie)
    drop_key(world.file, former.hex())
    assert world.devices.known("ana", cookie) is None
    assert world.devices.known("ana", another)


def test_without_keys_nobody_is_known_and_nothing_fails(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """A login works as it does without devices, and the log says why it is one."""
    cookie = world.cookie("ana")
    world.file.write_text("nothing")
    assert world.devices.known("ana", cookie) is None
    assert world.devices.after_login("ana", 7, cookie) is None
    assert "CERROJO_DEVICE_KEYS_FILE" in capsys.readouterr().out


def test_a_refusal_is_remembered_for_two_seconds(world: World) -> None:
    """A crowd costs no hash; and what an operator ends is over then."""
    world.devices.note_refusal(b"d" * 16, world.now_ms + 5_000)
    assert world.devices.refused_until(b"d" * 16) == world.now_ms + 5_000
    assert world.devices.refused_until(b"e" * 16) == 0
    world.now_ms += 2_001
    assert world.devices.refused_until(b"d" * 16) == 0
    world.devices.note_refusal(b"d" * 16, world.now_ms)
    assert world.devices.refused_until(b"d" * 16) == 0  # it is over
    world.devices.note_refusal(b"d" * 16, world.now_ms + 5_000)
    for n in range(REFUSALS):
        world.devices.note_refusal(n.to_bytes(16, "big"), world.now_ms + 5_000)
    assert world.devices.refused_until(b"d" * 16) == 0
    assert world.devices.refused_until(bytes(16)) > 0
