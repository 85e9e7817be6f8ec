"""The messages between login processes and hash processes."""

from __future__ import annotations

import pytest

from gateway.passwords.hash_protocol import (
    FRAME_MAX,
    BadFrameError,
    BadHash,
    Check,
    Checked,
    Dropped,
    Frames,
    HashAnswer,
    HashRequest,
    Made,
    Make,
    NoMemory,
    Withdraw,
    frame,
)

PASSWORD = "the right password"
REQUESTS: list[HashRequest] = [
    Check(1, "ana", 12.5, "$argon2id$", PASSWORD),
    Check(2, "ana", 12.5, None, "\N{SNOWMAN}" * 400),
    Make(3, "eva", 1.0, PASSWORD),
    Withdraw(2**40),
]
ANSWERS: list[HashAnswer] = [
    Checked(1, True, False, 0.5),
    Made(2, "$argon2id$", 0.5),
    BadHash(3, "half", 0.5),
    NoMemory(4),
    Dropped(5),
]


@pytest.mark.parametrize("size", [1, 3, 50, 10_000])
def test_messages_arrive_whole_whatever_the_pieces(size: int) -> None:
    """A socket gives what it has."""
    sent = b"".join(map(frame, REQUESTS))
    frames, received = Frames(), []
    for start in range(0, len(sent), size):
        received += frames.requests(sent[start : start + size])
    assert received == REQUESTS
    assert list(Frames().answers(b"".join(map(frame, ANSWERS)))) == ANSWERS


@pytest.mark.parametrize(
    "sent",
    [
        (FRAME_MAX + 1).to_bytes(4, "big"),
        b"\xff\xff\xff\xff" + bytes(100),
        b"\0\0\0\x01\xc1",
        frame(Make(1, "ana", 1.0, PASSWORD)).replace(b"ana", b"\xff\xfe\xfd"),
        frame(Withdraw(1))[:-1] + b"\xc0",
        (60_000).to_bytes(4, "big") + b"\x91" * 60_000,
    ],
    ids=["too long", "far too long", "no MessagePack", "no UTF-8", "no number", "deep"],
)
def test_what_is_no_frame_is_one_error(sent: bytes) -> None:
    """It ends one connection: no memory is filled and no thread dies of it."""
    for take in (Frames().requests, Frames().answers):
        with pytest.raises(BadFrameError):
            list(take(sent))


def test_no_password_is_shown() -> None:
    """A message may get into a log by mistake."""
    for request in REQUESTS:
        assert PASSWORD not in repr(request)
