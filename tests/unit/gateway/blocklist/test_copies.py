"""Copies of signed news."""

from __future__ import annotations

from events.messages import Blocked, Claimed, Heartbeat
from events.positions import Position
from gateway.blocklist.copies import MOST_EPOCHS, NewsCopies

HERE = Position(1, 0)


def test_what_was_heard_is_a_copy_and_what_follows_is_none() -> None:
    """Of each partition and epoch for itself, in whatever order the epochs come."""
    copies = NewsCopies()
    news = [
        (Claimed(0, 5, HERE), 1),
        (Heartbeat(0, 5, HERE), 2),
        (Blocked(0, HERE, "ana", 9, 5), 3),
        (Claimed(0, 7, HERE), 1),
        (Heartbeat(0, 5, HERE), 4),
        (Heartbeat(1, 5, HERE), 1),
    ]
    assert [copies.is_copy(*one) for one in news] == [False] * 6
    assert [copies.is_copy(*one) for one in news] == [True] * 6
    assert not copies.is_copy(Heartbeat(0, 7, HERE), 2)
    assert copies.is_copy(Heartbeat(0, 7, HERE), 2)


def test_what_is_remembered_is_bounded() -> None:
    """The highest epochs are."""
    copies = NewsCopies()
    for epoch in range(1, MOST_EPOCHS + 2):
        assert not copies.is_copy(Claimed(0, epoch, HERE), 1)
    assert not copies.is_copy(Claimed(0, 1, HERE), 1)
    assert copies.is_copy(Claimed(0, MOST_EPOCHS + 1, HERE), 1)
