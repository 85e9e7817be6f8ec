"""The envelope of a record: what is believed, and why not."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from events.messages import (
    REFUSALS,
    Attempt,
    Block,
    Blocked,
    Claimed,
    Decision,
    Deleted,
    DevicesForgotten,
    Disabled,
    Enabled,
    Heartbeat,
    Message,
    PasswordChanged,
    Policy,
    RefusedError,
    Registered,
    SetLayout,
    SetPolicy,
    Unblock,
    Unblocked,
    Verdict,
    Verdicts,
    encode,
    new_id,
)
from events.positions import Position
from events.signatures import EARLY_MS, LATE_MS, Opener, Sealer, role_of
from events.signing_keys import KeyFile, Role, drop_key, make, new_key, parse, retire
from workers.partition.deduplication import DEDUPLICATION_MS
from workers.partition.seals import Seal

TOPIC, PARTITION, KEY, NOW_MS = "attempts", 3, b"ana", 1_795_491_529_733

MESSAGES: dict[str, Message] = {
    str(message.__struct_config__.tag): message
    for message in (
        Attempt(new_id(), 0, "ana", True),
        Registered(new_id(), 0, "ana"),
        PasswordChanged(new_id(), 0, "ana"),
        Unblock(new_id(), 0, "ana"),
        Block(new_id(), 0, "ana"),
        Deleted(new_id(), 0, "ana"),
        Disabled(new_id(), 0, "ana"),
        Enabled(new_id(), 0, "ana"),
        DevicesForgotten(new_id(), 0, "ana"),
        SetPolicy(new_id(), 0, Policy()),
        SetLayout(new_id(), 0, 2),
        Verdict(new_id(), "ana", Decision.ACCEPTED, 0),
        Verdicts(()),
        Claimed(0, 1, Position(1, 0)),
        Blocked(0, Position(1, 0), "ana", 5),
        Unblocked(0, Position(1, 0), "ana"),
        Heartbeat(0, 1, Position(1, 0)),
        Seal(0, 1, 0, 1, 5, 5, 0, [], 0, b"", b""),
    )
}

ALLOWED: dict[Role, set[str]] = {
    "gateway": {"attempt", "registered", "password"},
    "operator": {
        *("registered", "password", "unblock", "block", "deleted"),
        *("disabled", "enabled", "devices"),
    },
    "policy": {"policy", "layout"},
    "worker": {"verdict", "verdicts", "claimed", "blocked", "unblocked", "heartbeat", "seal"},
}

BODY = encode(MESSAGES["attempt"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """With keys."""
    made = tmp_path_factory.mktemp("keys")
    make(made)
    return made


@pytest.fixture(scope="module")
def keys(folder: Path) -> KeyFile:
    """All of them."""
    return KeyFile(folder, "workers")


@pytest.fixture
def value(keys: KeyFile) -> bytes:
    """A gateway's attempt."""
    return Sealer(keys, TOPIC).seal("gateway", BODY, PARTITION, KEY, NOW_MS)


def why(call, *arguments) -> str:
    """The reason for which a record is not believed."""
    with pytest.raises(RefusedError) as caught:
        call(*arguments)
    assert caught.value.why in REFUSALS
    return caught.value.why


def test_what_was_signed_is_believed_in_its_place(keys: KeyFile, value: bytes) -> None:
    """And the message comes out as it went in."""
    opener = Opener(keys, TOPIC)
    assert opener.open(PARTITION, KEY, value, NOW_MS) == BODY
    assert opener.check(PARTITION, KEY, value, NOW_MS) == (BODY, "gateway", NOW_MS)


@pytest.mark.parametrize("role", get_args(Role))
@pytest.mark.parametrize("kind", MESSAGES)
def test_a_role_signs_its_kinds_only(keys: KeyFile, role: Role, kind: str) -> None:
    """A gateway's key is worth no policy, no unblocking, no verdict and no block."""
    value = Sealer(keys, TOPIC).seal(role, encode(MESSAGES[kind]), PARTITION, KEY, NOW_MS)
    opener = Opener(keys, TOPIC)
    if kind in ALLOWED[role]:
        assert opener.open(PARTITION, KEY, value, NOW_MS) == encode(MESSAGES[kind])
    else:
        assert why(opener.open, PARTITION, KEY, value, NOW_MS) == "wrong_role"


def test_every_kind_has_a_role() -> None:
    """A record in the quarantine is signed anew by it."""
    assert {kind: role_of(encode(message)) for kind, message in MESSAGES.items()} == {
        kind: next(role for role, kinds in ALLOWED.items() if kind in kinds) for kind in MESSAGES
    }
    assert role_of(b"") is role_of(b"junk") is role_of(b"\x94") is None


@pytest.mark.parametrize(
    "place",
    [(PARTITION + 1, KEY), (PARTITION, b"bob"), (PARTITION, None), (PARTITION, b"")],
)
def test_in_another_place_it_is_worth_nothing(keys: KeyFile, value: bytes, place) -> None:
    """Else one account's success would clear another's count."""
    assert why(Opener(keys, TOPIC).open, *place, value, NOW_MS) == "forged"


@pytest.mark.parametrize("length", [65_535, 65_536, 200_000])
def test_no_key_is_longer_than_a_signature_can_say(
    keys: KeyFile, value: bytes, length: int
) -> None:
    """Whoever may write to a topic could stop all that reads it; also by what needs no signature,
    as what is believed is signed anew when it is replayed."""
    opener, key = Opener(keys, TOPIC, NOW_MS + 1), b"k" * length
    assert why(opener.open, PARTITION, key, value, NOW_MS) == "forged"
    assert why(opener.check, PARTITION, key, BODY, NOW_MS) == "forged"
    assert Opener(None, TOPIC).open(PARTITION, key, value, NOW_MS) == BODY


def test_no_key_can_be_cut_from_a_message(keys: KeyFile) -> None:
    """The length of the longest one would be the mark of none."""
    cut = b"k" * 65_535
    value = Sealer(keys, TOPIC).seal("gateway", cut + BODY, PARTITION, None, NOW_MS)
    moved = value[: -len(cut + BODY)] + BODY
    assert why(Opener(keys, TOPIC).open, PARTITION, cut, moved, NOW_MS) == "forged"


def test_on_another_topic_it_is_worth_nothing(keys: KeyFile, value: bytes) -> None:
    """Also not on that of another system, which has another prefix."""
    for topic in ("verdicts", "other.attempts"):
        assert why(Opener(keys, topic).open, PARTITION, KEY, value, NOW_MS) == "forged"


def test_no_byte_can_be_changed(keys: KeyFile, value: bytes) -> None:
    """Of the envelope as of the message; and none can be missing, or too many."""
    opener = Opener(keys, TOPIC)
    changed = [value[:n] + bytes([value[n] ^ 1]) + value[n + 1 :] for n in range(len(value))]
    cut = [value[:n] for n in range(1, len(value))]
    for bad in (*changed, *cut, value + b"\0"):
        reason = why(opener.open, PARTITION, KEY, bad, NOW_MS)
        assert reason in ("forged", "unknown_key", "unsigned"), bad


def test_a_key_of_others_is_worth_nothing(value: bytes, tmp_path: Path, folder: Path) -> None:
    """Neither one that nobody here has, nor one with a known id and another secret."""
    make(tmp_path / "others")
    others = KeyFile(tmp_path / "others", "workers")
    assert why(Opener(others, TOPIC).open, PARTITION, KEY, value, NOW_MS) == "unknown_key"
    path = tmp_path / "others" / "workers.json"
    ours = parse((folder / "workers.json").read_bytes())
    theirs = parse(path.read_bytes())
    text = path.read_text()
    for our, their in zip(ours, theirs, strict=True):
        text = text.replace(their.id, our.id)
    path.write_text(text)
    other = Opener(KeyFile(tmp_path / "others", "workers"), TOPIC)
    assert why(other.open, PARTITION, KEY, value, NOW_MS) == "forged"


@pytest.mark.parametrize(
    ("after_ms", "reason"),
    [
        (-EARLY_MS - 1, "early"),
        (-EARLY_MS, None),
        (LATE_MS, None),
        (LATE_MS + 1, "late"),
        (10**9, "late"),
    ],
)
def test_a_copy_that_comes_later_than_ids_are_known_is_refused(
    keys: KeyFile, value: bytes, after_ms: int, reason: str | None
) -> None:
    """The original came at most EARLY_MS too early, so until then a copy is known by its id."""
    opener, place = Opener(keys, TOPIC), (PARTITION, KEY, value, NOW_MS + after_ms)
    if reason is None:
        assert opener.open(*place) == BODY
    else:
        assert why(opener.open, *place) == reason
        assert opener.check(*place)[0] == BODY
    assert LATE_MS + EARLY_MS < DEDUPLICATION_MS


def test_what_needs_no_time_is_believed_at_any(keys: KeyFile) -> None:
    """A policy by its version, news by their position, a verdict by its id."""
    for role, kind in (("policy", "policy"), ("worker", "heartbeat")):
        value = Sealer(keys, TOPIC).seal(role, encode(MESSAGES[kind]), PARTITION)
        assert Opener(keys, TOPIC).open(PARTITION, None, value, NOW_MS)


def test_what_has_no_signature_is_believed_before_a_moment_only(keys: KeyFile) -> None:
    """By the log's time, so that a replay decides the same."""
    unsigned: list[bool] = []
    opener = Opener(keys, TOPIC, NOW_MS, lambda: unsigned.append(True))
    assert opener.open(PARTITION, KEY, BODY, NOW_MS - 1) == BODY
    assert unsigned == [True]
    assert why(opener.open, PARTITION, KEY, BODY, NOW_MS) == "unsigned"
    for value in (None, b"", BODY):
        assert why(Opener(keys, TOPIC).open, PARTITION, KEY, value, NOW_MS) == "unsigned"


def test_without_keys_nothing_is_signed_or_checked(value: bytes) -> None:
    """As before there were any; and what others sign can be read."""
    assert Sealer(None, TOPIC).seal("gateway", BODY, PARTITION, KEY, NOW_MS) == BODY
    opener = Opener(None, TOPIC)
    assert opener.open(PARTITION, KEY, BODY, 0) == opener.open(0, None, value, 0) == BODY
    assert opener.open(PARTITION, KEY, None, 0) is None


def test_no_message_begins_as_an_envelope() -> None:
    """A signed record is never taken for one that is not, nor the other way round."""
    assert all(encode(message)[0] != 0xC1 for message in MESSAGES.values())


def test_a_retired_key_counts_for_what_the_log_had(tmp_path: Path) -> None:
    """So a database that went back decides the same again; a dropped one counts for nothing."""
    make(tmp_path)
    keys = KeyFile(tmp_path, "workers")
    old = keys.current().signing["gateway"].id
    value = Sealer(keys, TOPIC).seal("gateway", BODY, PARTITION, KEY, NOW_MS)
    new_key(tmp_path, "gateway")
    retire(tmp_path, old, NOW_MS + 5)
    opener = Opener(KeyFile(tmp_path, "workers"), TOPIC)
    assert opener.open(PARTITION, KEY, value, NOW_MS + 5) == BODY
    assert why(opener.open, PARTITION, KEY, value, NOW_MS + 6) == "retired_key"
    drop_key(tmp_path, old)
    opener = Opener(KeyFile(tmp_path, "workers"), TOPIC)
    assert why(opener.open, PARTITION, KEY, value, NOW_MS) == "unknown_key"
