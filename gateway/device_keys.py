"""The keys that sign device cookies. `cerrojo keys device new-key FILE` makes one.

The file has a key in each line, 256 random bits in hex; a `#` begins a comment. Its first key
signs, and all of them verify. So a key is replaced without making a device unknown: `new-key` puts
another one first, and once the cookies of the former one are too old (CERROJO_DEVICE_DAYS),
`drop-key` removes that. A key's id is made of the key.

Where several gateways have files of their own, each has to know a key before any of them signs with
it: `new-key --last` everywhere, then `sign-with`.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from pathlib import Path

from processes.new_file import replace
from settings import variable

SETTING = variable("device_keys_file")

KEY_BYTES = 32

ID_BYTES = 4

_LINE = re.compile(f"[0-9a-fA-F]{{{2 * KEY_BYTES}}}")

Keys = dict[bytes, bytes]
"""The keys by their ids; the first one signs."""


def parse(content: bytes) -> Keys:
    """The keys of a file. Raises ValueError with a sentence that has nothing of a key in it."""
    keys: Keys = {}
    for number, line in enumerate(content.decode("ascii", "replace").splitlines(), 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        if not _LINE.fullmatch(text):
            raise ValueError(f"line {number} is no key: {2 * KEY_BYTES} digits in hex")
        key = bytes.fromhex(text)
        if id_of(key) in keys:
            raise ValueError(f"line {number} has the id of another key")
        keys[id_of(key)] = key
    if not keys:
        raise ValueError("it has no key")
    return keys


def id_of(key: bytes) -> bytes:
    """By which a cookie says its key; it tells nothing of the key."""
    return hashlib.sha256(key).digest()[:ID_BYTES]


def new_key(path: Path, *, last: bool = False) -> Keys:
    """Add a key to the file, or make the file: one that signs, or with `last` only verifies.

    Raises OSError, and ValueError with a sentence.
    """
    keys = list(parse(path.read_bytes()).values()) if path.exists() else []
    keys.insert(len(keys) if last else 0, secrets.token_bytes(KEY_BYTES))
    return _write(path, keys)


def sign_with(path: Path, key_id: str) -> Keys:
    """Let the key with this id sign from now on. Raises OSError, and ValueError with a sentence."""
    taken, others = _take(path, key_id)
    return _write(path, [taken, *others])


def drop_key(path: Path, key_id: str) -> Keys:
    """Make all devices of this key unknown. Raises OSError, and ValueError with a sentence."""
    return _write(path, _take(path, key_id)[1])


def _take(path: Path, key_id: str) -> tuple[bytes, list[bytes]]:
    keys = parse(path.read_bytes())
    for found in keys:
        if found.hex() == key_id:
            return keys.pop(found), list(keys.values())
    raise ValueError(f"it has no key {key_id}")


def _write(path: Path, keys: list[bytes]) -> Keys:
    content = "".join(f"{key.hex()}  # {id_of(key).hex()}\n" for key in keys).encode()
    found = parse(content)  # or nothing is written
    replace(path, content)
    return found
