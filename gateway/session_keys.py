"""The keys that sign sessions. `cerrojo keys session new-key FILE` makes one.

The file is a JWK Set (RFC 7517) of Ed25519 keys (RFC 8037). Its first key signs, and all of them
verify. So a key is replaced without ending a session: `new-key` puts another one first, and when
the last session that the former one signed is over, `drop-key` removes that.

Where several gateways have files of their own, each has to know a key before any of them signs with
it: `new-key --last` everywhere, then `sign-with`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from processes.new_file import replace
from settings import variable

if TYPE_CHECKING:
    from joserfc.jwk import OKPKey  # loaded late below: most commands need no cryptography

SETTING = variable("session_keys_file")

CURVE: Final = "Ed25519"


class _JwkSet(msgspec.Struct):
    keys: list[dict[str, Any]]


class Keys(NamedTuple):
    """The keys of the file, as it is now."""

    signing: OKPKey
    verifying: dict[str, OKPKey]
    """The public halves of all, by their ids."""
    public: bytes
    """These as a JWK Set, for everybody."""


def parse(content: bytes) -> Keys:
    """The keys of a file. Raises ValueError with a sentence that has nothing of a key in it."""
    from joserfc.jwk import OKPKey

    keys = _read(content)
    if not keys:
        raise ValueError("it has no key")
    if not keys[0].is_private:
        raise ValueError("its first key, which signs, has no private half")
    verifying = {}
    for number, key in enumerate(keys, 1):
        if not key.kid or key.kid in verifying:
            raise ValueError(f'key {number} has no "kid", or that of another one')
        # Made of the key itself: the file's own public half may be another key's.
        described = {"kid": key.kid, "use": "sig", "alg": "EdDSA"}
        verifying[key.kid] = OKPKey.import_key(key.public_key, described)  # type: ignore[arg-type]
    public = {"keys": [key.as_dict(private=False) for key in verifying.values()]}
    return Keys(keys[0], verifying, msgspec.json.encode(public))


def _read(content: bytes) -> list[OKPKey]:
    from joserfc.errors import JoseError
    from joserfc.jwk import OKPKey

    try:
        found = msgspec.json.decode(content, type=_JwkSet).keys
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("it is no JWK Set") from None
    keys = []
    for number, jwk in enumerate(found, 1):
        try:
            key = OKPKey.import_key(jwk)
            right = key.curve_name == CURVE
        except (JoseError, ValueError, TypeError, KeyError):
            right = False
        if not right:
            raise ValueError(f"key {number} is no {CURVE} key (RFC 8037)")
        keys.append(key)
    return keys


def new_key(path: Path, *, last: bool = False) -> Keys:
    """Add a key to the file, or make the file: one that signs, or with `last` only verifies.

    Raises OSError, and ValueError with a sentence.
    """
    from joserfc.jwk import OKPKey

    keys = _read(path.read_bytes()) if path.exists() else []
    key = OKPKey.generate_key(CURVE, auto_kid=True)
    while str(key.kid).startswith("-"):  # a command would take its id for an option
        key = OKPKey.generate_key(CURVE, auto_kid=True)
    keys.insert(len(keys) if last else 0, key)
    return _write(path, keys)


def sign_with(path: Path, key_id: str) -> Keys:
    """Let the key with this id sign from now on. Raises OSError, and ValueError with a sentence."""
    keys = _read(path.read_bytes())
    keys.insert(0, _take(keys, key_id))
    return _write(path, keys)


def drop_key(path: Path, key_id: str) -> Keys:
    """End the sessions of the key with this id. Raises OSError, and ValueError with a sentence."""
    keys = _read(path.read_bytes())
    _take(keys, key_id)
    return _write(path, keys)


def _take(keys: list[OKPKey], key_id: str) -> OKPKey:
    for number, key in enumerate(keys):
        if key.kid == key_id:
            return keys.pop(number)
    raise ValueError(f"it has no key {key_id}")


def _write(path: Path, keys: list[OKPKey]) -> Keys:
    text = msgspec.json.encode({"keys": [key.as_dict(private=key.is_private) for key in keys]})
    found = parse(text)  # or nothing is written
    replace(path, msgspec.json.format(text) + b"\n")
    return found
