"""Who wants to log in, and who floods: what the login processes of a host know of each other's."""

from __future__ import annotations

import mmap
import tempfile
import zlib
from struct import Struct
from typing import IO

_LAST = Struct("=Qdd")  # who came last, when, and when anybody else did
_FLOOD = Struct("=Qd")  # who, and until when
_FLOODS = 64  # at the same time; with more, some process learns of some of them by itself
_SIZE = _LAST.size + _FLOODS * _FLOOD.size


def shared_file() -> IO[bytes]:
    """The file that these processes share by its number; it is gone with the last of them."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  # its owner closes it
    file.truncate(_SIZE)
    return file


class Visitors:
    """Notes, without a lock: two who write at once may lose one, and the next makes up for it.

    Times are on the monotonic clock, which all processes of a host share.
    """

    def __init__(self, file: int = -1) -> None:
        """`file` is the number of the shared file; without one, this process is alone."""
        self._memory = mmap.mmap(file, _SIZE)

    def came(self, user: str, now: float) -> None:
        """This user wants to log in."""
        who, (last, at, another_at) = _number(user), _LAST.unpack_from(self._memory)
        _LAST.pack_into(self._memory, 0, who, now, another_at if last == who else at)

    def alone_for(self, user: str, now: float) -> float:
        """Seconds since anybody but this user wanted to log in."""
        last, at, another_at = _LAST.unpack_from(self._memory)
        return now - float(another_at if last == _number(user) else at)

    def flood(self, user: str, until: float) -> None:
        """This user floods some process."""
        who = _number(user)
        _FLOOD.pack_into(self._memory, _place(who), who, until)

    def floods(self, user: str, now: float) -> bool:
        """Whether this user floods any process."""
        who = _number(user)
        flooding, until = _FLOOD.unpack_from(self._memory, _place(who))
        return bool(flooding == who and now < until)


def _number(user: str) -> int:
    return zlib.crc32(user.encode())


def _place(number: int) -> int:
    return _LAST.size + number % _FLOODS * _FLOOD.size
