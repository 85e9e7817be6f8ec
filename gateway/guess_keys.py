"""The keys by which a wrong password is known again: `cerrojo keys guess FILE` makes them.

A guess is eight bytes of a keyed hash of account and password: two that are the same are the same
password. Log and database have guesses and never a key. A key is used for one period, then for one
more to recognise what it made, and then it is nowhere: the next one is a one-way function of it,
and takes its place in the file. So nobody can try passwords against a guess that is older than
that, whatever they get hold of afterwards.

Every gateway has a copy of one file; they all come to the same keys at the same time, by the
brokers' clock or their host's, whichever shows less: no key can be taken back, so a clock that was
far ahead for a moment must not lose them all. A copy that is put back, as from a backup, has old
keys in it: back up no such file.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.rate_limited_logger import RateLimitedLogger
from gateway.reread_file import RereadFile
from gateway.timestamps import now_ms
from processes.new_file import replace
from settings import variable

SETTING = variable("guess_keys_file")

KEY_BYTES = 32

GUESS_BYTES = 8

PERIOD_SECONDS = 900
"""That of a new file: as long as wrong passwords count by the first policy's default."""

MOST_AWAY_SECONDS = 90 * 86_400
"""So long a gateway may have stood still, and its keys go on. With the shortest period they take a
fifth of a second [measured]. Where it seems to be longer, the clocks may be wrong."""

_Key = Annotated[str, Meta(pattern=f"^[0-9a-f]{{{2 * KEY_BYTES}}}$")]


class _File(msgspec.Struct, frozen=True):
    period_seconds: Annotated[int, Meta(ge=60, le=86_400)]
    number: Annotated[int, Meta(ge=0)]
    """Of the period: so many are over since 1970."""
    key: _Key
    former: _Key


def parse(content: bytes) -> _File:
    """What a file says. Raises ValueError with a sentence that has nothing of a key in it."""
    try:
        return msgspec.json.decode(content, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("it is none that `cerrojo keys guess` made") from None


def make(path: Path, period_seconds: int, now_seconds: float) -> None:
    """Make a file with new keys. Raises OSError; FileExistsError where there is one."""
    if path.exists():
        raise FileExistsError(17, "it is there already, and other gateways may have its keys")
    number = int(now_seconds) // period_seconds
    keys = _File(period_seconds, number, *(secrets.token_hex(KEY_BYTES) for _ in range(2)))
    replace(path, _encode(keys))


class Guesses:
    """The guesses of this time, and the keys that go with it."""

    def __init__(
        self, path: Path, clock_ms: Callable[[], int], host_ms: Callable[[], int] = now_ms
    ) -> None:
        """Both give milliseconds since 1970: by the brokers' clock, and by this host's."""
        self._file = RereadFile(path, parse)
        self._clock_ms = clock_ms
        self._host_ms = host_ms
        self._logger = RateLimitedLogger()

    def of(self, user: str, password: str) -> bytes | None:
        """The guess by the key of this period and by the former one; None without keys."""
        keys = self._current()
        if keys is None:
            return None
        what = f"{user}\0{password}".encode()
        return b"".join(
            hmac.digest(bytes.fromhex(key), what, "sha256")[:GUESS_BYTES]
            for key in (keys.key, keys.former)
        )

    def observe(self) -> None:
        """Replace keys whose period is over; for every second or so, also where nobody guesses."""
        self._current()

    def _current(self) -> _File | None:
        try:
            known = self._file.current()
            keys = _at(known, min(self._clock_ms(), self._host_ms()) // 1000)
            if keys != known:
                # Nobody but gateways reads it, and without new keys every wrong password counts.
                replace(self._file.path, _encode(keys), only_ours=True)
        except (OSError, ValueError) as error:
            self._logger.warning(
                f"{SETTING} names a file that cannot be used, so every wrong password counts. "
                "Repair it, and let the gateway write it and its folder",
                path=str(self._file.path),
                reason=error.strerror if isinstance(error, OSError) else str(error),
            )
            return None
        return keys


def _at(keys: _File, now_seconds: int) -> _File:
    """The keys at this time, which are these or later ones.

    Raises ValueError where these are of a time to come, as a key is used for no longer than its
    time, or from too long ago.
    """
    number = now_seconds // keys.period_seconds
    if number < keys.number - 1:  # one before: a clock went back a little, between two periods
        raise ValueError(
            "its keys are of a time to come, as a clock was ahead. They are used when that has "
            "come, or make a new file and copy it to every gateway"
        )
    if (number - keys.number) * keys.period_seconds > MOST_AWAY_SECONDS:
        raise ValueError(
            f"its keys are from more than {MOST_AWAY_SECONDS // 86_400} days ago. If the clocks "
            "are right, make a new file and copy it to every gateway"
        )
    key, former = bytes.fromhex(keys.key), bytes.fromhex(keys.former)
    for _ in range(number - keys.number):
        key, former = hashlib.sha256(b"the next key of guesses" + key).digest(), key
    return msgspec.structs.replace(
        keys, number=max(number, keys.number), key=key.hex(), former=former.hex()
    )


def _encode(keys: _File) -> bytes:
    return msgspec.json.format(msgspec.json.encode(keys)) + b"\n"
