"""A key that every password is mixed with before it is hashed.

`cerrojo keys pepper NAME` makes one, as a line for the file.

With the database alone nobody can try passwords: that also takes this file. What is hashed is the
HMAC-SHA-256 of the password under the key, and a stored hash says which key that was:
`$pepper$NAME$argon2id$...`.

The file has a line for each key: its name, and 256 random bits in hex. New hashes are made by the
first line; if that is `none`, they are made without a key. A `#` begins a comment.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from gateway.passwords.hash_protocol import BadHashError
from settings import SettingsError, variable

SETTING = variable("pepper_file")
COMMAND = "cerrojo keys pepper NAME"

WITHOUT = "none"
"""The line that stands for no key."""

_KEY_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9._-]{1,32}")
_LINE = re.compile(rf"({_NAME.pattern})\s+([0-9a-fA-F]{{{2 * _KEY_BYTES}}})")
_STORED = re.compile(rf"\$pepper\$({_NAME.pattern})(\$.*)", re.DOTALL)


class Stored(NamedTuple):
    """A stored hash, or its form."""

    key: str | None
    """The name of the key; None: it was made without one."""
    bare: str
    """What Argon2 made."""

    @classmethod
    def of(cls, stored: str) -> Stored:
        """Its two parts."""
        found = _STORED.fullmatch(stored)
        return cls(found[1], found[2]) if found else cls(None, stored)

    @property
    def text(self) -> str:
        """As it is in an account."""
        return self.bare if self.key is None else f"$pepper${self.key}{self.bare}"


class Peppers:
    """The keys of a file. Shows none of them."""

    def __init__(self, keys: Mapping[str, bytes], newest: str | None) -> None:
        """The keys by name, and the name of the one for new hashes; None: they are without."""
        self._keys = keys
        self.newest = newest

    def mix(self, key: str | None, password: str) -> str | bytes:
        """What Argon2 gets for this password. Raises BadHashError where there is no such key."""
        if key is None:
            return password
        if key not in self._keys:
            raise BadHashError(f"it was made with the key {key!r}, which {SETTING} does not have")
        return hmac.digest(self._keys[key], password.encode(), "sha256")

    def mark(self, bare: str) -> str:
        """A new hash of Argon2's, as it is to be stored."""
        return Stored(self.newest, bare).text


def load(path: Path | None) -> Peppers:
    """The keys of this file. Raises SettingsError, which has nothing of the file's content."""
    if path is None:
        return Peppers({}, None)
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError as error:
        raise SettingsError(
            f"{SETTING} is {str(path)!r}, and this file cannot be read: {error.strerror}. Make it "
            "readable for the gateway, and for nobody else."
        ) from None
    keys: dict[str, bytes] = {}
    lines = [line.partition("#")[0].strip() for line in lines]
    without = next(filter(None, lines), None) == WITHOUT
    for number, line in enumerate(lines, 1):
        if not line or (line == WITHOUT and not keys):
            continue
        found = _LINE.fullmatch(line)
        if found is None or found[1] in keys:
            trouble = "has a name that was there before" if found else "is not a name and a key"
            raise SettingsError(
                f"{SETTING} is {str(path)!r}, whose line {number} {trouble}. Write a line as "
                f"{COMMAND} makes it."
            )
        keys[found[1]] = bytes.fromhex(found[2])
    if not keys:
        raise SettingsError(
            f"{SETTING} is {str(path)!r}, and this file has no key. Put the line into it that "
            f"{COMMAND} makes."
        )
    return Peppers(keys, None if without else next(iter(keys)))


def new_line(name: str) -> str:
    """The line of a new key. Raises ValueError, with a sentence, for a bad name."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is not of 1 to 32 letters, digits, dots, dashes and underscores"
        )
    return f"{name} {secrets.token_hex(_KEY_BYTES)}"
