"""Passwords that everybody uses, which nobody may set (NIST SP 800-63B-4, 3.1.1.2).

The whole password is compared, and no part of it, as that standard has it; in its normalized form
and with its case folded, as "Password1" is guessed along with "password1". Only where one is set: a
list that grows must keep nobody out.

Of each password there are 64 bits of a hash, sorted: the list of `builtin` takes 130 KB. Another
password is taken for one of n in a list with a probability of n / 2**64.
"""

from __future__ import annotations

import hashlib
import sys
import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path

from gateway.errors import CommonPasswordError
from gateway.passwords.precis import PASSWORD_MIN
from settings import FIELDS, SettingsError

BUILTIN_FILE = Path(__file__).with_name("common_passwords.bin")
"""The hashes, of eight bytes each, little-endian; :mod:`local.common_passwords` makes it."""

LINES_MAX = 1_000_000
"""Passwords of a file: 8 MB of each login process, and some seconds of its start."""


class CommonPasswords:
    """A set of passwords, without them."""

    def __init__(self, hashes: Iterable[int]) -> None:
        self._hashes = array("Q", sorted(set(hashes)))

    def __len__(self) -> int:
        """How many there are."""
        return len(self._hashes)

    def __contains__(self, password: str) -> bool:
        """Whether it is one of these, in any case."""
        wanted = hash_of(password)
        place = bisect_left(self._hashes, wanted)
        return place < len(self._hashes) and self._hashes[place] == wanted

    def refuse(self, user: str, password: str, field: str = "pass") -> None:
        """Raise CommonPasswordError, which names this field, if the account may not set it.

        The name of the account is expected, too, with or without what follows an @.
        """
        folded = _folded(password)
        if folded in (_folded(user), _folded(user.partition("@")[0])):
            raise CommonPasswordError(f"{field} is the user's name; choose another password")
        if password in self:
            raise CommonPasswordError(
                f"{field} is one of the passwords that everybody uses; choose another one"
            )


class _Anything(CommonPasswords):
    """No list at all."""

    def refuse(self, user: str, password: str, field: str = "pass") -> None:
        """Every password may be set."""


def hash_of(password: str) -> int:
    """The hash of this password, whatever its case."""
    digest = hashlib.blake2b(_folded(password).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def load(setting: str) -> CommonPasswords:
    """Those of the setting `common_passwords`. Raises SettingsError."""
    if setting == "off":
        return _Anything(())
    if setting == "builtin":
        hashes = array("Q")
        hashes.frombytes(BUILTIN_FILE.read_bytes())
        if sys.byteorder == "big":
            hashes.byteswap()
        return CommonPasswords(hashes)
    return CommonPasswords(_of_file(setting))


def _of_file(path: str) -> Iterable[int]:
    """Of each line. What is no UTF-8, and what is too short to be set, is passed over."""
    try:
        with Path(path).open(encoding="utf-8-sig", errors="surrogateescape") as file:
            for number, line in enumerate(file, start=1):
                if number > LINES_MAX:
                    raise _refuse(path, f"it has more than {LINES_MAX:,} lines; leave out the rest")
                password = line.rstrip("\r\n")
                if len(password) >= PASSWORD_MIN:
                    try:
                        yield hash_of(password)
                    except UnicodeEncodeError:
                        continue
    except OSError as error:
        trouble = (
            f"this file cannot be read: {error.strerror}. Name a file with a password in each "
            "line, or set it to builtin or off"
        )
        raise _refuse(path, trouble) from None


def _refuse(path: str, trouble: str) -> SettingsError:
    return SettingsError(FIELDS["common_passwords"].refuse(path, trouble))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text.casefold())
