"""Devices: what an account's owner has logged in from, known again by a signed cookie.

After OWASP's device cookies
(https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies): a block by
strangers' guesses does not refuse a device, whose own wrong passwords count by themselves. The log
decides; here it is only said which device a request comes from. Every login gives a new one, so
that a copied cookie has no more wrong passwords than are left to it, whatever its owner does.

The cookie has an entry for each of the last accounts that logged in by it. An entry is of no use to
any other account, and says none. It names its account's version, so that a changed password, and an
operator, make all others unknown.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Callable
from struct import Struct
from typing import NamedTuple

from gateway.device_keys import ID_BYTES, SETTING, Keys, parse
from gateway.rate_limited_logger import RateLimitedLogger
from gateway.reread_file import RereadFile
from settings import Settings

DAY_MS = 86_400_000

ENTRIES = 4
"""Accounts that one browser is known by; some three hundred characters."""

REFUSED_MS = 2_000
"""So long a refusal of the log is remembered."""

REFUSALS = 1_000  # that are remembered

MAC_BYTES = 16

_PART = Struct(f">{ID_BYTES}s16sQQ")
"""The key's id, the device, when it logged in in milliseconds since 1970, the account's version."""

_ENTRY_TEXT = 4 * -(-(_PART.size + MAC_BYTES) // 3)  # base64, at most


class Device(NamedTuple):
    """A device that has logged in to an account."""

    id: bytes
    version: int
    """Of the account then; another one now, and it is unknown."""


class Devices:
    """Makes the entries of device cookies, and knows them again."""

    def __init__(self, settings: Settings, clock_ms: Callable[[], int]) -> None:
        """`settings` has a file of keys. `clock_ms` gives milliseconds since 1970."""
        assert settings.device_keys_file
        self._file = RereadFile(settings.device_keys_file, parse)
        self._longest_ms = settings.device_days * DAY_MS
        self._clock_ms = clock_ms
        self._logger = RateLimitedLogger()
        self._refused: dict[bytes, tuple[int, int]] = {}  # when, and until when, by the log

    def note_refusal(self, device: bytes, until_ms: int) -> None:
        """The log has refused this device, which is blocked until then."""
        self._refused.pop(device, None)
        self._refused[device] = self._clock_ms(), until_ms
        if len(self._refused) > REFUSALS:
            del self._refused[next(iter(self._refused))]

    def refused_until(self, device: bytes) -> int:
        """The end of this device's block as the log said a moment ago; 0: the log decides.

        So a crowd behind the block costs no hash, and a block that an operator ends is over in two
        seconds, as an account's is.
        """
        noted_ms, until_ms = self._refused.get(device, (0, 0))
        now_ms = self._clock_ms()
        return until_ms if now_ms - noted_ms <= REFUSED_MS and until_ms > now_ms else 0

    def known(self, user: str, cookie: bytes | None) -> Device | None:
        """The device of this account in a cookie; None where it has none, or without keys."""
        keys = self._keys() if cookie else None
        if not cookie or not keys:
            return None
        found = (self._device(keys, user, entry) for entry in _entries(cookie))
        return next(filter(None, found), None)

    def after_login(self, user: str, version: int, cookie: bytes | None) -> str | None:
        """What the cookie is to be: with a new device of this account, and others as they were.

        None without keys.
        """
        keys = self._keys()
        if not keys:
            return None
        key_id, key = next(iter(keys.items()))
        part = _PART.pack(key_id, secrets.token_bytes(16), self._clock_ms(), version)
        entry = base64.urlsafe_b64encode(part + _mac(key, user, part)).rstrip(b"=")
        others = [other for other in _entries(cookie or b"") if not self._device(keys, user, other)]
        return b".".join([entry, *others][:ENTRIES]).decode()

    def _device(self, keys: Keys, user: str, entry: bytes) -> Device | None:
        try:
            whole = base64.b64decode(entry + b"=" * (-len(entry) % 4), b"-_", validate=True)
        except binascii.Error:
            return None
        part, mac = whole[: _PART.size], whole[_PART.size :]
        if len(part) < _PART.size:
            return None
        key_id, id_, since_ms, version = _PART.unpack(part)
        key = keys.get(key_id)
        if key is None or not hmac.compare_digest(mac, _mac(key, user, part)):
            return None
        if self._clock_ms() - since_ms > self._longest_ms:
            return None
        return Device(id_, version)

    def _keys(self) -> Keys | None:
        try:
            return self._file.current()
        except (OSError, ValueError) as error:
            self._logger.warning(
                f"{SETTING} names a file that cannot be used, so no device is known. Repair it, or "
                "make it readable for the gateway",
                path=str(self._file.path),
                reason=error.strerror if isinstance(error, OSError) else str(error),
            )
            return None


def _entries(cookie: bytes) -> list[bytes]:
    """The parts of a cookie that may be entries, as few as one has that was given here."""
    parts = cookie[: ENTRIES * (_ENTRY_TEXT + 1)].split(b".")
    return [part for part in parts if 0 < len(part) <= _ENTRY_TEXT and part.isascii()][:ENTRIES]


def _mac(key: bytes, user: str, part: bytes) -> bytes:
    return hmac.digest(key, b"a device of " + part + user.encode(), "sha256")[:MAC_BYTES]
