"""A message arrives as it was sent, and one that is none of ours is refused with a reason."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.messages import (
    FOREVER,
    LONGEST_REASON,
    LONGEST_USER,
    MOST_VERDICTS,
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
    Outcome,
    Outcomes,
    PasswordChanged,
    Policy,
    Registered,
    Request,
    SetLayout,
    SetPolicy,
    Unblock,
    Unblocked,
    UndecodableError,
    Verdict,
    Verdicts,
    decode_attempts,
    decode_blocks,
    decode_sources,
    decode_verdicts,
    encode,
    name_of,
)
from events.partitioner import partition_of
from events.positions import Position

ID = bytes(range(16))


@pytest.mark.parametrize(
    "message",
    [
        Attempt(ID, 3, "ana", True),
        Registered(ID, 0, "añá"),
        Unblock(ID, 15, "ana"),
        Unblock(ID, 15, "ana", 8, 1, "cleo", "she called"),
        Block(ID, 15, "ana", 8, 1, "cleo", "robbed", 7_200_000),
        Disabled(ID, 15, "ana", 8, 1, "cleo", "leaves"),
        Enabled(ID, 15, "ana", 8, 1, "cleo"),
        DevicesForgotten(ID, 15, "ana"),
        PasswordChanged(ID, 15, "ana", 8, 1),
        Deleted(ID, 15, "ana", 8, 1, 1_795_491_529_733),
        SetPolicy(ID, 0, Policy(version=4, threshold=9)),
        SetPolicy(ID, 0, Policy(version=4), "ana@host", "fewer calls"),
        Attempt(ID, 3, "ana", True, 8),
        Attempt(ID, 3, "ana", False, 8, 0, None, None, ID, b"a guess and a no"),
        SetPolicy(ID, 0, Policy(version=4, repeated_guesses="ignore")),
        SetLayout(ID, 0, 8),
        SetLayout(ID, 0, 8, "cleo", "more hosts"),
    ],
)
def test_what_is_put_into_the_log_comes_out_of_it(message):
    """Each message of `attempts` survives its way."""
    assert decode_attempts(encode(message)) == message


def test_a_version_before_reads_a_layout_that_says_who_asked():
    """Workers are updated one host after the other, and go back in the same way."""

    class Former(Request, frozen=True, array_like=True, tag="layout"):
        partitions: int

    said = msgspec.msgpack.decode(encode(SetLayout(ID, 0, 8, "cleo", "more hosts")), type=Former)
    assert said == Former(ID, 0, 8)
    assert decode_attempts(msgspec.msgpack.encode(said)) == SetLayout(ID, 0, 8)


def test_a_deletion_leaves_no_name_in_the_audit_and_the_verdicts():
    """Every other request of an account is found there by its name."""
    assert name_of(Deleted(ID, 0, "ana")) == ""
    assert name_of(PasswordChanged(ID, 0, "ana")) == name_of(Attempt(ID, 0, "ana", True)) == "ana"
    assert name_of(SetLayout(ID, 0, 8)) == ""


@pytest.mark.parametrize(
    "message",
    [
        Blocked(1, Position(2, 3), "ana", 2**63 - 1),
        Unblocked(1, Position(2, 3), "ana"),
        Heartbeat(1, 1_795_491_529_733, Position(2, 3)),
        Claimed(1, 1_795_491_529_733, Position(2, 3)),
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
        (encode(Attempt(b"short", 3, "ana", True)), "length >= 16"),
        (encode(Attempt(ID, 3, "", True)), "length >= 1 "),
        (encode(Attempt(ID, 3, "x" * 257, True)), "length <= 256"),
        (encode(Attempt(ID, 16, "ana", True)), "int` <= 15"),
        (encode(Attempt(ID, -1, "ana", True)), "int` >= 0"),
        (encode(Attempt(ID, 0, "ana", True, -1)), "int` >= 0"),
        (encode(Attempt(ID, 0, "ana", True, 0, 0, None, None, b"short")), "length >= 16"),
        (encode(Attempt(ID, 0, "ana", False, 0, 0, None, None, ID, b"short")), "length >= 8"),
        (encode(Attempt(ID, 0, "ana", False, 0, 0, None, None, ID, bytes(17))), "length <= 16"),
        (encode(Attempt(ID, 0, "ana", False, 0, 0, None, None, ID, bytes(12))), "has 12 bytes"),
        (encode(SetPolicy(ID, 0, Policy(repeated_guesses="sometimes"))), "Invalid enum value"),
        (encode(SetLayout(ID, 0, 1_025)), "int` <= 1024"),
        (encode(SetPolicy(ID, 0, Policy(threshold=0))), "int` >= 1"),
        (encode(SetPolicy(ID, 0, Policy(block_ms=2**62))), "int` <= 3153600000000"),
        (encode(Unblock(ID, 0, "ana", 1, 2**63 - 1)), "int` <="),
        (encode(Unblock(ID, 0, "ana", 1, 1, "")), "length >= 1"),
        (encode(Unblock(ID, 0, "ana", 1, 1, "c" * 65)), "length <= 64"),
        (encode(Unblock(ID, 0, "ana", 1, 1, "cleo", "r" * 201)), "length <= 200"),
        (encode(Block(ID, 0, "ana", 1, 1, "cleo", "r", 2**62)), "int` <="),
        (encode(Deleted(ID, 0, "ana", 1, 0, -1)), "int` >= 0"),
        (encode(Unblocked(1, Position(2, 3), "ana")), "unblocked"),
    ],
)
def test_what_cannot_be_read_says_why(value, reason):
    """The reason stands in the quarantine, for a person."""
    with pytest.raises(UndecodableError, match=reason):
        decode_attempts(value)


@pytest.mark.parametrize(
    "message",
    [
        Blocked(1, Position(2, 3), "ana", 2**64 - 1),
        Blocked(1, Position(2, 3), "ana", 0),
        Blocked(1_024, Position(2, 3), "ana", 1),
        Blocked(1, Position(-1, 3), "ana", 1),
        Blocked(1, Position(2, 2**63), "ana", 1),
        Unblocked(1, Position(2**31, 3), "ana"),
        Unblocked(1, Position(2, 3), ""),
        Heartbeat(1, 2**63 - 1, Position(2, 3)),
        Heartbeat(1, -1, Position(2, 3)),
        Heartbeat(1, 1, Position(2, 3), 1_025),
        Heartbeat(-1, 1, Position(2, 3)),
        Claimed(-1, 1, Position(2, 3)),
        Claimed(1_024, 1, Position(2, 3)),
        Claimed(1, -1, Position(2, 3)),
        Claimed(1, 2**63 - 1, Position(2, 3)),
        Claimed(1, 1, Position(-1, 3)),
        Claimed(1, 1, Position(2**31, 3)),
        Claimed(1, 1, Position(2, -1)),
        Claimed(1, 1, Position(2, 2**63)),
    ],
)
def test_no_value_out_of_its_bounds_reaches_the_blocklist(message):
    """One such record would break the blocklist, or silence a partition."""
    with pytest.raises(UndecodableError):
        decode_blocks(encode(message))


@pytest.mark.parametrize(
    "verdict",
    [
        Verdict(b"short", "ana", Decision.ACCEPTED, 0),
        Verdict(ID, "ana", 6, 0),  # type: ignore[arg-type]
        Verdict(ID, "ana", Decision.BLOCKED, -1),
    ],
)
def test_no_value_out_of_its_bounds_becomes_an_answer(verdict):
    """It is ignored, and counted."""
    with pytest.raises(UndecodableError):
        decode_verdicts(encode(verdict))
    with pytest.raises(UndecodableError):
        decode_verdicts(encode(Verdicts((verdict,))))


def test_brokers_take_the_longest_list_of_verdicts():
    """They take a mebibyte, unless they are told otherwise."""
    longest = Verdict(ID, "\U0001f600" * LONGEST_USER, Decision.BLOCKED, FOREVER)
    assert len(encode(Verdicts((longest,) * MOST_VERDICTS))) < 2**20 - 1_000


def test_what_is_said_of_a_record_is_short():
    """It stands in a table and in a log line, and repeats what somebody wrote."""
    for decode in (decode_attempts, decode_verdicts, decode_blocks):
        with pytest.raises(UndecodableError) as refused:
            decode(msgspec.msgpack.encode(["x" * 1_000_000]))
        assert len(str(refused.value)) <= LONGEST_REASON


@given(st.binary(max_size=64))
def test_no_bytes_at_all_do_more_than_be_refused(value):
    """The partition goes on, whatever somebody writes to the topic."""
    with contextlib.suppress(UndecodableError):
        assert isinstance(decode_attempts(value), Message)


def test_the_partition_is_the_crc32_of_the_bytes():
    """These numbers must never change: a user's attempts would be in two partitions."""
    assert [partition_of(user, 7) for user in ("ana", "añá", "bob")] == [1, 3, 2]


def test_what_is_told_of_sources_comes_out_as_it_went_in():
    """And what is told has bounds, as whoever writes there could fill every gateway."""
    told = Outcomes([Outcome("2001:db8::/64", "añá", 1, 2, True, 3), Outcome("192.0.2.7", "ana")])
    assert decode_sources(encode(told)) == told
    for bad in (
        Outcomes([Outcome("192.0.2.7", "ana")] * 501),
        Outcomes([Outcome("1" * 60, "ana")]),
        Outcomes([Outcome("192.0.2.7", "ana", failed=10_001)]),
        Heartbeat(1, 2, Position(2, 3)),
    ):
        with pytest.raises(UndecodableError):
            decode_sources(encode(bad))


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (Unblock(ID, 1, "ana", 4, 9), ["unblock", ID, 1, "ana", 4, 9]),
        (Registered(ID, 1, "ana", 4, 9), ["registered", ID, 1, "ana", 4, 9]),
        (Deleted(ID, 1, "ana", 4, 9, 7), ["deleted", ID, 1, "ana", 4, 9, 7]),
        (SetPolicy(ID, 1, Policy(7)), ["policy", ID, 1, {"version": 7}]),
    ],
)
def test_a_record_from_before_there_were_operators_is_read(message, fields):
    """It says of nobody that they asked for it."""
    assert decode_attempts(msgspec.msgpack.encode(fields)) == message
    assert (message.operator, message.reason) == (None, None)
