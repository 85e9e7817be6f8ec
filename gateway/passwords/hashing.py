"""Argon2id, and what other systems made hashes by; the only expensive thing in a login."""

from __future__ import annotations

import os
import time

from gateway.passwords import argon2_build, foreign_hashes, pepper
from gateway.passwords.hash_formats import Argon2, UnusableHashError, parse
from gateway.passwords.hash_protocol import BadHashError
from settings import Settings

BUILD = argon2_build.use_fastest()  # before argon2 is imported, which keeps what was loaded first

# ruff: noqa: E402
from argon2 import PasswordHasher
from argon2.exceptions import (
    HashingError,
    InvalidHashError,
    VerificationError,
    VerifyMismatchError,
)
from argon2.low_level import error_to_str

_SHORT = {error_to_str(-22), error_to_str(-33)}
"""The errors of argon2 where this machine has no memory or no thread left, whatever the hash is."""

_ARGON2 = "$argon2"


class NoMemoryError(Exception):
    """This machine has no memory or no thread left for a hash."""


class Hasher:
    """Makes hashes by the settings, and checks those that were made by any, also of other systems.

    For any thread.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError where the file of peppers cannot be used, and NoMemoryError."""
        self._peppers = pepper.load(settings.pepper_file)
        self._argon2 = PasswordHasher(
            time_cost=settings.argon2_time_cost,
            memory_cost=settings.argon2_memory_kib,
            parallelism=settings.argon2_parallelism,
        )
        started = time.process_time()  # the work of other processes is no part of it
        self._nobodys = self.hash(os.urandom(16).hex())
        self.seconds = (time.process_time() - started) / settings.argon2_parallelism
        """What a hash takes here at least; where other threads work meanwhile, it seems more."""

    def verify(self, stored: str | None, password: str) -> bool:
        """Whether this is the password. Raises BadHashError and NoMemoryError.

        Costs the same where there is no account (None) and where the stored hash is bad, unless
        it is outdated.
        """
        key, bare = pepper.Stored.of(self._nobodys if stored is None else stored)
        if key is None and not bare.startswith(_ARGON2):
            return self._verify_foreign(bare, password)
        try:
            return self._argon2.verify(bare, self._peppers.mix(key, password))
        except VerifyMismatchError:
            return False
        except VerificationError as error:
            reason = str(error)
            if reason in _SHORT:
                raise NoMemoryError(reason) from None
        except (InvalidHashError, UnicodeEncodeError):  # that one of a hash that is not ASCII
            reason = "it is no hash of Argon2"
        except BadHashError as error:
            reason = str(error)
        self.verify(None, password)
        raise BadHashError(reason)

    def _verify_foreign(self, stored: str, password: str) -> bool:
        try:
            found = parse(stored)
            if not isinstance(found, Argon2):
                return foreign_hashes.verify(found, password)
            reason = "it is Argon2's in another system's form"
        except UnusableHashError as error:
            reason = f"it {error}"
        except MemoryError as error:
            raise NoMemoryError(str(error)) from None
        self.verify(None, password)
        raise BadHashError(reason)

    def hash(self, password: str) -> str:
        """A new hash of this password. Raises NoMemoryError."""
        try:
            mixed = self._peppers.mix(self._peppers.newest, password)
            return self._peppers.mark(self._argon2.hash(mixed))
        except HashingError as error:
            raise NoMemoryError(str(error)) from None

    def is_outdated(self, stored: str) -> bool:
        """Whether the settings or the pepper are other ones now than when this hash was made."""
        key, bare = pepper.Stored.of(stored)
        if key != self._peppers.newest or not bare.startswith(_ARGON2):
            return True
        return self._argon2.check_needs_rehash(bare)
