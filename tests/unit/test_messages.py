"""What is sent is what arrives, and what is none of ours is refused with a reason."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.messages import (
    Attempt,
    Blocked,
    Heartbeat,
    Message,
    Policy,
    Registered,
    SetLayout,
    SetPolicy,
    Unblock,
    Unblocked,
    UndecodableError,
    decode_attempts,
    decode_blocks,
    encode,
)
from events.positions import Position
from events.topics import partition_of

ID = bytes(range(16))


@pytest.mark.parametrize(
    "message",
    [
        Attempt(ID, 3, "ana", True),
        Registered(ID, 0, "añá"),
        Unblock(ID, 15, "ana"),
        SetPolicy(ID, 0, Policy(version=4, threshold=9)),
        Attempt(ID, 3, "ana", True, 8),
        SetLayout(ID, 0, 8),
    ],
)
def test_what_is_put_into_the_log_comes_out_of_it(message):
    """Each message of `attempts` survives its way."""
    assert decode_attempts(encode(message)) == message


@pytest.mark.parametrize(
    "message",
    [
        Blocked(1, Position(2, 3), "ana", 2**63 - 1),
        Unblocked(1, Position(2, 3), "ana"),
        Heartbeat(1, 1_795_491_529_733, Position(2, 3)),
    ],
)
def test_the_news_comes_out_as_it_went_in(message):
    """Each message of `blocks` survives its way."""
    assert decode_blocks(encode(message)) == message


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no value"),
        (b"", "truncated"),
        (b"\xc1", "malformed"),
        (b"\x91" * 5_000, "Expected"),
        (encode(Attempt(b"short", 3, "ana", True)), "5 bytes"),
        (encode(Attempt(ID, 3, "", True)), "user has 0 characters"),
        (encode(Attempt(ID, 3, "x" * 257, True)), "user has 257 characters"),
        (encode(Attempt(ID, 16, "ana", True)), "no reply partition 16"),
        (encode(Attempt(ID, -1, "ana", True)), "no reply partition -1"),
        (encode(Attempt(ID, 0, "ana", True, -1)), "never -1 partitions"),
        (encode(SetLayout(ID, 0, 1_025)), "never 1025 partitions"),
        (encode(Unblocked(1, Position(2, 3), "ana")), "unblocked"),
    ],
)
def test_what_cannot_be_read_says_why(value, reason):
    """The reason stands in the quarantine, for a person."""
    with pytest.raises(UndecodableError, match=reason):
        decode_attempts(value)


@given(st.binary(max_size=64))
def test_no_bytes_at_all_do_more_than_be_refused(value):
    """Whatever somebody writes to the topic, the partition goes on."""
    with contextlib.suppress(UndecodableError):
        assert isinstance(decode_attempts(value), Message)


def test_the_partition_is_the_crc32_of_the_bytes():
    """These numbers must never change: a user's attempts would be in two partitions."""
    assert [partition_of(user, 7) for user in ("ana", "añá", "bob")] == [1, 3, 2]
